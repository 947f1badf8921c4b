"""The stores that the commands work on, and what can go wrong."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crm_export_cli.entries import AdminStore
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder import STATE
from crm_export_cli.options import DEFAULT_MONGO_URI_ENV, DEFAULT_PREFIX, Store

if TYPE_CHECKING:
    from crm_export_cli.in_mongo import MongoAdmin


@dataclass(frozen=True)
class StoreChoice:
    """The store that the options choose: that of a folder, or one of a stack."""

    store: Store = Store.SECRETS_MANAGER
    prefix: str = DEFAULT_PREFIX
    mongo_uri_env: str = DEFAULT_MONGO_URI_ENV
    folder: Path | None = None

    def place(self) -> str:
        """Return where the connections are, for people."""
        if self.folder is not None:
            return str(self.folder / STATE / "connections.json")
        if self.store is Store.MONGO:
            return f"MongoDB ({self.mongo_uri_env})"
        return f"Secrets Manager ({self.prefix}/...)"


def open_store(
    choice: StoreChoice, trusted_origins: tuple[str, ...] = ()
) -> AbstractContextManager[AdminStore]:
    """Open the store that the options choose. trusted_origins: are stored with a folder's connections."""
    if choice.folder is not None:
        from crm_export_cli.folder.wiring import connections_of  # noqa: PLC0415

        return nullcontext(connections_of(choice.folder, trusted_origins))
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
