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
    )


def csv_counter(ids: RecordIds | None = None) -> CsvCounter:
    """Return the fastest counter of this machine."""
    library = _library()
    return CsvCounter(ids) if library is None else NativeCsvCounter(library, ids)


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
    """Counts as CsvCounter does. Ids are in any column; each takes 8 bytes, as soon as it has begun."""

    _found: "array[int]"
    _scanner: _Scanner

    def __init__(self, library: ctypes.CDLL, ids: RecordIds | None = None) -> None:
        self._scan = library.scan
        super().__init__(ids)

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Return what CsvCounter.finish returns, and give the ids to the RecordIds."""
        counted = super().finish()
        self._count(b"\n")
        if self._ids is not None and self._ids.column is not None:
            self._ids.take(None if self._scanner.unreadable else self._ids_found())
        return counted

    def _ids_found(self) -> "array[int]":
        """Return the ids without a copy; the scanner has no place for ids any more."""
        found, self._found = self._found, array("Q")
        self._scanner.ids, self._scanner.max_ids = None, 0
        del found[self._scanner.ids_found :]
        return found

    def _begin_lines(self) -> None:
        super()._begin_lines()
        column = self._ids.column if self._ids is not None else None
        self._found = array("Q", [0]) * (0 if column is None else MAX_IDS)
        self._scanner = _Scanner(
            ids=self._found.buffer_info()[0],
            max_ids=len(self._found),
            column=_NO_COLUMN if column is None else column,
        )

    def _count(self, chunk: bytes) -> None:
        self._scan(self._scanner, chunk, len(chunk))
        self._lines, self._quoted = self._scanner.lines, self._scanner.state == _IN_QUOTES

    @property
    def _is_line_open(self) -> bool:
        return bool(self._scanner.state != _AFTER_LINE)
