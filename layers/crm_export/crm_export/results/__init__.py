"""A result ZIP, or pages of records, become an object in S3, as a stream. Knows nothing of Zoho's API."""
