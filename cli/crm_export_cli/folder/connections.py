"""The connections of a folder: DIR/.crm-export/connections.json, which its owner alone can read."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from crm_export.connections.model import Connection, ConnectionStore, has_grant
from crm_export.errors import ConnectionMalformed, ConnectionNotFound, StoreUnavailable
from crm_export_cli.entries import AdminStore, Entry
from crm_export_cli.folder.locks import locked

type Document = dict[str, Any]
type Documents = dict[str, dict[str, Document]]  # by account and owner


class FolderConnections(ConnectionStore, AdminStore):
    """The connections in a JSON file: `{"connections": {<account>: {<owner>: document}}}`.

    A document is that of the other stores, with `trusted_origins`: hosts besides Zoho's that the user trusted
    with `--trust-origin` when the connection was stored.
    """

    def __init__(self, path: Path, trusted_origins: tuple[str, ...]) -> None:
        self._path = path
        self._trusted_origins = trusted_origins

    # --- As the pipeline sees them -----------------------------------------------------------

    def get(self, account_id: str, owner: str) -> Connection:
        document = self._read().get(account_id, {}).get(owner)
        if document is None:
            raise ConnectionNotFound(account_id, owner)
        _, trusted = _readable(document)
        return Connection.from_document(account_id, owner, document, (*self._trusted_origins, *trusted))

    def mark(self, connection: Connection) -> None:
        grant = connection.stored_grant()
        self._mark(connection, lambda _owner, document: has_grant(document, grant))

    def mark_account(self, connection: Connection) -> None:
        grant, own = connection.stored_grant(), connection.owner
        self._mark(connection, lambda owner, document: owner != own or has_grant(document, grant))

    def _mark(self, connection: Connection, concerns: Callable[[str, Document], bool]) -> None:
        def mark(documents: Documents) -> None:
            for owner, document in documents.get(connection.account_id, {}).items():
                if document and concerns(owner, document):
                    document["token_invalidated"] = True

        self._change(mark)

    # --- As the user sees them ---------------------------------------------------------------

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        def put(documents: Documents) -> bool:
            of_account = documents.setdefault(account_id, {})
            is_new = owner not in of_account
            of_account[owner] = {"token": token, "trusted_origins": list(self._trusted_origins)}
            return is_new

        self._make_private()
        return self._change(put)

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        return [
            Entry(account, name, *_readable(document))
            for account, owners in sorted(self._read().items())
            for name, document in sorted(owners.items())
            if account_id in {None, account} and owner in {None, name}
        ]

    def delete(self, account_id: str, owner: str) -> int:
        if not self.entries(account_id, owner):
            return 0
        return self._change(lambda documents: int(bool(documents.get(account_id, {}).pop(owner, None))))

    # --- The file ----------------------------------------------------------------------------

    def _read(self) -> Documents:
        try:
            stored = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise ConnectionMalformed(f"{self._path} is not a JSON document.") from error
        connections = stored.get("connections") if isinstance(stored, dict) else None
        if not isinstance(connections, dict) or not all(isinstance(o, dict) for o in connections.values()):
            raise ConnectionMalformed(f'{self._path} has no object "connections" of accounts and owners.')
        return connections

    def _change[T](self, change: Callable[[Documents], T]) -> T:
        """Replace the file as a whole: a process that is killed leaves the old one or the new one."""
        try:
            with locked(self._path.with_suffix(".lock")):
                documents = self._read()
                result = change(documents)
                self._write({"connections": documents})
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be written: {error.strerror}.") from error
        return result

    def _make_private(self) -> None:
        """Create the folder of the file if needed; only its owner can enter it."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.parent.chmod(0o700)
        except OSError as error:
            raise StoreUnavailable(f"{self._path.parent} cannot be created: {error.strerror}.") from error

    def _write(self, document: Document) -> None:
        new = self._path.with_suffix(".new")
        with suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _readable(document: Any) -> tuple[Document | None, tuple[str, ...]]:
    """Return a stored document, or None if it is not an object, and the origins trusted with it."""
    if not isinstance(document, dict):
        return None, ()
    trusted = document.get("trusted_origins")
    return document, tuple(map(str, trusted)) if isinstance(trusted, list) else ()
