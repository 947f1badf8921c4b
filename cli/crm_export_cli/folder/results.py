"""The results of a folder: DIR/exports, with the same layout and the same checks as in S3."""

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crm_export.errors import ObjectConflict, StorageUnavailable
from crm_export.exports.landing import (
    Incoming,
    SizeLimits,
    Writer,
    incoming_records,
    incoming_result,
    json_bytes,
    json_object,
    land,
    leftovers,
)
from crm_export.exports.model import Stored
from crm_export.exports.pipeline import Results
from crm_export.results.counters import ByteCounter
from crm_export.results.gzip import gzip_trailer
from crm_export.results.record_index import read_index
from crm_export.results.records_csv import read_columns
from crm_export_cli.folder.errors import file_errors
from crm_export_cli.folder.locks import Processes, locked

_BUFFER_BYTES = 1024 * 1024
_TRAILER_BYTES = 8
_UNFINISHED = ("exports/*/*/*/.*.tmp", "syncs/*/*/.*.tmp", "current/.*.tmp")
# How a file system says that it has no hard links.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class FolderResults(Results):
    """Stores results so that each file appears whole and verified, or not at all.

    root: the folder; keys are paths in it. A file is written under a hidden name, which contains the process,
    and gets its own name at the end, unless that name exists. `keep_on` is called before each write, and may
    raise to stop it.
    """

    root: Path
    processes: Processes
    keep_on: Callable[[], None] = lambda: None

    def store_result(
        self, chunks: Iterable[bytes], key: str, *, file_format: str, expected_records: int, job_id: str,
        confirm: Callable[[], None], index: bool = False,
    ) -> Stored:  # fmt: skip
        incoming = incoming_result(
            chunks, file_format=file_format, expected_records=expected_records, job_id=job_id
        )
        return self._store(incoming, key, confirm, index=index)

    def store_records(
        self, pages: Iterable[list[dict[str, Any]]], key: str, *, fields: list[str], file_format: str,
        confirm: Callable[[], None], index: bool = False,
    ) -> Stored:  # fmt: skip
        incoming = incoming_records(pages, fields=fields, file_format=file_format)
        return self._store(incoming, key, confirm, index=index)

    def _store(self, incoming: Incoming, key: str, confirm: Callable[[], None], *, index: bool) -> Stored:
        store_index = partial(self.write_object, confirm=confirm) if index else None
        with _File(self, key) as file:
            return land(incoming, key, file, confirm, SizeLimits(), store_index=store_index)

    def write_object(
        self, key: str, chunks: Iterable[bytes], confirm: Callable[[], None] = lambda: None
    ) -> None:
        content = ByteCounter()
        with _File(self, key) as file:
            for chunk in chunks:
                content.feed(chunk)
                file.write(chunk)
            file.commit(content, content, confirm)

    def read_ids(self, key: str) -> Iterator[str]:
        return (row[0] for row in self.read_columns(key, ("Id",)))

    def read_columns(self, key: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        with file_errors(self.root, "read", key):
            file = (self.root / key).open("rb", buffering=0)  # `read_columns` has its own buffer
        with file:
            yield from read_columns(file, key, columns)

    def read_index(self, key: str) -> Iterator[tuple[int, int]]:
        return read_index(self._chunks(key))

    def digest(self, key: str) -> str:
        digest = sha256()
        for chunk in self._chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def _chunks(self, key: str) -> Iterator[bytes]:
        with file_errors(self.root, "read", key):
            file = (self.root / key).open("rb")
        with file:
            while chunk := file.read(_BUFFER_BYTES):
                yield chunk

    def remove_leftovers(self, folder: str, keep: set[str]) -> None:
        with file_errors(self.root, "delete from", folder):
            found = [path for path in (self.root / folder).rglob("*") if path.is_file()]
            # First the unfinished files: a worker that still has one cannot complete it any more.
            found.sort(key=lambda path: not path.name.startswith("."))
            for key in leftovers((path.relative_to(self.root).as_posix() for path in found), keep):
                (self.root / key).unlink(missing_ok=True)

    def read_manifest(self, key: str) -> dict[str, Any] | None:
        with file_errors(self.root, "read", key):
            if not (self.root / key).exists():
                return None
            content = (self.root / key).read_bytes()
        return json_object(content)

    def write_manifest(self, key: str, manifest: dict[str, Any]) -> bool:
        with _File(self, key) as file:
            file.write(json_bytes(manifest))
            return file.publish()

    def read_latest(self, key: str) -> tuple[dict[str, Any], str] | None:
        with file_errors(self.root, "read", key):
            try:
                content = (self.root / key).read_bytes()
            except FileNotFoundError:
                return None
        return json_object(content), _etag(content)

    def write_latest(self, key: str, document: dict[str, Any], etag: str | None) -> bool:
        with self.one_at_a_time(), _File(self, key) as file:
            found = self.read_latest(key)
            if (found and found[1]) != etag:
                return False
            file.write(json_bytes(document))
            file.replace()
        return True

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Return a context in which this process alone replaces or renames files."""
        folder = self.root / ".crm-export"
        folder.mkdir(exist_ok=True)
        return locked(folder / "rename.lock")

    def sweep(self) -> None:
        """Delete the unfinished files of processes that have died."""
        for pattern in _UNFINISHED:
            for path in self.root.glob(pattern):
                process = path.name.rsplit(".", 2)[1].partition("-")[0]
                if not self.processes.is_alive(process):
                    path.unlink(missing_ok=True)


class _File(Writer):
    """One file, under a hidden name until it is complete. Leaving the context deletes the hidden name."""

    def __init__(self, results: FolderResults, key: str) -> None:
        self._results = results
        self._key = key
        self._path = results.root / key
        unique = f"{results.processes.own}-{secrets.token_hex(4)}"
        self._hidden = self._path.with_name(f".{self._path.name}.{unique}.tmp")
        with self._errors():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._hidden.open("x+b", buffering=_BUFFER_BYTES)

    def __enter__(self) -> Self:
        return self

    def write(self, chunk: bytes) -> None:
        self._results.keep_on()
        with self._errors():
            self._file.write(chunk)

    def commit(self, content: ByteCounter, written: ByteCounter, confirm: Callable[[], None]) -> int:
        self._results.keep_on()
        with self._errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            found = _count(self._hidden)
        if (found.crc32, found.size) != (written.crc32, written.size):
            raise StorageUnavailable(
                f"The file {self._key} was written wrongly: it has {found.size} bytes and the CRC32 "
                f"{found.crc32:08x} instead of {written.size} and {written.crc32:08x}."
            )
        confirm()
        if self.publish():
            return written.size
        return self._size_of_same(content, is_gzip=written is not content)

    def publish(self) -> bool:
        """Give the file its name. Return False if a file of that name exists."""
        with self._errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            try:
                self._link()
            except FileExistsError:
                return False
            _sync_folder(self._path.parent)
        return True

    def replace(self) -> None:
        """Give the file its name, in place of the file that may have it."""
        self._results.keep_on()
        with self._errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._hidden.replace(self._path)
            _sync_folder(self._path.parent)

    def _link(self) -> None:
        try:
            self._path.hardlink_to(self._hidden)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._rename()

    def _rename(self) -> None:
        """Do as `_link` where there are no hard links: one process after the other."""
        with self._results.one_at_a_time():
            if self._path.exists():
                raise FileExistsError(errno.EEXIST, "exists", str(self._path))
            self._hidden.rename(self._path)

    def _size_of_same(self, content: ByteCounter, *, is_gzip: bool) -> int:
        """Return the size of the file that exists, if it has this content. Raises ObjectConflict."""
        with self._errors():
            size = self._path.stat().st_size
            if is_gzip:  # Zoho may compress the same CSV differently
                with self._path.open("rb") as file:
                    file.seek(max(size - _TRAILER_BYTES, 0))
                    is_same = file.read() == gzip_trailer(content)
            else:
                found = _count(self._path)
                is_same = (found.crc32, found.size) == (content.crc32, content.size)
        if not is_same:
            raise ObjectConflict(
                f"{self._key} exists, and its content is not what this attempt read from Zoho."
            )
        return size

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Unlinked first: closing writes what is still buffered, which fails if there is no space left.
        self._hidden.unlink(missing_ok=True)
        try:
            self._file.close()
        except OSError:
            if error is None:
                raise

    def _errors(self) -> AbstractContextManager[None]:
        return file_errors(self._results.root, "write", self._key)


def _etag(content: bytes) -> str:
    return sha256(content).hexdigest()


def _count(path: Path) -> ByteCounter:
    counter = ByteCounter()
    with path.open("rb") as file:
        while chunk := file.read(_BUFFER_BYTES):
            counter.feed(chunk)
    return counter


def _sync_folder(folder: Path) -> None:
    """Let the new name survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
