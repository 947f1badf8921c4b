"""`crm-export`: runs one command and returns its exit code (`crm_export_cli.exits.Exit`)."""

import sys
from collections.abc import Sequence

import typer

from crm_export.errors import (
    ConnectionMalformed,
    ConnectionNotFound,
    ExportError,
    TokenInvalidated,
    UntrustedOrigin,
    WrongDataCentre,
    ZohoClientRejected,
    ZohoPermissionDenied,
)
from crm_export_cli import connections
from crm_export_cli.connect import HELP, connect
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.output import print_json

_NOT_CONNECTED = (
    ConnectionMalformed, ConnectionNotFound, UntrustedOrigin, WrongDataCentre, ZohoClientRejected,
    ZohoPermissionDenied,
)  # fmt: skip

app = typer.Typer(
    name="crm-export",
    help="Zoho CRM data, out of Zoho: into a folder, or into your AWS account.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some modules were refused, 4 not connected or not "
    "allowed, 130 interrupted (can be resumed).",
)
app.command("connect", help=HELP, short_help="Connect to a Zoho CRM organisation.")(connect)
app.add_typer(connections.app, name="connections")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `--json` reports an error as a document on stdout."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(args=list(arguments), standalone_mode=False)
    except typer.TyperException as error:  # of the parser: wrong usage
        failed = CliError(
            f"{error.format_message()}.".replace("..", "."), Exit.USAGE, remedy="See crm-export --help."
        )
        return _report(failed, as_json="--json" in arguments)
    except CliError as error:
        return _report(error, as_json="--json" in arguments)
    except ExportError as error:
        return _report(from_export_error(error), as_json="--json" in arguments)
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    return code or Exit.DONE


def from_export_error(error: ExportError) -> CliError:
    """Return an error of the package as the command line reports it."""
    if isinstance(error, TokenInvalidated):
        message = f"Zoho does not accept the connection. {error.reason}"
        remedy = "Connect again: crm-export connect."
        return CliError(message, Exit.NOT_CONNECTED, code=error.code, remedy=remedy)
    exit_code = Exit.NOT_CONNECTED if isinstance(error, _NOT_CONNECTED) else Exit.FAILED
    remedy = "Try again later." if error.retryable else error.remedy
    return CliError(error.message, exit_code, code=error.code, remedy=remedy)


def _report(error: CliError, *, as_json: bool) -> int:
    if as_json:
        print_json({"error": error.document()})
    else:
        remedy = f" {error.remedy}" if error.remedy else ""
        print(f"error: {error.message}{remedy}", file=sys.stderr)
    return error.exit_code
