"""`connections ...`: put, show, list, delete and ensure-indexes. No command prints a refresh token."""

import argparse
import getpass
import sys

from cli.stores import CliError, Entry, Exit, open_mongo, open_store
from crm_export.connections.model import Connection
from crm_export.errors import ExportError, UntrustedOrigin


def put(options: argparse.Namespace) -> None:
    """Store a connection if its hosts are trusted."""
    token = {"api_domain": options.api_domain, "refresh_token": "-"}
    if options.accounts_server:
        token["accounts_server"] = options.accounts_server
    checked = _connection(options.account, options.owner, {"token": token}, options)
    token["refresh_token"] = _refresh_token(options.refresh_token_stdin)
    token["api_domain"] = checked.api_domain
    if options.accounts_server:
        token["accounts_server"] = checked.accounts_server
    with open_store(options) as store:
        is_new = store.put(options.account, options.owner, token)
    print(f"{'Stored' if is_new else 'Replaced'} the connection of {options.account}/{options.owner}.")


def show(options: argparse.Namespace) -> None:
    """Print what is stored, one value per line."""
    with open_store(options) as store:
        entries = store.entries(options.account, options.owner)
    if not entries:
        raise _not_found(options)
    if len(entries) > 1:
        print(f"warning: stored {len(entries)} times; see ensure-indexes", file=sys.stderr)
    for entry in entries:
        for name, value in _describe(entry, options).items():
            print(f"{name:<16}{value}")


def list_all(options: argparse.Namespace) -> None:
    """Print one line per connection: account, owner, API domain and state, separated by tabs."""
    with open_store(options) as store:
        entries = store.entries(options.account)
    for entry in entries:
        values = {"api_domain": "-", **_describe(entry, options)}
        print("\t".join(values[name] for name in ("account_id", "owner", "api_domain", "state")))
    print(f"{len(entries)} connection{'' if len(entries) == 1 else 's'}", file=sys.stderr)


def delete(options: argparse.Namespace) -> None:
    """Delete a connection permanently."""
    with open_store(options) as store:
        deleted = store.delete(options.account, options.owner)
    if not deleted:
        raise _not_found(options)
    print(f"Deleted the connection of {options.account}/{options.owner}.")


def ensure_indexes(options: argparse.Namespace) -> None:
    """Create the unique index, which only MongoDB needs."""
    if options.store != "mongo":
        raise CliError("Only --store mongo has indexes: secret names are unique already.", Exit.USAGE)
    with open_mongo(options) as store:
        print(f"Unique index {store.ensure_indexes()} exists.")


def _connection(account_id: str, owner: str, document: object, options: argparse.Namespace) -> Connection:
    return Connection.from_document(account_id, owner, document, tuple(options.trust_origin))


def _describe(entry: Entry, options: argparse.Namespace) -> dict[str, str]:
    values = {"account_id": entry.account_id, "owner": entry.owner}
    try:
        connection = _connection(entry.account_id, entry.owner, entry.document, options)
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


def _not_found(options: argparse.Namespace) -> CliError:
    return CliError(f"No connection of {options.account}/{options.owner} is stored.", Exit.NOT_FOUND)
