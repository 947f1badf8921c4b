"""Zoho CRM's APIs: tokens, Bulk Read, records and metadata, with every failure as one of our errors."""
