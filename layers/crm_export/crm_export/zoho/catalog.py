"""Facts about Zoho CRM as tables: API versions, modules, OAuth scopes, data centres."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from crm_export.errors import ConnectionMalformed, UntrustedOrigin

# --- API versions -----------------------------------------------------------------------------


@dataclass(frozen=True)
class BulkReadFormat:
    """How an API version writes a Bulk Read query.

    objects: `module` and a criterion's `field` are {"api_name": ...}; else strings `module` and `api_name`.
    criterion_type: a criterion may contain `"type": "value"`.
    page_token: parts are found by `page_token`, and a result has `next_page_token`; otherwise by `page`.
    """

    objects: bool = True
    criterion_type: bool = False
    page_token: bool = False


_V7 = BulkReadFormat(criterion_type=True, page_token=True)
# https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html, and the same page of each version
BULK_READ_FORMATS = {
    "v2": BulkReadFormat(objects=False),
    **dict.fromkeys(("v2.1", "v3", "v4", "v5", "v6"), BulkReadFormat()),
    "v7": _V7,
    "v8": _V7,
}


def has_page_token(version: str) -> bool:
    """Return True if Bulk Read of this version finds the next part by `page_token`."""
    return BULK_READ_FORMATS[version].page_token


def version_number(version: str) -> tuple[int, int]:
    """Return a version in a form that can be compared: `v2.1` becomes (2, 1)."""
    major, _, minor = version.removeprefix("v").partition(".")
    return int(major), int(minor or 0)


def records_need_fields(version: str) -> bool:
    """Return True from v3 on: `fields` is required, and after 2,000 records `page_token` too.

    https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
    """
    return version_number(version) >= (3, 0)


# --- Modules ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Module:
    """One of Zoho's own modules. pages: GET /v1/e/zoho/export/{type} serves it; bulk_read: Bulk Read does."""

    api_name: str
    pages: bool = False
    bulk_read: bool = True


# https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/overview.html, and Notes, which Bulk Read excludes
_WITHOUT_PAGES = (
    "Calls", "Campaigns", "Cases", "Events", "Invoices", "Leads", "Price_Books", "Products",
    "Purchase_Orders", "Quotes", "Sales_Orders", "Solutions", "Tasks", "Vendors",
)  # fmt: skip
_MODULES = (
    Module("Accounts", pages=True),
    Module("Contacts", pages=True),
    Module("Deals", pages=True),
    Module("Notes", pages=True, bulk_read=False),
    *map(Module, _WITHOUT_PAGES),
)


def _type_of(api_name: str) -> str:
    return api_name.replace("_", "").lower()


# The {type} of our paths, which is also the module's name in an OAuth scope: `pricebooks` -> Price_Books.
MODULES = {_type_of(module.api_name): module for module in _MODULES}
_BY_API_NAME = {module.api_name: module for module in _MODULES}


def has_bulk_read(api_name: str) -> bool:
    """Return False for a module that Zoho documents as not available in Bulk Read.

    Zoho refuses further modules only when a job is created: `ZohoModuleNotSupported`.
    """
    return api_name not in _BY_API_NAME or _BY_API_NAME[api_name].bulk_read


def has_count(api_name: str) -> bool:
    """Return False for a module of which Zoho documents no count.

    https://www.zoho.com/crm/developer/docs/api/v8/module_record_count.html
    """
    return api_name != "Notes"


def counts_alike(api_name: str) -> bool:
    """Return False for a module whose count may have other records than its exports: converted leads."""
    return api_name != "Leads"


# The modules that Zoho generates for a subform and for a multi-select lookup, by their `generated_type`
_WITHOUT_DELETED = {"subform", "linking"}


def has_deleted(api_name: str, generated_type: str = "default") -> bool:
    """Return False for a module of which Zoho does not list deleted records.

    generated_type: as settings/modules says it; a module's name does not show it.
    https://www.zoho.com/crm/developer/docs/api/v8/get-deleted-records.html
    """
    return api_name != "Notes" and generated_type not in _WITHOUT_DELETED


def list_parameters(api_name: str) -> dict[str, str]:
    """Return the parameters with which a list has all records of a module: Zoho leaves out converted leads.

    https://www.zoho.com/crm/developer/docs/api/v8/get-records.html
    """
    return {"converted": "both"} if api_name == "Leads" else {}


# Lookups whose records belong to several modules, by the module that has the lookup. The metadata of fields
# shows them too (`zoho.metadata`), but not every connection may read it.
# https://www.zoho.com/crm/developer/docs/api/v8/get-notes.html
POLYMORPHIC_LOOKUPS = {
    "Appointments__s": {"Appointment_For"},
    "Attachments": {"Parent_Id"},
    "Calls": {"What_Id"},
    "Events": {"What_Id"},
    "Notes": {"Parent_Id"},
    "Tasks": {"What_Id"},
}
PARENT_MODULE = "$se_module"  # the field of a record that names the module of its Parent_Id or What_Id

# --- API credits of a call: https://www.zoho.com/crm/developer/docs/api/v8/api-limits.html ------

CREDITS_BULK_READ_JOB = 50
CREDITS_DELETED_PAGE = 2
CREDITS_CUSTOM_VIEW_PAGE = 3  # of at most 200 records
CREDITS_OTHER_CALL = 1  # a page of at most 200 records, a count, metadata, a job's state or its result

# --- OAuth scopes: https://www.zoho.com/crm/developer/docs/api/v8/scopes.html ------------------

BULK_READ_SCOPE = "ZohoCRM.bulk.READ"
SETTINGS_FIELDS_SCOPE = "ZohoCRM.settings.fields.READ"
SETTINGS_MODULES_SCOPE = "ZohoCRM.settings.modules.READ"
MODULES_SCOPE = "ZohoCRM.modules.READ"
COUNT_SCOPES = ("ZohoSearch.securesearch.READ", "ZohoCRM.settings.layouts.READ")


