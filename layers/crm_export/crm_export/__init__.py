"""Zoho CRM data into AWS: the logic of all functions. Entry points are functions/*/app.py."""
