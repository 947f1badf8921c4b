"""The stores that the commands work on, and what can go wrong."""

import argparse
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cli.in_mongo import MongoAdmin


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    FAILED = 1
    USAGE = 2  # also argparse's own
    NOT_FOUND = 3
    UNAVAILABLE = 4  # trying again later may succeed


class CliError(Exception):
    """The command failed; the message says why and is printed unchanged."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


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


def open_store(options: argparse.Namespace) -> AbstractContextManager[AdminStore]:
    """Open the store that the options choose."""
    return open_mongo(options) if options.store == "mongo" else _open_secrets_manager(options)


@contextmanager
def open_mongo(options: argparse.Namespace) -> Iterator["MongoAdmin"]:
    """Open the store in MongoDB."""
    from cli.in_mongo import MongoAdmin  # noqa: PLC0415
    from crm_export.connections.mongo import open_collection  # noqa: PLC0415

    uri = os.environ.get(options.mongo_uri_env)
    if not uri:
        raise CliError(f"The environment variable {options.mongo_uri_env} has no MongoDB URI.", Exit.USAGE)
    collection = open_collection(uri)
    try:
        yield MongoAdmin(collection)
    finally:
        collection.database.client.close()


@contextmanager
def _open_secrets_manager(options: argparse.Namespace) -> Iterator[AdminStore]:
    from cli.in_secrets_manager import SecretsManagerAdmin  # noqa: PLC0415

    yield SecretsManagerAdmin(options.prefix)
