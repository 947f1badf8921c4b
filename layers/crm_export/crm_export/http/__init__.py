"""What API Gateway's requests and our answers look like."""
