"""Zoho's data centres, and which hosts a token may be sent to.

https://www.zoho.com/crm/developer/docs/api/v8/multi-dc.html
"""

from urllib.parse import urlsplit

from crm_export.errors import UntrustedOrigin

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
