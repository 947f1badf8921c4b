"""`crm-export doctor`: looks for what would stop an export into a folder, each finding with its remedy.

A stack adds checks of its own to `_CHECKS`: its issuer and parts, and whether Zoho reaches its callback.
"""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import shlex
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crm_export.errors import ConnectionNotFound, ExportError
from crm_export.system import utc_now
from crm_export_cli.exits import Exit, from_export_error
from crm_export_cli.folder import ACCOUNT, OWNER, STATE
from crm_export_cli.options import JsonOption, TrustOption
from crm_export_cli.output import fitted, print_json
from crm_export_cli.targets import ToOption

if TYPE_CHECKING:
    from crm_export.connections.model import Connection

_INDENT = 21  # columns before a message
_LEAST_FREE = 1_000_000_000  # bytes
_MOST_SKEW = 60.0  # seconds; the lives of tokens and of Zoho's results are compared with our clock
_FEW_CREDITS = 500  # ten jobs


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ok: nothing to do; warning: may fail later; error: no export works."""

    check: str
    state: Literal["ok", "warning", "error"]
    message: str
    remedy: str | None = None


def doctor(*, to: ToOption, trust_origin: TrustOption = None, as_json: JsonOption = False) -> int:
    """Example: crm-export doctor --to ./out

    Check the folder, the connection, the token, its scopes, the clock and the API credits. Exit code 4 if the
    connection does not work, 1 for another error, 0 otherwise.
    """
    findings = [finding for check in _CHECKS for finding in check(to, tuple(trust_origin or ()))]
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _print(finding)
    errors = {finding.check for finding in findings if finding.state == "error"}
    if errors & {"connection", "token", "scopes"}:
        return Exit.NOT_CONNECTED
    return Exit.FAILED if errors else Exit.DONE


def _print(finding: Finding) -> None:
    print(fitted(f"{finding.state:<9}{finding.check:<12}{finding.message}", _INDENT))
    if finding.remedy:
        print(fitted(f"{'':<{_INDENT}}{finding.remedy}", _INDENT))


# --- the folder ------------------------------------------------------------------------------


def check_folder(to: Path, trusted: tuple[str, ...] = ()) -> Iterator[Finding]:
    """Check that only the owner can read the folder's secrets, and that there is space."""
    del trusted
    wide = sorted(_readable_by_others(to / STATE))
    if wide:
        quoted = shlex.quote(str(to / STATE))
        message = f"Others may read {', '.join(wide)}."
        yield Finding("permissions", "error", message, f"Run: chmod -R go= {quoted}")
    elif (to / STATE).exists():
        yield Finding("permissions", "ok", f"Only you can read {to / STATE}.")
    free = shutil.disk_usage(_existing(to)).free
    enough = free >= _LEAST_FREE
    message = f"{free / 1e9:,.1f} GB are free in {to}."
    remedy = None if enough else "Free some space, or choose another folder with --to."
    yield Finding("space", "ok" if enough else "warning", message, remedy)


def _readable_by_others(state: Path) -> Iterator[str]:
    if not state.exists():
        return
    for path in (state, *state.rglob("*")):
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077 and _is_private(path, state):
            yield path.name


def _is_private(path: Path, state: Path) -> bool:
    """Return True unless a folder above, which others cannot enter, protects it (mode 700)."""
    return path == state or bool(stat.S_IMODE(state.stat().st_mode) & 0o077)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())


# --- Zoho ------------------------------------------------------------------------------------


def check_zoho(to: Path, trusted: tuple[str, ...]) -> Iterator[Finding]:
    """Check the connection, and try it: token, clock, scopes, credits. Later checks need the earlier ones."""
    from crm_export_cli.folder.wiring import connections_of

    try:
        connection = connections_of(to, trusted).get(ACCOUNT, OWNER)
    except ConnectionNotFound:
        remedy = f"Run: crm-export connect --to {shlex.quote(str(to))}"
        yield Finding("connection", "error", f"The folder {to} has no connection to Zoho.", remedy)
        return
    except ExportError as error:
        yield _failed("connection", error)
        return
    yield Finding("connection", "ok", f"A connection to {connection.api_domain} is stored.")
    yield _check_clock(connection)
    yield from _try(connection)


def _try(connection: "Connection") -> Iterator[Finding]:
    from crm_export.connections.broker import refresher
    from crm_export.zoho.transport import make_session
    from crm_export_cli.checks import Checks
    from crm_export_cli.connect import lacking

    session = make_session()
    try:
        token = refresher(session, None)(connection)
        report = Checks(session, connection, token).run()
    except ExportError as error:
        yield _failed("token", error)
        return
    yield Finding(
        "token", "ok", f"Zoho issued an access token for {round(report.token_seconds / 60)} minutes."
    )
    lack = lacking(report, "No export would work.")
    if lack is not None:
        yield Finding("scopes", "error", lack.message, lack.remedy)
    for check in report.missing(required=False):
        purpose = f"{check.scope.name} is missing. It is used to {check.scope.purpose}."
        yield Finding("scopes", "warning", purpose, "Connect again with this scope, if you need it.")
    if lack is None and not report.missing(required=False):
        yield Finding("scopes", "ok", "All scopes are granted.")
    yield _credits(report.credits_left)


def _credits(left: int | None) -> Finding:
    if left is None:
        return Finding("credits", "ok", "More than half of the API credits of a day are left.")
    if left >= _FEW_CREDITS:
        return Finding("credits", "ok", f"{left:,} API credits of the last 24 hours are left.")
    message = f"Only {left:,} API credits of the last 24 hours are left; a Bulk Read job costs 50."
    return Finding("credits", "warning", message, "Wait, or stop other programs that use the API.")


def _check_clock(connection: "Connection") -> Finding:
    """Compare our clock with Zoho's `Date`, whatever the status: the request needs no token."""
    import requests

    from crm_export.zoho.transport import TIMEOUT, make_session

    try:
        with make_session().get(
            f"{connection.api_domain}/", timeout=TIMEOUT, allow_redirects=False, stream=True
        ) as response:
            theirs = parsedate_to_datetime(response.headers["Date"])
    except (requests.RequestException, KeyError, ValueError) as error:
        return Finding("clock", "warning", f"Zoho's time is not known ({type(error).__name__}).")
    return compare_clocks(theirs, utc_now())


def compare_clocks(theirs: datetime, ours: datetime) -> Finding:
    """Return what the difference of the clocks means."""
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    skew = (ours - theirs).total_seconds()
    if abs(skew) <= _MOST_SKEW:
        return Finding("clock", "ok", "The clock agrees with Zoho's.")
    way = "ahead of" if skew > 0 else "behind"
    message = f"The clock is {abs(skew):,.0f} seconds {way} Zoho's."
    return Finding("clock", "warning", message, "Set this machine's clock, for example with NTP.")


def _failed(check: str, error: ExportError) -> Finding:
    failed = from_export_error(error)
    return Finding(check, "error", failed.message, failed.remedy)


_CHECKS: tuple[Callable[[Path, tuple[str, ...]], Iterator[Finding]], ...] = (check_folder, check_zoho)
