"""What the commands ask of a store, and which store the options mean."""

import argparse
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from cli.errors import USAGE, CliError


@dataclass(frozen=True)
class Entry:
    """What is stored for an account and owner; `document` is None if it is no object at all."""

    account_id: str
    owner: str
    document: dict[str, Any] | None


class AdminStore(Protocol):
    """The connections as an operator sees them. Everything raises StoreUnavailable, CliError."""

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        """Store a token in place of any other, as not invalidated; is it a new connection?"""
        ...

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        """Those of the account and owner, or of all, in order."""
        ...

    def delete(self, account_id: str, owner: str) -> int:
        """Delete for good; return how many there were."""
        ...


@contextmanager
def mongo_store(options: argparse.Namespace) -> Iterator[Any]:
    """The store in MongoDB."""
    from cli.in_mongo import MongoAdmin  # noqa: PLC0415
    from crm_export.connections.mongo import open_collection  # noqa: PLC0415

    uri = os.environ.get(options.mongo_uri_env)
    if not uri:
        raise CliError(f"The environment variable {options.mongo_uri_env} holds no MongoDB URI.", USAGE)
    collection = open_collection(uri)
    try:
        yield MongoAdmin(collection)
    finally:
        collection.database.client.close()


@contextmanager
def _secrets_store(options: argparse.Namespace) -> Iterator[Any]:
    from cli.in_secrets_manager import SecretsManagerAdmin  # noqa: PLC0415

    yield SecretsManagerAdmin(options.prefix)


def open_store(options: argparse.Namespace) -> AbstractContextManager[AdminStore]:
    """The store that the options mean."""
    return mongo_store(options) if options.store == "mongo" else _secrets_store(options)
