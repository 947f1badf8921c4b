"""The stack backend: a deployed stack, or the local one, through lambda:InvokeFunction.

    backend     what the commands call
    functions   finds the stack's functions, and sends requests to them

It needs lambda:InvokeFunction on one function, and cloudformation:DescribeStacks and DescribeStackResources
on the stack: docs/deploy.md, "Operators". Files are downloaded through the links that the API gives.
"""
