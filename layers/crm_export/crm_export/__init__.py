"""Exports Zoho CRM data to AWS: the logic of all functions. Entry points are functions/*/app.py."""
