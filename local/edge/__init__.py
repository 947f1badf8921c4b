"""API Gateway's HTTP API, and the control API of the stack."""
