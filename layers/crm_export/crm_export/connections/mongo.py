"""ConnectionStore over the MongoDB collection `integrations.zoho.key`, one document per account and owner.

This module imports pymongo; `wiring` imports it only if this store is chosen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo import errors as mongo_errors
from pymongo.collection import Collection

from crm_export.cached import Cached
from crm_export.connections.model import Connection, ConnectionStore
from crm_export.errors import ConfigurationError, ConnectionNotFound, StoreTimeout, StoreUnavailable

COLLECTION = "integrations.zoho.key"
# Unauthorized, AuthenticationFailed, and Atlas's own code for "bad auth".
_REFUSED = {13, 18, 8000}

type Document = dict[str, Any]


def open_collection(uri: str, *, timeout_seconds: float = 5.0) -> Collection[Document]:
    """Return the collection of connections in the URI's database; it connects at its first use.

    An operation with all its retries ends within timeout_seconds; a DNS lookup of mongodb+srv may add as
    much. The URI decides on TLS, authentication and read preference, but not on timeouts and the pool.
    Raises ConfigurationError, which reveals nothing of the URI.
    https://www.mongodb.com/docs/manual/reference/connection-string-options/
    """
    milliseconds = round(timeout_seconds * 1000)
    try:
        client: pymongo.MongoClient[Document] = pymongo.MongoClient(
            uri,
            connect=False,
            appname="zoho-crm-export",
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            timeoutMS=milliseconds,
            maxPoolSize=2,
            maxIdleTimeMS=60_000,
            retryReads=True,
        )
        return client.get_default_database()[COLLECTION]
    except (mongo_errors.PyMongoError, ValueError, TypeError) as error:
        # The message may quote the URI, so it is neither shown nor chained.
        reason = type(error).__name__
    raise ConfigurationError(
        f"The MongoDB URI cannot be used ({reason}): it must be mongodb://... or mongodb+srv://..., "
        "name a database after the host, and have user and password percent-encoded."
    )


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn MongoDB's network and access failures into ours, without the URI. Others pass unchanged."""
    try:
        yield
    except mongo_errors.ServerSelectionTimeoutError as error:
        raise StoreUnavailable(
            "No MongoDB server could be reached. Check that it is running, that its network accepts this "
            "client, and the host and TLS options of the URI."
        ) from error
    except mongo_errors.ConfigurationError as error:
        if error.__cause__ is not None:  # pymongo sets a cause for failed DNS lookups only
            raise StoreUnavailable("The host of the MongoDB URI could not be looked up in DNS.") from error
        raise ConfigurationError(
            "The MongoDB URI does not fit its server: check replicaSet, authMechanism and other options of "
            "the URI, and that the server's version is supported."
        ) from error
    except mongo_errors.OperationFailure as error:
        if error.code in _REFUSED:
            raise ConfigurationError(
                f"MongoDB refuses access (code {error.code}): check user, password and authSource in the "
                f"MongoDB URI, and that the user may find and update in {COLLECTION} of its database."
            ) from error
        if error.timeout:
            raise StoreTimeout("MongoDB did not finish in time.") from error
        raise
    except mongo_errors.ConnectionFailure as error:
        if error.timeout:
            raise StoreTimeout("MongoDB did not respond in time.") from error
        raise StoreUnavailable(f"The connection to MongoDB failed ({type(error).__name__}).") from error


class MongoConnections(ConnectionStore):
    """The connections in MongoDB. `crm-export connections ensure-indexes` creates their index."""

    def __init__(self, collection: Cached[Collection[Document]], trusted_origins: tuple[str, ...]) -> None:
        self._collection = collection
        self._trusted_origins = trusted_origins

    def get(self, account_id: str, owner: str) -> Connection:
        """Return a connection. Of several documents, return the newest that is not invalidated."""
        document = self._do(
            lambda collection: collection.find_one(
                # $eq compares literally: an object in its operand is never an operator.
                {"account_id": {"$eq": account_id}, "owner": {"$eq": owner}},
                projection={"_id": False, "token": True},
                sort=[("token_invalidated", pymongo.ASCENDING), ("_id", pymongo.DESCENDING)],
            )
        )
        if document is None:
            raise ConnectionNotFound(account_id, owner)
        return Connection.from_document(account_id, owner, document, self._trusted_origins)

    def mark(self, connection: Connection) -> None:
        self._mark(connection.account_id, _has_its_grant(connection))

    def mark_account(self, connection: Connection) -> None:
        others = {"owner": {"$ne": connection.owner}}
        self._mark(connection.account_id, {"$or": [_has_its_grant(connection), others]})

    def _mark(self, account_id: str, which: Document) -> None:
        self._do(
            lambda collection: collection.update_many(
                {"account_id": {"$eq": account_id}, **which}, {"$set": {"token_invalidated": True}}
            )
        )

    def _do[T](self, operation: Callable[[Collection[Document]], T]) -> T:
        """Run an operation; once more with the collection of a newer URI if MongoDB refuses the login."""
        collection = self._collection.get()
        try:
            with store_errors():
                return operation(collection)
        except ConfigurationError:
            newer = self._collection.again()
            if newer is None or newer is collection:
                raise
        with store_errors():
            return operation(newer)


def _has_its_grant(connection: Connection) -> Document:
    return {f"token.{name}": {"$eq": value} for name, value in connection.stored_grant().items()}
