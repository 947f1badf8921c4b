"""Facts about Zoho: data centres whose hosts may receive a token, modules, scopes."""

import pytest

from crm_export.errors import ConnectionMalformed, UntrustedOrigin
from crm_export.zoho.catalog import (
    MODULES,
    has_bulk_read,
    module_scope,
    other_api_domain,
    trusted_accounts_server,
    trusted_api_domain,
)

# From Zoho's multi-dc page and its SDK
CENTERS = {
    "https://www.zohoapis.com": "https://accounts.zoho.com",
    "https://www.zohoapis.eu": "https://accounts.zoho.eu",
    "https://www.zohoapis.in": "https://accounts.zoho.in",
    "https://www.zohoapis.com.au": "https://accounts.zoho.com.au",
    "https://www.zohoapis.jp": "https://accounts.zoho.jp",
    "https://www.zohoapis.com.cn": "https://accounts.zoho.com.cn",
    "https://www.zohoapis.ca": "https://accounts.zohocloud.ca",
    "https://www.zohoapis.sa": "https://accounts.zoho.sa",
    "https://www.zohoapis.uk": "https://accounts.zoho.uk",
    "https://www.zohoapis.ae": "https://accounts.zoho.ae",
    "https://sandbox.zohoapis.eu": "https://accounts.zoho.eu",
    "https://developer.zohoapis.com": "https://accounts.zoho.com",
}


@pytest.mark.parametrize(("api_domain", "accounts"), CENTERS.items())
def test_api_domain_is_trusted_and_has_its_accounts_server(api_domain, accounts):
    assert trusted_api_domain(f"{api_domain}/") == trusted_api_domain(api_domain) == api_domain
    assert trusted_accounts_server(None, api_domain) == accounts


@pytest.mark.parametrize(
    "url",
    [
        "http://www.zohoapis.com",
        "https://zohoapis.com",
        "https://www.zohoapis.com.evil.example",
        "https://www.zohoapis.com@evil.example",
        "https://www.zohoapis.com:8443",
        "https://www.zohoapis.com/crm",
        "https://www.zohoapis.com?x",
        "https://www.zohoapis.com#x",
        "https://WWW.zohoapis.com\n",
        "https://www.zohoapіs.com",  # a Cyrillic і
        "https://169.254.169.254",
        "http://localhost",
        "https://[::1",
        "www.zohoapis.com",
        "",
    ],
)
def test_other_urls_are_refused(url):
    with pytest.raises(UntrustedOrigin):
        trusted_api_domain(url)
    if url:
        with pytest.raises(UntrustedOrigin):
            trusted_accounts_server(url, "https://www.zohoapis.com")


def test_origin_in_trusted_serves_as_api_domain_and_as_a_named_accounts_server():
    origin, trusted = "http://127.0.0.1:9000", ("http://127.0.0.1:9000",)
    assert trusted_api_domain(origin, trusted) == origin
    assert trusted_accounts_server(origin, origin, trusted) == origin
    for missing in (None, ""):
        with pytest.raises(ConnectionMalformed, match=r"no token\.accounts_server.*http://127\.0\.0\.1:9000"):
            trusted_accounts_server(missing, origin, trusted)
    with pytest.raises(UntrustedOrigin):
        trusted_api_domain("http://127.0.0.1:9001", trusted)


def test_stored_accounts_server_is_used():
    assert (
        trusted_accounts_server("https://accounts.zoho.in", "https://www.zohoapis.eu")
        == "https://accounts.zoho.in"
    )


@pytest.mark.parametrize(
    ("named", "api_domain", "other"),
    [
        ("https://www.zohoapis.eu", "https://www.zohoapis.com", "https://www.zohoapis.eu"),
        ("https://www.zohoapis.eu/", "https://www.zohoapis.com", "https://www.zohoapis.eu"),
        ("https://www.zohoapis.eu", "http://127.0.0.1:9000", "https://www.zohoapis.eu"),
        ("http://127.0.0.1:9000", "https://www.zohoapis.eu", "http://127.0.0.1:9000"),
        ("https://www.zohoapis.eu", "https://www.zohoapis.eu", None),
        ("https://www.zohoapis.eu", "https://sandbox.zohoapis.eu", None),
        ("https://developer.zohoapis.eu", "https://www.zohoapis.eu", None),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000", None),
        ("?", "https://www.zohoapis.eu", None),
        (None, "https://www.zohoapis.eu", None),
    ],
)
def test_other_api_domain_is_that_of_another_host_only(named, api_domain, other):
    assert other_api_domain(named, api_domain) == other


@pytest.mark.parametrize(
    ("module", "scope"),
    [
        ("Leads", "leads"),
        ("Price_Books", "pricebooks"),
        ("Sales_Orders", "salesorders"),
        ("Purchase_Orders", "purchaseorders"),
        ("Notes", "notes"),
        ("Projects", "custom"),
        ("leads", "custom"),
    ],
)
def test_module_scope_is_the_modules_own_or_that_of_custom_modules(module, scope):
    assert module_scope(module) == f"ZohoCRM.modules.{scope}.READ"


@pytest.mark.parametrize(("module", "available"), [("Notes", False), ("Contacts", True), ("Projects", True)])
def test_has_bulk_read_is_false_for_documented_exceptions_only(module, available):
    assert has_bulk_read(module) is available


def test_page_types_are_those_of_the_original_api():
    pages = {name: module.api_name for name, module in MODULES.items() if module.pages}
    assert pages == {"contacts": "Contacts", "accounts": "Accounts", "deals": "Deals", "notes": "Notes"}
