"""`connections ...`: put, show, list, delete and ensure-indexes. No command prints a refresh token."""

import getpass
import sys
from typing import Annotated

import typer

from crm_export.connections.model import Connection
from crm_export.errors import ExportError, UntrustedOrigin
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.options import (
    DEFAULT_MONGO_URI_ENV,
    DEFAULT_PREFIX,
    AccountOption,
    MongoOption,
    OptionalAccount,
    OwnerOption,
    PrefixOption,
    Store,
    StoreOption,
    TrustOption,
)
from crm_export_cli.stores import Entry, StoreChoice, open_mongo, open_store

app = typer.Typer(help="Stored OAuth grants.", no_args_is_help=True, rich_markup_mode=None)
_STORE = Store.SECRETS_MANAGER


@app.command()
def put(
    *,
    account: AccountOption,
    owner: OwnerOption,
    api_domain: Annotated[
        str, typer.Option("--api-domain", metavar="URL", help="such as https://www.zohoapis.eu")
    ],
    accounts_server: Annotated[
        str | None,
        typer.Option(
            "--accounts-server",
            metavar="URL",
            help="default: the one of the API domain; required for a domain of --trust-origin",
        ),
    ] = None,
    refresh_token_stdin: Annotated[
        bool,
        typer.Option(
            "--refresh-token-stdin",
            help="read the refresh token from standard input; by default the command asks for it",
        ),
    ] = False,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    trust_origin: TrustOption = None,
) -> None:
    """Store a connection, or replace it, if its hosts are trusted."""
    token = {"api_domain": api_domain, "refresh_token": "-"}
    if accounts_server:
        token["accounts_server"] = accounts_server
    checked = Connection.from_document(account, owner, {"token": token}, tuple(trust_origin or ()))
    token["refresh_token"] = _refresh_token(refresh_token_stdin)
    token["api_domain"] = checked.api_domain
    if accounts_server:
        token["accounts_server"] = checked.accounts_server
    with open_store(StoreChoice(store, prefix, mongo_uri_env)) as opened:
        is_new = opened.put(account, owner, token)
    print(f"{'Stored' if is_new else 'Replaced'} the connection of {account}/{owner}.")


@app.command()
def show(
    *,
    account: AccountOption,
    owner: OwnerOption,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    trust_origin: TrustOption = None,
) -> None:
    """Show a connection without its token, one value per line."""
    with open_store(StoreChoice(store, prefix, mongo_uri_env)) as opened:
        entries = opened.entries(account, owner)
    if not entries:
        raise _not_found(account, owner)
    if len(entries) > 1:
        print(f"warning: stored {len(entries)} times; see ensure-indexes", file=sys.stderr)
    for entry in entries:
        for name, value in _describe(entry, trust_origin).items():
            print(f"{name:<16}{value}")


@app.command("list")
def list_all(
    *,
    account: OptionalAccount = None,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    trust_origin: TrustOption = None,
) -> None:
    """List connections: account, owner, API domain and state, separated by tabs."""
    with open_store(StoreChoice(store, prefix, mongo_uri_env)) as opened:
        entries = opened.entries(account)
    for entry in entries:
        values = {"api_domain": "-", **_describe(entry, trust_origin)}
        print("\t".join(values[name] for name in ("account_id", "owner", "api_domain", "state")))
    print(f"{len(entries)} connection{'' if len(entries) == 1 else 's'}", file=sys.stderr)


@app.command()
def delete(
    *,
    account: AccountOption,
    owner: OwnerOption,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
) -> None:
    """Delete a connection permanently."""
    with open_store(StoreChoice(store, prefix, mongo_uri_env)) as opened:
        deleted = opened.delete(account, owner)
    if not deleted:
        raise _not_found(account, owner)
    print(f"Deleted the connection of {account}/{owner}.")


@app.command()
def ensure_indexes(
    *,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
) -> None:
    """Create the unique index on account_id and owner, which only MongoDB needs."""
    if store is not Store.MONGO:
        raise CliError("Only --store mongo has indexes: secret names are unique already.", Exit.USAGE)
    with open_mongo(mongo_uri_env) as opened:
        print(f"Unique index {opened.ensure_indexes()} exists.")


def _describe(entry: Entry, trusted: list[str] | None) -> dict[str, str]:
    values = {"account_id": entry.account_id, "owner": entry.owner}
    try:
        connection = Connection.from_document(
            entry.account_id, entry.owner, entry.document, tuple(trusted or ())
        )
    except UntrustedOrigin as error:
        return {**values, "state": f"unusable: {error.message} Here --trust-origin lists such origins."}
    except ExportError as error:
        return {**values, "state": f"unusable: {error.message}"}
    invalidated = bool(entry.document and entry.document.get("token_invalidated"))
    return {
        **values,
        "api_domain": connection.api_domain,
        "accounts_server": connection.accounts_server,
        "state": "invalidated" if invalidated else "valid",
    }


def _refresh_token(from_stdin: bool) -> str:
    if from_stdin:
        token = sys.stdin.read().strip()
    elif sys.stdin.isatty():
        token = getpass.getpass("Refresh token: ").strip()
    else:
        raise CliError(
            "Standard input is not a terminal: use --refresh-token-stdin and write the token there.",
            Exit.USAGE,
        )
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CliError("The refresh token must be one word of printable ASCII; nothing was stored.")
    return token


def _not_found(account: str, owner: str) -> CliError:
    return CliError(f"No connection of {account}/{owner} is stored.", Exit.NOT_CONNECTED)
