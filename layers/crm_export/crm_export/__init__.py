"""Exports Zoho CRM data to AWS: the logic of all functions. Entry points are functions/*/app.py."""

import gc
import os

if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE"):
    gc.disable()  # until the end of wiring.at_init: it would look for garbage 40 times and find little

__version__ = "0.2.0"
PRODUCT = f"zoho-crm-export/{__version__}"  # the User-Agent to Zoho, and `created_by` in manifests
