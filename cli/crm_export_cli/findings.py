"""What `doctor` found: of a folder, of a stack, and of a connection wherever it is stored."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from crm_export.errors import ExportError
from crm_export_cli.exits import CliError, from_export_error

if TYPE_CHECKING:
    from crm_export.zoho.checks import Report, ScopeCheck

_MOST_SKEW = 60.0  # seconds; the lives of tokens and of Zoho's results are compared with our clock
_FEW_CREDITS = 500  # ten jobs
# How the codes begin of errors that come before Zoho is asked for a token.
_OF_CONNECTION = ("CONNECTION_", "STORE_", "UNTRUSTED_ORIGIN", "CALLER_NOT_IDENTIFIED")
_OF_STACK = ("AWS_", "STACK_", "CONFIGURATION")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ok: nothing to do; warning: may fail later; error: no export works."""

    check: str
    state: Literal["ok", "warning", "error"]
    message: str
    remedy: str | None = None


def of_error(check: str, error: ExportError | CliError) -> Finding:
    """Return the finding that a check failed."""
    failed = from_export_error(error) if isinstance(error, ExportError) else error
    return Finding(check, "error", failed.message, failed.remedy)


def of_connection(try_it: "Callable[[], Report]") -> Iterator[Finding]:
    """Try a connection: is it stored, does Zoho issue a token, what may it do?

    `try_it` raises ExportError or CliError.
    """
    try:
        report = try_it()
    except (ExportError, CliError) as error:
        yield from _of_failed_try(error)
        return
    yield Finding("connection", "ok", f"A connection to {report.api_domain} is stored.")
    minutes = round(report.token_seconds / 60)
    yield Finding("token", "ok", f"Zoho issued an access token for {minutes} minutes.")
    yield _clock(report.clock_ahead)
    yield from _scopes(report)
    yield _credits(report.credits_left)


def _of_failed_try(error: ExportError | CliError) -> Iterator[Finding]:
    if error.code.startswith(_OF_STACK):
        yield of_error("stack", error)
    elif error.code.startswith(_OF_CONNECTION):
        yield of_error("connection", error)
    else:
        yield Finding("connection", "ok", "A connection is stored.")
        yield of_error("token", error)


def _scopes(report: "Report") -> Iterator[Finding]:
    from crm_export_cli.connect import lacking

    lack = lacking(report, "No export would work.")
    if lack is not None:
        yield of_error("scopes", lack)
    for check in report.scopes:
        if check.state != "missing" or not check.scope.required:
            yield _scope(check)


def _scope(check: "ScopeCheck") -> Finding:
    """Return whether a scope is granted, and what it is for."""
    name, used = check.scope.name, f"It is used to {check.scope.purpose}."
    if check.state == "granted":
        granted = f"{name} is granted ({check.why})" if check.why else f"{name} is granted"
        return Finding("scopes", "ok", f"{granted}. {used}")
    if check.state == "missing":
        remedy = "Connect again with this scope, if you need it."
        return Finding("scopes", "warning", f"{name} is missing. {used}", remedy)
    message = f"It is not known whether {name} is granted. {used}"
    return Finding("scopes", "warning", message, f"Zoho's reason: {check.why}" if check.why else None)


def _credits(left: int | None) -> Finding:
    if left is None:
        return Finding("credits", "ok", "More than half of the API credits of a day are left.")
    if left >= _FEW_CREDITS:
        return Finding("credits", "ok", f"{left:,} API credits of the last 24 hours are left.")
    message = f"Only {left:,} API credits of the last 24 hours are left; a Bulk Read job costs 50."
    return Finding("credits", "warning", message, "Wait, or stop other programs that use the API.")


def _clock(ahead: float | None) -> Finding:
    """Return what the difference of the clocks means, in seconds by which ours is ahead."""
    if ahead is None:
        return Finding("clock", "warning", "Zoho's responses did not say what time it is.")
    if abs(ahead) <= _MOST_SKEW:
        return Finding("clock", "ok", "The clock agrees with Zoho's.")
    way = "ahead of" if ahead > 0 else "behind"
    message = f"The clock is {abs(ahead):,.0f} seconds {way} Zoho's."
    return Finding("clock", "warning", message, "Set the machine's clock, for example with NTP.")
