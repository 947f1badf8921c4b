"""The base of the stack: child processes, loopback HTTP servers, and AWS simulated by moto."""