@dataclass(frozen=True)
class Scope:
    """A scope that `crm-export connect` requests. purpose: completes "is needed to ..."."""

    name: str
    purpose: str
    required: bool = False


SCOPES = (
    Scope(BULK_READ_SCOPE, "export whole modules with Bulk Read", required=True),
    Scope(MODULES_SCOPE, "read the records of modules", required=True),
    Scope(SETTINGS_MODULES_SCOPE, "list the modules and check a module's name before an export"),
    Scope(SETTINGS_FIELDS_SCOPE, "list the fields of a module and export all of them"),
    Scope("ZohoCRM.org.READ", "show the name, edition and id of the organisation"),
    Scope("ZohoCRM.users.READ", "show the user that the connection acts as"),
    *(Scope(name, "compare an export with Zoho's own count of the module") for name in COUNT_SCOPES),
)
DEFAULT_SCOPE = ",".join(scope.name for scope in SCOPES)


def covers(granted: str, wanted: str) -> bool:
    """Return True if a scope includes another, as `ZohoCRM.modules.ALL` includes that of a module."""
    *granted_path, granted_kind = granted.lower().split(".")
    *wanted_path, wanted_kind = wanted.lower().split(".")
    is_above = wanted_path[: len(granted_path)] == granted_path
    return is_above and granted_kind in ("all", wanted_kind)


def module_scope(api_name: str) -> str:
    """Return the scope to read a module's records: `Price_Books` -> `ZohoCRM.modules.pricebooks.READ`.

    All modules that are not in MODULES share the scope of custom modules.
    """
    name = _type_of(api_name) if api_name in _BY_API_NAME else "custom"
    return f"ZohoCRM.modules.{name}.READ"


def scope_advice(scopes: tuple[str, ...]) -> str:
    """Return the sentence that names the scopes that a grant needs."""
    noun = "scope" if len(scopes) == 1 else "scopes"
    return f"Add the {noun} {' and '.join(scopes)} to the grant."


# --- Data centres: https://www.zoho.com/crm/developer/docs/api/v8/multi-dc.html ----------------

# The end of the API domain's host -> the accounts server
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
# The accounts servers, in the order in which `connect` asks them; China's is a separate service.
ACCOUNTS_SERVERS = tuple(sorted(_ACCOUNTS.values(), key=lambda server: server.endswith(".cn")))
# A user's location, as Zoho's multi-DC responses name it -> the accounts server
LOCATIONS = {
    "us": "https://accounts.zoho.com",
    "au": "https://accounts.zoho.com.au",
    "cn": "https://accounts.zoho.com.cn",
    "ca": "https://accounts.zohocloud.ca",
    **{code: f"https://accounts.zoho.{code}" for code in ("eu", "in", "jp", "sa", "uk", "ae")},
}
_API_DOMAINS = {
    f"https://{host}.{suffix}": accounts
    for suffix, accounts in _ACCOUNTS.items()
    for host in ("www", "sandbox", "developer")
}


def trusted_api_domain(url: str, trusted: tuple[str, ...] = ()) -> str:
    """Return the origin of an API domain that is Zoho's or in `trusted`. Raises UntrustedOrigin."""
    origin = _origin(url)
    if origin is None or (origin not in _API_DOMAINS and origin not in trusted):
        raise _untrusted("api_domain", url, "https://www.zohoapis.com, .eu, .in, ...")
    return origin


def trusted_accounts_server(url: str | None, api_domain: str, trusted: tuple[str, ...] = ()) -> str:
    """Return the origin of the stored accounts server, or that of the API domain's data centre.

    Raises UntrustedOrigin; ConnectionMalformed if none is stored and the API domain is not Zoho's: a host in
    `trusted` must not get our client secret just because it may get access tokens.
    """
    if not url:
        if api_domain not in _API_DOMAINS:
            raise ConnectionMalformed(
                f"The connection has no token.accounts_server. Its api_domain {api_domain} is in "
                "TrustedZohoOrigins and no data centre of Zoho's, so only the connection can name the server "
                "that issues its tokens."
            )
        return _API_DOMAINS[api_domain]
    origin = _origin(url)
    if origin is None or (origin not in _ACCOUNTS.values() and origin not in trusted):
        raise _untrusted("accounts_server", url, "https://accounts.zoho.com, .eu, .in, ...")
    return origin


def api_domain_of(accounts_server: str) -> str | None:
    """Return the API domain of an accounts server's data centre, or None if it is not one of Zoho's."""
    centres = {accounts: f"https://www.{suffix}" for suffix, accounts in _ACCOUNTS.items()}
    return centres.get(accounts_server)


def other_api_domain(named: str | None, api_domain: str) -> str | None:
    """Return the API domain that a token response names if it is another host than the connection's.

    A sandbox or developer domain is of the same data centre as its www domain, so it is not another one.
    """
    origin = _origin(named or "")
    if origin is None or origin == api_domain:
        return None
    centre = _API_DOMAINS.get(origin)
    return origin if centre is None or centre != _API_DOMAINS.get(api_domain) else None


def _origin(url: str) -> str | None:
    """Return `scheme://host[:port]` if the URL is an origin and nothing else, else None."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as an unclosed bracket
        return None
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if parts.netloc and url in (origin, f"{origin}/") else None


def _untrusted(name: str, url: str, examples: str) -> UntrustedOrigin:
    return UntrustedOrigin(
        f"{name} {url!r} of the connection is neither an https origin of a Zoho data centre ({examples}) "
        "nor listed in TrustedZohoOrigins."
    )
