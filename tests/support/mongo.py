"""A MongoDB server on a loopback socket: MockupDB speaks the wire protocol, mongomock keeps the data.

It knows the commands that the stores and the command line send, and responds to any other as MongoDB does to
an unknown command. `refuse_code` scripts refusals: the code of every response, or SILENT for no response.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mongomock
import pytest
from mockupdb import MockupDB
from pymongo import errors

from crm_export.cached import Cached

SILENT = -1
_HELLO = {
    "ismaster": True,
    "helloOk": True,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}
# mongomock reports a duplicate in an index with a form of throw() that Python deprecates.
ignore_mongomock_throw = pytest.mark.filterwarnings("ignore:the .* signature of throw:DeprecationWarning")


@dataclass
class MongoServer:
    """A running server: `uri` ends where the name of the database goes."""

    uri: str
    refuse_code: int | None = None
    received: list[dict[str, Any]] = field(default_factory=list)
    data: Any = field(default_factory=mongomock.MongoClient)

    def respond(self, request: Any) -> Any:
        """Respond to one request."""
        command = dict(request.doc)
        name = next(iter(command))
        if name.lower() in ("ismaster", "hello"):
            return request.ok(**_HELLO)
        if name in ("endSessions", "ping"):
            return request.ok()
        self.received.append(command)
        if self.refuse_code is None:
            return self._run(request, name, command)
        return self.refuse_code == SILENT or request.command_err(self.refuse_code, "refused by the test")

    def _run(self, request: Any, name: str, command: dict[str, Any]) -> Any:
        run = _COMMANDS.get(name)
        if run is None:
            return request.command_err(59, f"no such command: '{name}'")
        try:
            return request.ok(**run(self.data[command["$db"]], command))
        except errors.DuplicateKeyError as error:
            return request.command_err(11000, str(error))
        except Exception as error:  # or the client would wait for a response
            return request.command_err(8, f"the server of the tests failed: {error!r}")


def _cursor(documents: list[Any]) -> dict[str, Any]:
    return {"cursor": {"id": 0, "ns": "db.collection", "firstBatch": documents}}


def _find(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    found = database[command["find"]].find(command.get("filter", {}), command.get("projection"))
    if command.get("sort"):
        found = found.sort(list(command["sort"].items()))
    return _cursor(list(found.limit(abs(command.get("limit", 0)))))


def _aggregate(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    return _cursor(list(database[command["aggregate"]].aggregate(command["pipeline"])))


def _insert(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    for document in command["documents"]:
        database[command["insert"]].insert_one(document)
    return {"n": len(command["documents"])}


def _update(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    collection, matched, modified, upserted = database[command["update"]], 0, 0, []
    for index, change in enumerate(command["updates"]):
        update = collection.update_many if change.get("multi") else collection.update_one
        result = update(change["q"], change["u"], upsert=change.get("upsert", False))
        matched += result.matched_count
        modified += result.modified_count
        if result.upserted_id is not None:
            upserted.append({"index": index, "_id": result.upserted_id})
    response = {"n": matched + len(upserted), "nModified": modified}
    return {**response, "upserted": upserted} if upserted else response


def _delete(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    collection, deleted = database[command["delete"]], 0
    for change in command["deletes"]:
        delete = collection.delete_one if change.get("limit") else collection.delete_many
        deleted += delete(change["q"]).deleted_count
    return {"n": deleted}


def _create_indexes(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    for index in command["indexes"]:
        database[command["createIndexes"]].create_index(
            list(index["key"].items()), unique=index.get("unique", False), name=index["name"]
        )
    return {"createdCollectionAutomatically": False}


def _list_indexes(database: Any, command: dict[str, Any]) -> dict[str, Any]:
    indexes = database[command["listIndexes"]].index_information()
    return _cursor([{"name": name, **{**info, "key": dict(info["key"])}} for name, info in indexes.items()])


def _drop_database(database: Any, _command: dict[str, Any]) -> dict[str, Any]:
    database.client.drop_database(database.name)
    return {}


_COMMANDS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "find": _find,
    "aggregate": _aggregate,
    "insert": _insert,
    "update": _update,
    "delete": _delete,
    "createIndexes": _create_indexes,
    "listIndexes": _list_indexes,
    "dropDatabase": _drop_database,
}


@contextmanager
def mongo_server() -> Iterator[MongoServer]:
    """Run a server; stopping it takes up to a second."""
    mockup = MockupDB()
    server = MongoServer(f"mongodb://127.0.0.1:{mockup.run()}/")
    mockup.autoresponds(server.respond)
    try:
        yield server
    finally:
        mockup.stop()


def always(collection: Any) -> Cached[Any]:
    """Return the collection as MongoConnections takes it: here its URI never changes."""
    return Cached(lambda: collection, time.monotonic)
