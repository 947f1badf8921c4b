"""The commands and options of the command line."""

import argparse
from collections.abc import Callable

from cli import connections
from crm_export.connections.model import require_identity
from crm_export.errors import CallerNotIdentified

_EPILOG = """\
stores: `secretsmanager` uses AWS credentials and region as the AWS CLI does (AWS_PROFILE, AWS_DEFAULT_REGION,
...); `mongo` reads its URI, which names the database, from an environment variable.
exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no such connection, 4 the store does not respond.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser. In the options it returns, `run` is the function of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m cli",
        description="Manage the connections (stored OAuth grants) of zoho-crm-export.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups = parser.add_subparsers(dest="group", required=True)
    group = groups.add_parser("connections", help="stored OAuth grants")
    commands = group.add_subparsers(dest="command", required=True)
    store, identity, trust = _store_options(), _identity_options(), _trust_options()

    def command(
        name: str,
        run: Callable[[argparse.Namespace], None],
        summary: str,
        *parents: argparse.ArgumentParser,
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=summary,
            description=f"{summary.capitalize()}.",
            epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[store, *parents],
            allow_abbrev=False,  # --refresh-token must not be taken for --refresh-token-stdin
        )
        added.set_defaults(run=run)
        return added

    put = command("put", connections.put, "store a connection, or replace it", identity, trust)
    put.add_argument("--api-domain", required=True, metavar="URL", help="such as https://www.zohoapis.eu")
    put.add_argument("--accounts-server", metavar="URL", help="default: the one of the API domain")
    put.add_argument(
        "--refresh-token-stdin",
        action="store_true",
        help="read the refresh token from standard input; by default the command asks for it",
    )
    command("show", connections.show, "show a connection without its token", identity, trust)
    listing = command("list", connections.list_all, "list connections", trust)
    listing.add_argument("--account", type=_identity("account_id"), metavar="A", help="of this account only")
    command("delete", connections.delete, "delete a connection permanently", identity)
    summary = "create the unique index on account_id and owner (mongo only)"
    command("ensure-indexes", connections.ensure_indexes, summary)
    return parser


def _store_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--store", choices=("secretsmanager", "mongo"), default="secretsmanager")
    parser.add_argument(
        "--prefix",
        default="zoho-crm-export/connections",
        help="secretsmanager: the prefix of the secrets' names (default: %(default)s)",
    )
    parser.add_argument(
        "--mongo-uri-env",
        default="MONGODB_URI",
        metavar="NAME",
        help="mongo: the environment variable that contains the URI (default: %(default)s)",
    )
    return parser


def _identity_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--account", required=True, type=_identity("account_id"), metavar="A")
    parser.add_argument("--owner", required=True, type=_identity("uid"), metavar="O")
    return parser


def _trust_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--trust-origin",
        action="append",
        default=[],
        metavar="URL",
        help="trust this origin in addition to Zoho's, as TrustedZohoOrigins does (repeatable)",
    )
    return parser


def _identity(claim: str) -> Callable[[str], str]:
    def identity(value: str) -> str:
        try:
            return require_identity(claim, value)
        except CallerNotIdentified as error:
            raise argparse.ArgumentTypeError(f"the functions would refuse it: {error.message}") from error

    return identity
