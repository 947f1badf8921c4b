"""AdminStore over MongoDB."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from crm_export.connections.mongo import store_errors
from crm_export_cli.entries import AdminStore, Entry
from crm_export_cli.exits import CliError

_IDENTITY = [("account_id", pymongo.ASCENDING), ("owner", pymongo.ASCENDING)]
_DUPLICATE_KEY = 11000
_INDEX_SECONDS = 600
_SHOWN = 20


@contextmanager
def _errors() -> Iterator[None]:
    """Raise the package's errors, and MongoDB's refusals as a CliError of one line."""
    try:
        with store_errors():
            yield
    except OperationFailure as error:
        message = (error.details or {}).get("errmsg", type(error).__name__)
        raise CliError(f"MongoDB refuses the command (code {error.code}): {message}") from error


class MongoAdmin(AdminStore):
    """The connections in MongoDB."""

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        self._collection = collection

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        """Store a token. If there are several documents, all get the token."""
        with _errors():
            result = self._collection.update_many(
                {"account_id": account_id, "owner": owner},
                {"$set": {"token": token}, "$unset": {"token_invalidated": ""}},
                upsert=True,
            )
        return result.upserted_id is not None

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        identity = {"account_id": account_id, "owner": owner}
        query = {name: value for name, value in identity.items() if value is not None}
        with _errors():
            documents = list(self._collection.find(query, sort=_IDENTITY))
        return [Entry(str(found.get("account_id")), str(found.get("owner")), found) for found in documents]

    def delete(self, account_id: str, owner: str) -> int:
        with _errors():
            return self._collection.delete_many({"account_id": account_id, "owner": owner}).deleted_count

    def ensure_indexes(self) -> str:
        """Create the unique index and return its name. Raises CliError, which lists any duplicates."""
        try:
            with store_errors(), pymongo.timeout(_INDEX_SECONDS):
                return self._collection.create_index(_IDENTITY, unique=True)
        except OperationFailure as error:
            if error.code == _DUPLICATE_KEY:
                raise CliError(self._duplicates()) from error
            raise CliError(
                f"MongoDB refuses the unique index (code {error.code}). If there is another index on "
                "account_id and owner, drop it first."
            ) from error

    def _duplicates(self) -> str:
        counts = Counter((entry.account_id, entry.owner) for entry in self.entries(None))
        lines = [
            f"  {count} documents of account {account_id}, owner {owner}"
            for (account_id, owner), count in counts.items()
            if count > 1
        ]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = ["  and more"]
        return "\n".join(
            [
                "The unique index cannot be created: some connections are stored more than once.",
                *lines,
                "Delete all but one of each (or use `connections delete`, then `connections put`), "
                "then try again.",
            ]
        )
