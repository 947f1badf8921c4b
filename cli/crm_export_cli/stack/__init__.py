"""The stack backend: a deployed stack, or the local one, through lambda:InvokeFunction.

    backend     what the commands call
    functions   finds the stack's functions, and sends requests to them
    checks      what `doctor` looks at in a stack

The permissions that it needs are in docs/deploy.md, "Operators". Files are downloaded through the links that
the API gives.
"""
