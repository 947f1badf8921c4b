"""What `crm_export.lake.land` needs from where exports are stored: S3, or a folder of the command line."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol


class ObjectSink(Protocol):
    """An object that is being written. It appears whole at `commit`, or never."""

    def write(self, chunk: bytes) -> None:
        """Add the next bytes."""

    def commit(self) -> None:
        """Create the object, in place of one that has its key."""


@dataclass(frozen=True)
class Found:
    """An object that was read. version: what `put_if` compares."""

    content: bytes
    version: str


class LakeStore(Protocol):
    """Objects by key. Its methods raise StorageUnavailable and StorageRefused."""

    def url(self, key: str) -> str:
        """Return the URL by which engines read an object, such as s3://bucket/key."""

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """Return an object as a stream. Raises ObjectMissing if there is none."""

    def write(self, key: str) -> AbstractContextManager[ObjectSink]:
        """Return the sink of an object. Leaving the context without `commit` writes nothing."""

    def get(self, key: str) -> Found | None:
        """Return a small object, or None if there is none."""

    def put_if(self, key: str, content: bytes, version: str | None) -> bool:
        """Write a small object if the one that exists has this version; None: if none exists.

        Returns False if another one exists.
        """


class TableCatalog(Protocol):
    """Where engines look up tables."""

    def register(self, table: Mapping[str, Any]) -> None:
        """Create the table, Glue's TableInput, or replace it. Raises StorageUnavailable, StorageRefused."""


def read_json(store: LakeStore, key: str) -> dict[str, Any] | None:
    """Return a JSON object; None if there is no object of this key, or if it contains something else."""
    found = store.get(key)
    try:
        document = json.loads(found.content) if found else None
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
