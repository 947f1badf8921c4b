"""The commands and options of the command line."""

import argparse
from collections.abc import Callable

from cli import connections
from crm_export.connections.model import require_identity
from crm_export.errors import CallerNotIdentified

_EPILOG = """\
stores: `secretsmanager` uses AWS credentials and region as the AWS CLI does (AWS_PROFILE, AWS_DEFAULT_REGION,
...); `mongo` reads its URI, which names the database, from an environment variable.
exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no such connection, 4 the store does not answer.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser; `run` of what it returns is the command."""
    parser = argparse.ArgumentParser(
        prog="python -m cli",
        description="Look after the connections (stored OAuth grants) of zoho-crm-export.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups = parser.add_subparsers(dest="group", required=True)
    commands = groups.add_parser("connections", help="stored OAuth grants").add_subparsers(
        dest="command", required=True
    )

    put = _command(commands, "put", connections.put, "store a connection, new or in place of the old")
    _identity_options(put)
    put.add_argument("--api-domain", required=True, metavar="URL", help="such as https://www.zohoapis.eu")
    put.add_argument(
        "--accounts-server", metavar="URL", help="default: the one that belongs to the API domain"
    )
    put.add_argument(
        "--refresh-token-stdin",
        action="store_true",
        help="read the refresh token from standard input; without this it is asked for",
    )
    _trust_option(put)

    show = _command(commands, "show", connections.show, "show a connection, but for its token")
    _identity_options(show)
    _trust_option(show)

    listing = _command(commands, "list", connections.list_all, "list connections")
    listing.add_argument("--account", type=_identity("account_id"), metavar="A", help="only of this account")
    _trust_option(listing)

    delete = _command(commands, "delete", connections.delete, "delete a connection for good")
    _identity_options(delete)

    _command(
        commands,
        "ensure-indexes",
        connections.ensure_indexes,
        "make the unique index on account_id and owner (mongo only)",
    )
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".", epilog=_EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.allow_abbrev = False  # --refresh-token must not pass for --refresh-token-stdin
    parser.set_defaults(run=run)
    parser.add_argument("--store", choices=("secretsmanager", "mongo"), default="secretsmanager")
    parser.add_argument(
        "--prefix",
        default="zoho-crm-export/connections",
        help="secretsmanager: what the names of the secrets begin with (default: %(default)s)",
    )
    parser.add_argument(
        "--mongo-uri-env",
        default="MONGODB_URI",
        metavar="NAME",
        help="mongo: the environment variable that holds the URI (default: %(default)s)",
    )
    return parser


def _identity_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", required=True, type=_identity("account_id"), metavar="A")
    parser.add_argument("--owner", required=True, type=_identity("uid"), metavar="O")


def _trust_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust-origin",
        action="append",
        default=[],
        metavar="URL",
        help="an origin beside Zoho's own, as in the parameter TrustedZohoOrigins (repeatable)",
    )


def _identity(claim: str) -> Callable[[str], str]:
    def identity(value: str) -> str:
        try:
            return require_identity(claim, value)
        except CallerNotIdentified as error:
            raise argparse.ArgumentTypeError(f"the functions would refuse it: {error.message}") from error

    return identity
