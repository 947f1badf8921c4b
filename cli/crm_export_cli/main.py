"""`crm-export`: runs one command and returns its exit code (`crm_export_cli.exits.Exit`)."""

import signal
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from crm_export import __version__
from crm_export.errors import ExportError
from crm_export_cli import connections, exporting, exports, folding, lake, looking, syncs
from crm_export_cli.connect import HELP, connect
from crm_export_cli.doctor import doctor
from crm_export_cli.exits import CliError, Exit, from_export_error
from crm_export_cli.logs import shown, silenced
from crm_export_cli.output import print_json, tell

app = typer.Typer(
    name="crm-export",
    help="Zoho CRM data, out of Zoho: into a folder, or into your AWS account.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some modules were refused or some runs did not "
    "start, 4 not connected or not allowed, 130 interrupted (can be resumed).",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"crm-export {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and exit"),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the log on stderr; it contains no secrets")
    ] = False,
) -> None:
    """Zoho CRM data, out of Zoho: into a folder, or into your AWS account."""
    if debug:
        context.with_resource(shown())


app.command("connect", help=HELP, short_help="Connect to a Zoho CRM organisation.")(connect)
app.command(short_help="Export whole modules into a folder.")(exporting.export)
app.command(short_help="Print the records of a page, or of all pages.")(looking.page)
app.command(short_help="List the modules of the organisation.")(looking.modules)
app.command(short_help="List the fields of a module.")(looking.fields)
app.command(short_help="Print the log of a folder or a stack.")(looking.logs)
app.command(short_help="Look for what would stop an export.")(doctor)
app.command(short_help="Write the current rows of a sync.")(folding.fold)
app.add_typer(exports.app, name="exports")
app.add_typer(syncs.app, name="sync")
app.add_typer(lake.app, name="lake")
app.add_typer(connections.app, name="connections")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `--json` reports an error as a document on stdout."""
    if arguments is None:
        arguments = sys.argv[1:]
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        with silenced():
            code = _command()(args=list(arguments), standalone_mode=False)
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


@cache
def _command() -> Any:
    return typer.main.get_command(app)


def _report(error: CliError, *, as_json: bool) -> int:
    if as_json:
        print_json({"error": error.to_dict()})
    else:
        between = "\n" if "\n" in error.message else " "  # a caret stands below its position
        tell(f"error: {error.message}{between}{error.remedy or ''}".rstrip())
    return error.exit_code
