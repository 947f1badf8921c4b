"""`connections ...`: put, show, list, test, delete and ensure-indexes. No command prints a secret."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import getpass
import os
import sys
from dataclasses import replace
from typing import Annotated

import typer

from crm_export.connections.model import Connection
from crm_export.errors import ExportError, UntrustedOrigin
from crm_export.zoho.grants import ZohoClientCredentials
from crm_export_cli.connect import lacking
from crm_export_cli.entries import Entry
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.options import (
    DEFAULT_MONGO_URI_ENV,
    DEFAULT_PREFIX,
    AccountOption,
    FolderAccount,
    FolderOption,
    FolderOwner,
    JsonOption,
    MongoOption,
    OptionalAccount,
    OwnerOption,
    PrefixOption,
    Store,
    StoreOption,
    TrustOption,
    identity,
)
from crm_export_cli.output import print_json
from crm_export_cli.questions import confirm, one_word
from crm_export_cli.reports import connection_document, print_report
from crm_export_cli.stores import StoreChoice, open_mongo, open_store

app = typer.Typer(help="Stored OAuth grants.", no_args_is_help=True, rich_markup_mode=None)
_STORE = Store.SECRETS_MANAGER
_CLIENT = ("CRM_EXPORT_CLIENT_ID", "CRM_EXPORT_CLIENT_SECRET")


@app.command(short_help="Store a connection, or replace it.")
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
    """Example: crm-export connections put --account A --owner O --api-domain https://www.zohoapis.eu

    Store a connection, or replace it, if its hosts are trusted.
    """
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


@app.command(short_help="Show a connection without its secrets.")
def show(
    *,
    to: FolderOption = None,
    account: FolderAccount = None,
    owner: FolderOwner = None,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Example: crm-export connections show --to ./out

    Show a connection without its secrets, one value per line. `test` tries it.
    """
    account, owner = identity(to, account, owner)
    entries = _entries(StoreChoice(store, prefix, mongo_uri_env, to), account, owner)
    if len(entries) > 1:
        print(f"warning: stored {len(entries)} times; see ensure-indexes", file=sys.stderr)
    described = [_describe(entry, trust_origin) for entry in entries]
    if as_json:
        print_json({"connection": described[0], "stored_times": len(entries)})
        return
    for values in described:
        for name, value in values.items():
            print(f"{name:<16}{value}")


