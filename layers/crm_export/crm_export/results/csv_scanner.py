"""The counter of csv_scanner.c, which is several times as fast as the one in `counters`, and its library.

`make native` compiles the library for Lambda and for this machine. Where there is none, for example after
`pip install` from a checkout that was never built, `csv_counter` returns the counter in Python.
"""

import ctypes
import platform
from array import array
from functools import cache
from pathlib import Path

from crm_export.results.counters import CsvCounter
from crm_export.results.record_ids import MAX_IDS, RecordIds
from crm_export.results.record_index import RecordHashes

_NO_COLUMN = 2**32 - 1
_AFTER_LINE, _IN_QUOTES = 0, 3  # of `enum state`


class _Scanner(ctypes.Structure):
    """The struct scanner of csv_scanner.c, with the same fields."""

    _fields_ = (
        ("lines", ctypes.c_uint64),
        ("ids_found", ctypes.c_uint64),
        ("id", ctypes.c_uint64),
        ("ids", ctypes.c_void_p),
        ("max_ids", ctypes.c_uint64),
        ("column", ctypes.c_uint32),
        ("cell", ctypes.c_uint32),
        ("digits", ctypes.c_uint32),
        ("state", ctypes.c_uint32),
        ("unreadable", ctypes.c_uint32),
        ("hashes", ctypes.c_void_p),
        ("hashes_found", ctypes.c_uint64),
        ("record", ctypes.c_void_p),
        ("hash", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("word", ctypes.c_uint8 * 8),
    )


def csv_counter(ids: RecordIds | None = None, hashes: RecordHashes | None = None) -> CsvCounter:
    """Return the fastest counter of this machine."""
    library = _library()
    return CsvCounter(ids, hashes) if library is None else NativeCsvCounter(library, ids, hashes)


def library_path(machine: str = "", system: str = "") -> Path:
    """Return where the library for a machine is. The default is what `platform` says of this one."""
    name = f"csv_scanner.{system or platform.system()}-{machine or platform.machine()}.so".lower()
    return Path(__file__).with_name(name)


@cache
def _library() -> ctypes.CDLL | None:
    path = library_path()
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    library.scan.argtypes = ctypes.POINTER(_Scanner), ctypes.c_char_p, ctypes.c_size_t
    library.scan.restype = None
    return library


class NativeCsvCounter(CsvCounter):
    """Counts as CsvCounter does. Ids are in any column; each takes 8 bytes, as soon as it has begun.

    So does each hash.
    """

    _found: "array[int]"
    _hashes_found: "array[int]"
    _scanner: _Scanner

    def __init__(
        self, library: ctypes.CDLL, ids: RecordIds | None = None, hashes: RecordHashes | None = None
    ) -> None:
        self._scan = library.scan
        super().__init__(ids, hashes)

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Return what CsvCounter.finish returns, and hand over the ids and hashes."""
        counted = super().finish()
        self._count(b"\n")
        if self._ids is not None and self._ids.column is not None:
            self._ids.take(None if self._scanner.unreadable else self._ids_found())
        if self._hashes is not None:
            del self._hashes_found[self._scanner.hashes_found :]
            self._hashes.take(self._hashes_found)
        return counted

    def _ids_found(self) -> "array[int]":
        """Return the ids without a copy; the scanner has no place for ids or hashes any more."""
        found, self._found = self._found, array("Q")
        self._scanner.ids, self._scanner.max_ids, self._scanner.hashes = None, 0, None
        del found[self._scanner.ids_found :]
        return found

    def _begin_lines(self) -> None:
        super()._begin_lines()
        column = self._ids.column if self._ids is not None else None
        most = 0 if column is None else MAX_IDS
        self._found = array("Q", [0]) * most
        self._hashes_found = array("Q", [0]) * (0 if self._hashes is None else most)
        self._scanner = _Scanner(
            ids=self._found.buffer_info()[0],
            max_ids=most,
            column=_NO_COLUMN if column is None else column,
            hashes=self._hashes_found.buffer_info()[0] if self._hashes_found else None,
        )

    def _count(self, chunk: bytes) -> None:
        self._scan(self._scanner, chunk, len(chunk))
        self._lines, self._quoted = self._scanner.lines, self._scanner.state == _IN_QUOTES

    @property
    def _is_line_open(self) -> bool:
        return bool(self._scanner.state != _AFTER_LINE)
