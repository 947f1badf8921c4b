"""How a command ends: its exit code, and what it reports if it failed."""

from enum import IntEnum

from crm_export.errors import (
    CallerNotIdentified,
    ConnectionMalformed,
    ConnectionNotFound,
    ExportError,
    InvalidRequest,
    QueryRefused,
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


class Exit(IntEnum):
    """The exit codes, for all commands."""

    DONE = 0  # also: nothing to resume
    FAILED = 1  # an export FAILED, or the command could not do what it should
    USAGE = 2  # wrong usage: an unknown option, an invalid value
    REFUSED = 3  # some of several modules were refused
    NOT_CONNECTED = 4  # not connected, or not allowed
    INTERRUPTED = 130  # interrupted; `crm-export exports resume` continues


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
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


def from_export_error(error: ExportError) -> CliError:
    """Return an error of the package as the command line reports it."""
    if isinstance(error, TokenInvalidated):  # its message is that of the original API
        message = f"Zoho does not accept the connection. {error.reason}"
        remedy = "Connect again: crm-export connect."
        return CliError(message, Exit.NOT_CONNECTED, code=error.code, remedy=remedy)
    exit_code = Exit.FAILED
    if isinstance(error, _NOT_CONNECTED):
        exit_code = Exit.NOT_CONNECTED
    elif isinstance(error, _WRONG_USAGE):
        exit_code = Exit.USAGE
    # The remedies of outages speak of requests to a stack.
    later = error.retryable and not isinstance(error, FolderFull)
    remedy = "Try again later." if later else error.remedy
    # Its message is that of the original API, for which a request named a type.
    message = "There is no such module." if isinstance(error, TypeNotSupported) else error.message
    return CliError(message, exit_code, code=error.code, remedy=remedy)
