"""The commands and options of the command line."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from cli import connections
from crm_export.connections.model import require_identity
from crm_export.errors import CallerNotIdentified

_EPILOG = """\
stores: `secretsmanager` uses AWS credentials and region as the AWS CLI does (AWS_PROFILE, AWS_DEFAULT_REGION,
...); `mongo` reads its URI, which names the database, from an environment variable.
exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no such connection, 4 the store does not respond.
"""


_HELP: dict[str, Any] = {"epilog": _EPILOG, "formatter_class": argparse.RawDescriptionHelpFormatter}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser. In the options it returns, `run` is the function of the command."""
    description = "Manage the connections (stored OAuth grants) of zoho-crm-export."
    parser = argparse.ArgumentParser(prog="python -m cli", description=description, **_HELP)
    groups = parser.add_subparsers(dest="group", required=True)
    group = groups.add_parser("connections", help="stored OAuth grants")
    command = partial(_add_command, group.add_subparsers(dest="command", required=True))
    store, identity, trust = _common_options()
    put = command("put", connections.put, "store a connection, or replace it", [store, identity, trust])
    put.add_argument("--api-domain", required=True, metavar="URL", help="such as https://www.zohoapis.eu")
    help_text = "default: the one of the API domain; required for a domain of --trust-origin"
    put.add_argument("--accounts-server", metavar="URL", help=help_text)
    put.add_argument(
        "--refresh-token-stdin",
        action="store_true",
        help="read the refresh token from standard input; by default the command asks for it",
    )
    command("show", connections.show, "show a connection without its token", [store, identity, trust])
    listing = command("list", connections.list_all, "list connections", [store, trust])
    listing.add_argument("--account", type=_identity("account_id"), metavar="A", help="of this account only")
    command("delete", connections.delete, "delete a connection permanently", [store, identity])
    summary = "create the unique index on account_id and owner (mongo only)"
    command("ensure-indexes", connections.ensure_indexes, summary, [store])
    return parser


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], summary: str, parents: list[Any]
) -> argparse.ArgumentParser:
    # No abbreviations: --refresh-token must not be taken for --refresh-token-stdin.
    description = f"{summary.capitalize()}."
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, parents=parents, allow_abbrev=False, **_HELP
    )
    added.set_defaults(run=run)
    return added


def _common_options() -> list[argparse.ArgumentParser]:
    """Return parsers of the options that commands share: of the store, of an identity, and of trust."""
    store, identity, trust = (argparse.ArgumentParser(add_help=False) for _ in range(3))
    store.add_argument("--store", choices=("secretsmanager", "mongo"), default="secretsmanager")
    store.add_argument(
        "--prefix",
        default="zoho-crm-export/connections",
        help="secretsmanager: the stack's ConnectionPrefix, or its name/connections (default: %(default)s)",
    )
    store.add_argument(
        "--mongo-uri-env",
        default="MONGODB_URI",
        metavar="NAME",
        help="mongo: the environment variable that contains the URI (default: %(default)s)",
    )
    identity.add_argument("--account", required=True, type=_identity("account_id"), metavar="A")
    identity.add_argument("--owner", required=True, type=_identity("uid"), metavar="O")
    help_text = "trust this origin in addition to Zoho's, as TrustedZohoOrigins does (repeatable)"
    trust.add_argument("--trust-origin", action="append", default=[], metavar="URL", help=help_text)
    return [store, identity, trust]


def _identity(claim: str) -> Callable[[str], str]:
    def identity(value: str) -> str:
        try:
            return require_identity(claim, value)
        except CallerNotIdentified as error:
            raise argparse.ArgumentTypeError(f"the functions would refuse it: {error.message}") from error

    return identity
