"""All that knows Zoho's wire format. Knows nothing of AWS."""
