"""A result ZIP becomes a CSV object in S3, as a stream. Knows nothing of Zoho."""
