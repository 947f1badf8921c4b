"""What the stack stands on: child processes, loopback HTTP servers, and AWS simulated by moto."""
