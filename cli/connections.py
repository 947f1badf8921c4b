"""`connections ...`: put, show, list, delete and ensure-indexes. A refresh token is never printed."""

import argparse
import getpass
import sys

from cli.errors import DONE, NOT_FOUND, USAGE, CliError
from cli.stores import Entry, mongo_store, open_store
from crm_export.connections.model import Connection
from crm_export.errors import ExportError


def put(options: argparse.Namespace) -> int:
    """Store a connection whose hosts are trusted."""
    token = {"api_domain": options.api_domain, "refresh_token": "-"}
    if options.accounts_server:
        token["accounts_server"] = options.accounts_server
    checked = _connection(options.account, options.owner, {"token": token}, options)
    token["refresh_token"] = _refresh_token(options.refresh_token_stdin)
    token["api_domain"] = checked.api_domain
    if options.accounts_server:
        token["accounts_server"] = checked.accounts_server
    with open_store(options) as store:
        new = store.put(options.account, options.owner, token)
    print(f"{'Stored' if new else 'Replaced'} the connection of {options.account}/{options.owner}.")
    return DONE


def show(options: argparse.Namespace) -> int:
    """Print what is stored, a line for each value."""
    with open_store(options) as store:
        entries = store.entries(options.account, options.owner)
    if not entries:
        raise _not_found(options)
    if len(entries) > 1:
        print(f"warning: stored {len(entries)} times, see ensure-indexes", file=sys.stderr)
    for entry in entries:
        for name, value in _described(entry, options).items():
            print(f"{name:<16}{value}")
    return DONE


def list_all(options: argparse.Namespace) -> int:
    """Print a line for each connection: account, owner, API domain, state; tab between."""
    with open_store(options) as store:
        entries = store.entries(options.account)
    for entry in entries:
        shown = _described(entry, options)
        print("\t".join((shown["account_id"], shown["owner"], shown.get("api_domain", "-"), shown["state"])))
    print(f"{len(entries)} connection{'' if len(entries) == 1 else 's'}", file=sys.stderr)
    return DONE


def delete(options: argparse.Namespace) -> int:
    """Delete a connection for good."""
    with open_store(options) as store:
        deleted = store.delete(options.account, options.owner)
    if not deleted:
        raise _not_found(options)
    print(f"Deleted the connection of {options.account}/{options.owner}.")
    return DONE


def ensure_indexes(options: argparse.Namespace) -> int:
    """Make the unique index; only MongoDB needs one."""
    if options.store != "mongo":
        raise CliError("Only --store mongo has indexes: the name of a secret is unique already.", USAGE)
    with mongo_store(options) as store:
        print(f"Unique index {store.ensure_indexes()} is there.")
    return DONE


def _connection(account_id: str, owner: str, document: object, options: argparse.Namespace) -> Connection:
    return Connection.from_document(account_id, owner, document, tuple(options.trust_origin))


def _described(entry: Entry, options: argparse.Namespace) -> dict[str, str]:
    shown = {"account_id": entry.account_id, "owner": entry.owner}
    try:
        connection = _connection(entry.account_id, entry.owner, entry.document, options)
    except ExportError as error:
        return {**shown, "state": f"unusable: {error.message}"}
    invalidated = bool(entry.document and entry.document.get("token_invalidated"))
    return {
        **shown,
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
            "Standard input is no terminal to ask on: give --refresh-token-stdin and the token there.", USAGE
        )
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CliError("The refresh token must be one word of printable ASCII; nothing was stored.")
    return token


def _not_found(options: argparse.Namespace) -> CliError:
    return CliError(f"No connection of {options.account}/{options.owner} is stored.", NOT_FOUND)