@app.command("list", short_help="List connections.")
def list_all(
    *,
    to: FolderOption = None,
    account: OptionalAccount = None,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Example: crm-export connections list --to ./out

    List connections: account, owner, API domain and state, separated by tabs.
    """
    with open_store(StoreChoice(store, prefix, mongo_uri_env, to)) as opened:
        described = [_describe(entry, trust_origin) for entry in opened.entries(account)]
    if as_json:
        print_json({"connections": described})
        return
    for values in described:
        shown = {"api_domain": "-", **values}
        print("\t".join(shown[name] for name in ("account_id", "owner", "api_domain", "state")))
    print(f"{len(described)} connection{'' if len(described) == 1 else 's'}", file=sys.stderr)


@app.command(short_help="Try a connection at Zoho.")
def test(
    *,
    to: FolderOption = None,
    account: FolderAccount = None,
    owner: FolderOwner = None,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    trust_origin: TrustOption = None,
    as_json: JsonOption = False,
) -> None:
    """Example: crm-export connections test --to ./out

    Try a connection at Zoho: token, scopes, organisation, modules, credits.
    """
    from crm_export.connections.broker import refresher
    from crm_export.zoho.checks import Checks
    from crm_export.zoho.transport import make_session

    account, owner = identity(to, account, owner)
    entry = _entries(StoreChoice(store, prefix, mongo_uri_env, to), account, owner)[0]
    trusted = (*(trust_origin or ()), *entry.trusted_origins)
    stored = Connection.from_document(account, owner, entry.document, trusted)
    connection, session = _with_client(stored), make_session()
    report = Checks(session, connection.api_domain, refresher(session, None)(connection)).run()
    error = lacking(report, "No export would work.")
    if as_json:
        document = {"connection": connection_document(connection), **report.document()}
        print_json({"error": error.to_dict(), **document} if error else document)
        raise typer.Exit(error.exit_code if error else Exit.DONE)
    print_report(report)
    if entry.is_invalidated:
        print("The connection is marked as invalidated. `connect` removes the mark.", file=sys.stderr)
    if error:
        raise error


@app.command(short_help="Delete a connection permanently.")
def delete(
    *,
    to: FolderOption = None,
    account: FolderAccount = None,
    owner: FolderOwner = None,
    store: StoreOption = _STORE,
    prefix: PrefixOption = DEFAULT_PREFIX,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: JsonOption = False,
) -> None:
    """Example: crm-export connections delete --to ./out

    Delete a connection permanently. Zoho keeps the grant until it is revoked there.
    """
    account, owner = identity(to, account, owner)
    choice = StoreChoice(store, prefix, mongo_uri_env, to)
    if not yes:
        confirm(f"Delete the connection of {account}/{owner} in {choice.place()} permanently?")
    with open_store(choice) as opened:
        deleted = opened.delete(account, owner)
    if not deleted:
        raise _not_found(account, owner)
    if as_json:
        print_json({"deleted": deleted})
    else:
        print(f"Deleted the connection of {account}/{owner}.")


@app.command(short_help="Create the unique index of MongoDB.")
def ensure_indexes(
    *,
    store: StoreOption = _STORE,
    mongo_uri_env: MongoOption = DEFAULT_MONGO_URI_ENV,
    as_json: JsonOption = False,
) -> None:
    """Example: crm-export connections ensure-indexes --store mongo

    Create the unique index on account_id and owner, which only MongoDB needs.
    """
    if store is not Store.MONGO:
        raise CliError("Only --store mongo has indexes: secret names are unique already.", Exit.USAGE)
    with open_mongo(mongo_uri_env) as opened:
        name = opened.ensure_indexes()
    if as_json:
        print_json({"index": name})
    else:
        print(f"Unique index {name} exists.")


def _entries(choice: StoreChoice, account: str, owner: str) -> list[Entry]:
    """Return what is stored for the account and owner, at least one entry."""
    with open_store(choice) as opened:
        entries = opened.entries(account, owner)
    if not entries:
        raise _not_found(account, owner)
    return entries


def _with_client(connection: Connection) -> Connection:
    """Return the connection with the client that it is tried with: its own, or the stack's."""
    if connection.client is not None:
        return connection
    client_id, secret = (os.environ.get(name) for name in _CLIENT)
    if not (client_id and secret):
        raise CliError(
            "The connection belongs to the stack's client, whose secret is not known here.",
            Exit.USAGE,
            remedy=f"Set {' and '.join(_CLIENT)} to the stack's ZohoClientId and ZohoClientSecret.",
        )
    return replace(connection, client=ZohoClientCredentials(client_id, secret))


def _describe(entry: Entry, trusted: list[str] | None) -> dict[str, str]:
    origins = (*(trusted or ()), *entry.trusted_origins)
    try:
        connection = Connection.from_document(entry.account_id, entry.owner, entry.document, origins)
    except ExportError as error:
        where = " Here --trust-origin lists such origins." if isinstance(error, UntrustedOrigin) else ""
        identities = {"account_id": entry.account_id, "owner": entry.owner}
        return {**identities, "state": f"unusable: {error.message}{where}"}
    # Not "valid": nothing was tried.
    return {**connection_document(connection), "state": "invalidated" if entry.is_invalidated else "stored"}


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
    return one_word(token, "The refresh token")


def _not_found(account: str, owner: str) -> CliError:
    return CliError(f"No connection of {account}/{owner} is stored.", Exit.NOT_CONNECTED)
