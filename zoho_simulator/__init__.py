"""The Zoho CRM simulator: OAuth, records, metadata and Bulk Read v2 to v8 on loopback HTTP."""
