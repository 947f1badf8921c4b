"""HTTP: the requests API Gateway passes on, and our responses."""
