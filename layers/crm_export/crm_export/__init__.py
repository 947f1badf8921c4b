"""Zoho CRM data into AWS: the logic of all functions. Entry points are functions/*/app.py."""

__version__ = "0.2.0"
