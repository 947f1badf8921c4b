"""How a command ends: its exit code, and what it reports if it failed."""

from enum import IntEnum
from typing import Any

from crm_export.errors import (
    CallerNotIdentified,
    ConnectionMalformed,
    ConnectionNotFound,
    ExportError,
    InvalidRequest,
    QueryRefused,
    SyncNotFound,
    TokenInvalidated,
    TypeNotSupported,
    UntrustedOrigin,
    WrongDataCentre,
    ZohoClientRejected,
    ZohoPermissionDenied,
    ZohoTokenRejected,
)
from crm_export_cli.folder.errors import FolderFull

_NOT_CONNECTED = (
    ConnectionNotFound, ConnectionMalformed, UntrustedOrigin, WrongDataCentre, ZohoClientRejected,
    ZohoPermissionDenied, ZohoTokenRejected,
)  # fmt: skip
_WRONG_USAGE = (CallerNotIdentified, InvalidRequest, QueryRefused, TypeNotSupported)

# For errors whose own remedies speak of a stack. The reasons of failed exports get them in a folder.
_REMEDIES = {
    "CONFIGURATION": "Correct the option or the variable that the message names.",
    "UNTRUSTED_ORIGIN": "If this host is to be trusted, name it with --trust-origin.",
    "PARTS_OVERLAP": "Start a new export.",
    "OBJECT_CONFLICT": "Start a new export; nothing else may write to DIR/exports.",
    "MANIFEST_CONFLICT": "Trust the manifest in the folder, which was not touched; start a new export.",
    "STORAGE_REFUSED": "Look at the permissions of the folder and its disk, then start a new export.",
    "ZOHO_CLIENT_REJECTED": "Connect again with the right client id and secret: crm-export connect.",
    "ZOHO_PAGE_RANGE_EXCEEDED": "Split the export with --where.",
    "RUN_IN_PROGRESS": "`crm-export sync run` waits for it, and continues it if it was interrupted.",
    "CREDIT_SHARE_SPENT": "A later `crm-export sync run` tries again; --credit-share allows more.",
    "CHAIN_BROKEN": "Start a full run: crm-export sync run MODULE --full.",
    "SYNC_NOT_FOUND": "Create it with `crm-export sync put`; `crm-export sync list` lists the syncs.",
}

# In place of messages of the original API.
_MESSAGES = {
    "CONNECTION_NOT_FOUND": "There is no connection to Zoho.",
    "TOKEN_INVALIDATED": "Zoho does not accept the connection.",
    "TYPE_NOT_SUPPORTED": "There is no such module.",
    "SYNC_NOT_FOUND": "There is no sync of this module.",
}


def folder_remedy(code: str, remedy: str) -> str:
    """Return the remedy of a failed export for a folder, which has no stack to deploy."""
    return _REMEDIES.get(code, remedy)


class Exit(IntEnum):
    """The exit codes, for all commands."""

    DONE = 0  # also: nothing to resume, and no run is due
    FAILED = 1  # an export FAILED, or the command could not do what it should
    USAGE = 2  # wrong usage: an unknown option, an invalid value
    REFUSED = 3  # some of several modules were refused, or a run could not start
    NOT_CONNECTED = 4  # not connected, or not allowed
    INTERRUPTED = 130  # interrupted; `crm-export exports resume`, or `sync run`, continues


class CliError(Exception):
    """The command failed. The message says why; `remedy` says what to do, if the message does not."""

    def __init__(
        self,
        message: str,
        exit_code: Exit = Exit.FAILED,
        *,
        code: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code or exit_code.name
        self.remedy = remedy

    def to_dict(self) -> dict[str, str | None]:
        """Return what `--json` writes as `error`."""
        usual = "See crm-export --help." if self.exit_code == Exit.USAGE else None
        return {"code": self.code, "message": self.message, "remedy": self.remedy or usual}


def from_response(error: dict[str, Any]) -> CliError:
    """Return the error that a stack has responded with, as the command line reports it."""
    code, message = error["code"], _MESSAGES.get(error["code"], error["message"])
    remedy = _REMEDIES[code] if code == SyncNotFound.code else error.get("remedy")
    return CliError(message, exit_of(code), code=code, remedy=remedy)


def exit_of(code: str) -> Exit:
    """Return the exit code for the `code` of an error, which a stack has reported."""
    matching = [kind for kind in _below(ExportError) if kind.code == code]
    if any(issubclass(kind, (*_NOT_CONNECTED, TokenInvalidated)) for kind in matching):
        return Exit.NOT_CONNECTED
    return Exit.USAGE if any(issubclass(kind, _WRONG_USAGE) for kind in matching) else Exit.FAILED


def _below(kind: type[ExportError]) -> list[type[ExportError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _below(child))]


def from_export_error(error: ExportError) -> CliError:
    """Return an error of the package as the command line reports it."""
    if isinstance(error, TokenInvalidated):
        message = f"{_MESSAGES[error.code]} {error.reason}"
        remedy = "Connect again: crm-export connect."
        return CliError(message, Exit.NOT_CONNECTED, code=error.code, remedy=remedy)
    exit_code = Exit.FAILED
    if isinstance(error, _NOT_CONNECTED):
        exit_code = Exit.NOT_CONNECTED
    elif isinstance(error, _WRONG_USAGE):
        exit_code = Exit.USAGE
    # The remedies of outages speak of requests to a stack.
    later = error.retryable and not isinstance(error, FolderFull)
    remedy = "Try again later." if later else _REMEDIES.get(error.code, error.remedy)
    message = _MESSAGES.get(error.code, error.message)
    return CliError(message, exit_code, code=error.code, remedy=remedy)
