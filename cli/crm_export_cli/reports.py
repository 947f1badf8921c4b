"""Shows connections and what was found out about them, to people and to programs. Never a secret."""

from typing import TYPE_CHECKING, Any

from crm_export.connections.model import CLIENT_CREDENTIALS, REFRESH_TOKEN, Connection
from crm_export.zoho.grants import ClientCredentials

if TYPE_CHECKING:
    from crm_export.zoho.checks import Report, ScopeCheck

_WIDTH = 14


def connection_document(connection: Connection) -> dict[str, Any]:
    """Return a connection as JSON, without its secrets."""
    grant = connection.grant
    document = {
        "account_id": connection.account_id,
        "owner": connection.owner,
        "grant": CLIENT_CREDENTIALS if isinstance(grant, ClientCredentials) else REFRESH_TOKEN,
        "api_domain": connection.api_domain,
        "accounts_server": connection.accounts_server,
    }
    if isinstance(grant, ClientCredentials):
        document["soid"] = grant.soid
    if connection.client is not None:
        document["client_id"] = connection.client.client_id
    return document


def print_report(report: "Report") -> None:
    """Print what was tried, a line each, and the scopes that are missing."""
    organisation, user = report.organisation, report.user
    minutes = round(report.token_seconds / 60)
    _line("token", f"valid: Zoho issued one for {minutes} minutes")
    _line("data centre", report.api_domain)
    _line("organisation", _together(organisation, "name", "zgid", "edition"))
    _line("user", _together(user, "name", "profile"))
    _line("modules", "not known" if report.modules is None else str(report.modules))
    _line("credits", _credits(report.credits_left))
    granted = [check for check in report.scopes if check.state == "granted"]
    _line("scopes", f"{len(granted)} of {len(report.scopes)}")
    for check in report.scopes:
        if check.state != "granted" or check.why:
            print(_scope_line(check))


def _line(name: str, value: str) -> None:
    print(f"{name:<{_WIDTH}}{value}")


def _together(values: dict[str, Any], *names: str) -> str:
    return ", ".join(str(values[name]) for name in names if values.get(name)) or "not known"


def _credits(left: int | None) -> str:
    if left is None:
        return "more than half of a day's (Zoho gives a number below that)"
    return f"{left:,} left of the last 24 hours"


def _scope_line(check: "ScopeCheck") -> str:
    if check.state == "granted":
        return f"  {check.scope.name}: {check.why}"
    state = "not known" if check.state == "unknown" else "missing"
    return f"  {check.scope.name}: {state}\n    to {check.scope.purpose}"
