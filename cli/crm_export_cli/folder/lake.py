"""The lake of a folder: DIR/lake, with the same layout as in S3."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from crm_export.lake.store import Found, LakeStore, ObjectSink
from crm_export_cli.folder.errors import file_errors
from crm_export_cli.folder.locks import Processes, locked

_LOCK = ".crm-export/lake.lock"


@dataclass(frozen=True)
class FolderLake(LakeStore):
    """Files by key, which is their path in `root`. A file appears whole, or not at all."""

    root: Path
    processes: Processes

    def url(self, key: str) -> str:
        return str(self.root.absolute() / key)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with file_errors(self.root, "read", key):
            file = (self.root / key).open("rb", buffering=0)
        with file:
            yield file

    @contextmanager
    def write(self, key: str) -> Iterator[ObjectSink]:
        path = self.root / key
        hidden = path.with_name(f".{path.name}.{self.processes.own}.tmp")
        try:
            with file_errors(self.root, "write", key):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = hidden.open("wb")
            with file:
                yield _File(self.root, path, hidden, file)
        finally:
            hidden.unlink(missing_ok=True)

    def get(self, key: str) -> Found | None:
        with file_errors(self.root, "read", key):
            try:
                content = (self.root / key).read_bytes()
            except FileNotFoundError:
                return None
        return Found(content, sha256(content).hexdigest())

    def put_if(self, key: str, content: bytes, version: str | None) -> bool:
        with file_errors(self.root, "write", key):
            lock = self.root / _LOCK
            lock.parent.mkdir(mode=0o700, exist_ok=True)
        with locked(lock):
            found = self.get(key)
            if (found and found.version) != version:
                return False
            with self.write(key) as sink:
                sink.write(content)
                sink.commit()
        return True


@dataclass(frozen=True)
class _File(ObjectSink):
    root: Path
    path: Path
    hidden: Path
    file: BinaryIO

    def write(self, chunk: bytes) -> None:
        with file_errors(self.root, "write", self.path.name):
            self.file.write(chunk)

    def commit(self) -> None:
        with file_errors(self.root, "write", self.path.name):
            self.file.flush()
            os.fsync(self.file.fileno())
            self.hidden.replace(self.path)
