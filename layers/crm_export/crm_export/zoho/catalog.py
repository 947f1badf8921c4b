"""Zoho's API versions and what differs between them."""
# The OAuth scopes our calls need, to be named where a grant lacks them.
#
# https://www.zoho.com/crm/developer/docs/api/v8/scopes.html
#
# Zoho's data centres, and which hosts a token may be sent to.
#
# https://www.zoho.com/crm/developer/docs/api/v8/multi-dc.html
#

from dataclasses import dataclass
from urllib.parse import urlsplit

from crm_export.errors import UntrustedOrigin


def version_number(version: str) -> tuple[int, int]:
    """`v2.1` -> (2, 1), so that versions compare."""
    major, _, minor = version.removeprefix("v").partition(".")
    return int(major), int(minor or 0)


def records_need_fields(version: str) -> bool:
    """From v3 on a page of records names its fields, and goes on by `page_token` after 2,000 records."""
    return version_number(version) >= (3, 0)


@dataclass(frozen=True)
class BulkReadFormat:
    """How a version writes a Bulk Read query."""

    objects: bool  # `module` and a criterion's `field` are {"api_name": ...}; else `module` and `api_name`
    criterion_type: bool  # a criterion may say `"type": "value"`
    page_token: bool  # goes on by `page_token`, and a result tells `next_page_token`; else by `page`


_TEXTS = BulkReadFormat(objects=False, criterion_type=False, page_token=False)
_OBJECTS = BulkReadFormat(objects=True, criterion_type=False, page_token=False)
_TOKENS = BulkReadFormat(objects=True, criterion_type=True, page_token=True)
# https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, and v2 to v7 beside it
BULK_READ_FORMATS = {
    "v2": _TEXTS,
    "v2.1": _OBJECTS,
    "v3": _OBJECTS,
    "v4": _OBJECTS,
    "v5": _OBJECTS,
    "v6": _OBJECTS,
    "v7": _TOKENS,
    "v8": _TOKENS,
}


def has_page_token(version: str) -> bool:
    """Whether a Bulk Read of the version goes on by `page_token`."""
    return BULK_READ_FORMATS[version].page_token


BULK_READ_SCOPE = "ZohoCRM.bulk.READ"
SETTINGS_FIELDS_SCOPE = "ZohoCRM.settings.fields.READ"
SETTINGS_MODULES_SCOPE = "ZohoCRM.settings.modules.READ"
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


def module_scope(module: str) -> str:
    """The scope to read a module's records: `Price_Books` -> `ZohoCRM.modules.pricebooks.READ`."""
    name = module.replace("_", "").lower() if module in _MODULES else "custom"
    return f"ZohoCRM.modules.{name}.READ"


def scope_advice(scopes: tuple[str, ...]) -> str:
    """The sentence that says which scopes a grant needs."""
    noun = "scope" if len(scopes) == 1 else "scopes"
    return f"Add the {noun} {' and '.join(scopes)} to the grant."


# api_domain suffix -> accounts server
_ACCOUNTS = {
    "zohoapis.com": "https://accounts.zoho.com",
    "zohoapis.eu": "https://accounts.zoho.eu",
    "zohoapis.in": "https://accounts.zoho.in",
    "zohoapis.com.au": "https://accounts.zoho.com.au",
    "zohoapis.jp": "https://accounts.zoho.jp",
    "zohoapis.com.cn": "https://accounts.zoho.com.cn",
    "zohoapis.ca": "https://accounts.zohocloud.ca",
    "zohoapis.sa": "https://accounts.zoho.sa",
    "zohoapis.uk": "https://accounts.zoho.uk",
    "zohoapis.ae": "https://accounts.zoho.ae",
}
_API_HOSTS = ("www", "sandbox", "developer")
_API_DOMAINS = {
    f"https://{host}.{suffix}": accounts for suffix, accounts in _ACCOUNTS.items() for host in _API_HOSTS
}


def _origin(url: str) -> str | None:
    """`scheme://host[:port]` of a URL that is an origin and nothing else, else None."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as an unclosed bracket
        return None
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if parts.netloc and url in (origin, f"{origin}/") else None


def trusted_api_domain(url: str, trusted: tuple[str, ...] = ()) -> str:
    """The origin of an api_domain that is Zoho's or in `trusted`; else raise UntrustedOrigin."""
    origin = _origin(url)
    if origin is None or (origin not in _API_DOMAINS and origin not in trusted):
        raise UntrustedOrigin(
            f"api_domain {url!r} of the connection is not an https origin of a Zoho data centre "
            "(https://www.zohoapis.com, .eu, .in, ...) nor in TrustedZohoOrigins."
        )
    return origin


def trusted_accounts_server(url: str | None, api_domain: str, trusted: tuple[str, ...] = ()) -> str:
    """The accounts server to refresh at: the stored one if trusted, else the api_domain's own.

    An origin of `trusted` without a stored accounts server serves both.
    """
    if not url:
        return _API_DOMAINS.get(api_domain, api_domain)
    origin = _origin(url)
    if origin is None or (origin not in _ACCOUNTS.values() and origin not in trusted):
        raise UntrustedOrigin(
            f"accounts_server {url!r} of the connection is not an https origin of a Zoho data centre "
            "(https://accounts.zoho.com, .eu, .in, ...) nor in TrustedZohoOrigins."
        )
    return origin
