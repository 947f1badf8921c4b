"""`crm-export doctor`: looks for what would stop an export, each finding with its remedy."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import shlex
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from crm_export_cli.exits import CliError, Exit
from crm_export_cli.findings import Finding, of_connection, of_error
from crm_export_cli.folder import ACCOUNT, OWNER, STATE
from crm_export_cli.options import JsonOption, TrustOption
from crm_export_cli.output import fitted, print_json
from crm_export_cli.targets import Target, with_source

if TYPE_CHECKING:
    from crm_export.zoho.checks import Report

_INDENT = 21  # columns before a message
_LEAST_FREE = 1_000_000_000  # bytes
_NOT_CONNECTED = {"credentials", "connection", "token", "scopes"}  # checks whose errors end with code 4


@with_source
def doctor(
    *,
    target: Target,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> int:
    """Example: crm-export doctor --to ./out

    Check the folder or the stack, the connection, the token, its scopes, the clock and the API credits. Of a
    stack also: its resources, the functions, the issuer of tokens, the URL for Zoho's callbacks, the quota of
    Lambda and the dead letters. Exit code 4 if the connection does not work or AWS refuses the operator,
    1 for another error, 0 otherwise.
    """
    findings = list(_of_stack(target) if target.is_stack else _of_folder(target.folder, trust_origin or []))
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in _in_short(findings):
            _print(finding)
    errors = {finding.check for finding in findings if finding.state == "error"}
    if errors & _NOT_CONNECTED:
        return Exit.NOT_CONNECTED
    return Exit.FAILED if errors else Exit.DONE


def _in_short(findings: list[Finding]) -> Iterator[Finding]:
    """Yield the findings for people: all granted scopes are one."""
    granted = [finding for finding in findings if (finding.check, finding.state) == ("scopes", "ok")]
    for finding in findings:
        if finding not in granted:
            yield finding
        elif finding is granted[0]:
            message = f"{len(granted)} scopes are granted; --json says what each is used for."
            yield Finding("scopes", "ok", message)


def _print(finding: Finding) -> None:
    print(fitted(f"{finding.state:<9}{finding.check:<12}{finding.message}", _INDENT))
    if finding.remedy:
        print(fitted(f"{'':<{_INDENT}}{finding.remedy}", _INDENT))


def _of_stack(target: Target) -> Iterator[Finding]:
    from crm_export_cli.stack.checks import check_stack

    try:
        backend = target.stack_backend()
    except CliError as error:
        if error.exit_code == Exit.USAGE:
            raise
        yield of_error("credentials" if error.exit_code == Exit.NOT_CONNECTED else "stack", error)
        return
    yield from check_stack(backend.stack)
    yield from of_connection(backend.check)


def _of_folder(to: Path, trusted: list[str]) -> Iterator[Finding]:
    yield from _check_folder(to)
    yield from of_connection(lambda: _try_folder(to, tuple(trusted)))


# --- the folder ------------------------------------------------------------------------------


def _check_folder(to: Path) -> Iterator[Finding]:
    """Check that only the owner can read the folder's secrets, and that there is space."""
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


def _try_folder(to: Path, trusted: tuple[str, ...]) -> "Report":
    """Try the folder's connection. Raises ExportError and CliError."""
    from crm_export.connections.broker import refresher
    from crm_export.zoho.checks import Checks
    from crm_export.zoho.transport import make_session
    from crm_export_cli.folder.backend import FolderBackend
    from crm_export_cli.folder.wiring import FolderSettings, connections_of

    FolderBackend.require_connection(to, FolderSettings(trusted))
    session, connection = make_session(), connections_of(to, trusted).get(ACCOUNT, OWNER)
    return Checks(session, connection.api_domain, refresher(session, None)(connection)).run()
