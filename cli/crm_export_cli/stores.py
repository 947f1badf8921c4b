"""The stores that the commands work on, and what can go wrong."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from crm_export_cli.exits import CliError, Exit
from crm_export_cli.options import DEFAULT_MONGO_URI_ENV, DEFAULT_PREFIX, Store

if TYPE_CHECKING:
    from crm_export_cli.in_mongo import MongoAdmin


@dataclass(frozen=True)
class Entry:
    """What is stored for an account and owner; `document` is None if it is not a JSON object."""

    account_id: str
    owner: str
    document: dict[str, Any] | None


class AdminStore(Protocol):
    """The connections as an operator sees them. Every method raises StoreUnavailable and CliError."""

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        """Store a token, replace any other, and clear `token_invalidated`. Return True if it is new."""

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        """Return the entries of the account and owner, or all of them, sorted."""

    def delete(self, account_id: str, owner: str) -> int:
        """Delete permanently. Return how many entries were deleted."""


@dataclass(frozen=True)
class StoreChoice:
    """The store that the options choose."""

    store: Store
    prefix: str = DEFAULT_PREFIX
    mongo_uri_env: str = DEFAULT_MONGO_URI_ENV


def open_store(choice: StoreChoice) -> AbstractContextManager[AdminStore]:
    """Open the store that the options choose."""
    if choice.store is Store.MONGO:
        return open_mongo(choice.mongo_uri_env)
    return _open_secrets_manager(choice.prefix)


@contextmanager
def open_mongo(uri_env: str) -> Iterator["MongoAdmin"]:
    """Open the store in MongoDB; `uri_env` is the environment variable with its URI."""
    from crm_export.connections.mongo import open_collection  # noqa: PLC0415
    from crm_export_cli.in_mongo import MongoAdmin  # noqa: PLC0415

    uri = os.environ.get(uri_env)
    if not uri:
        raise CliError(f"The environment variable {uri_env} has no MongoDB URI.", Exit.USAGE)
    collection = open_collection(uri)
    try:
        yield MongoAdmin(collection)
    finally:
        collection.database.client.close()


@contextmanager
def _open_secrets_manager(prefix: str) -> Iterator[AdminStore]:
    from crm_export_cli.in_secrets_manager import SecretsManagerAdmin  # noqa: PLC0415

    yield SecretsManagerAdmin(prefix)
