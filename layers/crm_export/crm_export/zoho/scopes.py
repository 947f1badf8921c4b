"""The OAuth scopes our calls need, to be named where a grant lacks them.

https://www.zoho.com/crm/developer/docs/api/v8/scopes.html
"""

BULK_READ = "ZohoCRM.bulk.READ"
SETTINGS_FIELDS = "ZohoCRM.settings.fields.READ"
SETTINGS_MODULES = "ZohoCRM.settings.modules.READ"
# The modules with a scope of their own; all others share the one of custom modules.
_MODULES = {
    "Accounts",
    "Calls",
    "Campaigns",
    "Cases",
    "Contacts",
    "Deals",
    "Events",
    "Invoices",
    "Leads",
    "Notes",
    "Price_Books",
    "Products",
    "Purchase_Orders",
    "Quotes",
    "Sales_Orders",
    "Solutions",
    "Tasks",
    "Vendors",
}


def of_module(module: str) -> str:
    """The scope to read a module's records: `Price_Books` -> `ZohoCRM.modules.pricebooks.READ`."""
    name = module.replace("_", "").lower() if module in _MODULES else "custom"
    return f"ZohoCRM.modules.{name}.READ"


def advice(scopes: tuple[str, ...]) -> str:
    """The sentence that says which scopes a grant needs."""
    noun = "scope" if len(scopes) == 1 else "scopes"
    return f"Add the {noun} {' and '.join(scopes)} to the grant."
