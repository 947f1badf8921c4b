"""The connections of a folder: DIR/.crm-export/connections.json, which only its owner can read.

`connect` writes it, and the folder's Pipeline reads it:
`FolderConnections(DIR, trusted_origins).get(FOLDER_ACCOUNT, FOLDER_OWNER)`.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crm_export.connections.model import Connection, ConnectionStore, has_grant
from crm_export.errors import ConfigurationError, ConnectionMalformed, ConnectionNotFound
from crm_export_cli.entries import AdminStore, Entry
from crm_export_cli.folder.errors import file_errors
from crm_export_cli.folder.locks import locked

_KEY = "connections"
type _Document = dict[str, Any]


def private_folder(folder: Path) -> Path:
    """Create DIR/.crm-export if needed, which only its owner can enter, and return it."""
    private = folder / ".crm-export"
    with file_errors(folder, "create", str(private)):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.chmod(0o700)
    return private


def connections_file(folder: Path) -> Path:
    """Return the file of a folder's connections."""
    return folder / ".crm-export" / "connections.json"


class FolderConnections(ConnectionStore, AdminStore):
    """The connections of a folder, as its Pipeline and as its owner see them.

    The file is replaced as a whole, under a lock, so that readers never see half of it.
    """

    def __init__(self, folder: Path, trusted_origins: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._file = connections_file(folder)
        self._trusted_origins = trusted_origins

    # --- ConnectionStore ---

    def get(self, account_id: str, owner: str) -> Connection:
        for document in self._read():
            if _is_of(document, account_id, owner):
                return Connection.from_document(account_id, owner, document, self._trusted_origins)
        raise ConnectionNotFound(account_id, owner)

    def mark(self, connection: Connection) -> None:
        grant = connection.stored_grant()
        self._mark(connection, lambda document: has_grant(document, grant))

    def mark_account(self, connection: Connection) -> None:
        grant = connection.stored_grant()
        self._mark(
            connection,
            lambda document: document.get("owner") != connection.owner or has_grant(document, grant),
        )

    def _mark(self, connection: Connection, is_meant: Callable[[_Document], bool]) -> None:
        if not self._file.exists():
            return
        with self._changing() as documents:
            for document in documents:
                if document.get("account_id") == connection.account_id and is_meant(document):
                    document["token_invalidated"] = True

    # --- AdminStore ---

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        private_folder(self._folder)
        with self._changing() as documents:
            others = [document for document in documents if not _is_of(document, account_id, owner)]
            is_new = len(others) == len(documents)
            documents[:] = [*others, {"account_id": account_id, "owner": owner, "token": token}]
        return is_new

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        found = [
            Entry(str(document.get("account_id")), str(document.get("owner")), document)
            for document in self._read()
            if account_id in (None, document.get("account_id")) and owner in (None, document.get("owner"))
        ]
        return sorted(found, key=lambda entry: (entry.account_id, entry.owner))

    def delete(self, account_id: str, owner: str) -> int:
        count = len(self.entries(account_id, owner))
        if count:
            with self._changing() as documents:
                documents[:] = [found for found in documents if not _is_of(found, account_id, owner)]
        return count

    # --- the file ---

    @contextmanager
    def _changing(self) -> Iterator[list[_Document]]:
        with locked(self._file.with_suffix(".lock")):
            documents = self._read()
            yield documents
            self._write(documents)

    def _read(self) -> list[_Document]:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigurationError(
                f"{self._file} cannot be read: {error.strerror}.", remedy="Give this user access to it."
            ) from error
        except (ValueError, RecursionError) as error:
            raise self._malformed() from error
        documents = stored.get(_KEY) if isinstance(stored, dict) else None
        if not isinstance(documents, list) or not all(isinstance(found, dict) for found in documents):
            raise self._malformed()
        return documents

    def _write(self, documents: list[_Document]) -> None:
        temporary = self._file.with_name(f".{secrets.token_hex(8)}.tmp")
        with file_errors(self._folder, "write", str(self._file)):
            try:
                with open(temporary, "x", encoding="utf-8", opener=_private) as file:  # noqa: PTH123
                    json.dump({_KEY: documents}, file, ensure_ascii=False, indent=2)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self._file)
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()

    def _malformed(self) -> ConnectionMalformed:
        return ConnectionMalformed(
            f"{self._file} is not a JSON document of connections.",
            remedy="Delete the file and connect again: crm-export connect.",
        )


def _is_of(document: _Document, account_id: str, owner: str) -> bool:
    return document.get("account_id") == account_id and document.get("owner") == owner


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
