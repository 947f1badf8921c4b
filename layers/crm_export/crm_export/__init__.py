"""Exports Zoho CRM data to AWS: the logic of all functions. Entry points are functions/*/app.py."""

__version__ = "0.2.0"
PRODUCT = f"zoho-crm-export/{__version__}"  # the User-Agent to Zoho, and `created_by` in manifests
