"""Adapters to AWS: DynamoDB, SQS and S3."""
