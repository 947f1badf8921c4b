"""HTTP: reads the requests that API Gateway passes on, and writes our responses."""
