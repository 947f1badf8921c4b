"""Counters that are fed a file's bytes as they pass: CRC32 and size, records of a CSV, events of a calendar.

`crm_export.aws.results_bucket` chooses the counter by the format. A chunk may end anywhere.
"""

import csv
import re
from dataclasses import dataclass

from isal import isal_zlib

from crm_export.errors import CorruptZip


@dataclass
class ByteCounter:
    """The CRC32 and the size in bytes of all chunks fed so far."""

    crc32: int = 0
    size: int = 0

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self.crc32 = isal_zlib.crc32(chunk, self.crc32)
        self.size += len(chunk)


_MAX_HEADER_BYTES = 1024 * 1024
_BLANK_LINE = re.compile(rb"\n(?=\n)")
# After a BOM and blank lines, everything up to the first newline outside quotes. Possessive quantifiers keep
# this linear in the input.
_FIRST_LINE = re.compile(rb'(?:\xef\xbb\xbf)?[\r\n]*+((?:[^"\n]++|"[^"]*+")++)\n')


class CsvCounter:
    """Counts the records of a CSV and reads its header. A newline within quotes does not end a record.

    Blank lines are not records. https://www.rfc-editor.org/rfc/rfc4180
    """

    def __init__(self) -> None:
        self._lines = 0
        self._quoted = False
        self._last = b"\n"  # the last byte outside quotes; a newline means that a line begins here
        self._header_bytes = bytearray()
        self._header: tuple[str, ...] | None = None

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes. Raises CorruptZip if the header is unreadable or too long."""
        if self._header is None:
            self._header_bytes += chunk
        pieces = chunk.split(b'"')
        # Every second piece is outside quotes. The quotes between them stay, so that a line that contains
        # only a quoted field does not look blank.
        outside = b'"'.join(pieces[self._quoted :: 2])
        if self._quoted:
            outside = b'"' + outside
        self._quoted ^= not len(pieces) % 2
        seen = self._last + outside.replace(b"\r", b"")
        self._lines += seen.count(b"\n", 1) - len(_BLANK_LINE.findall(seen))
        self._last = seen[-1:]
        if self._header is None:
            self._read_header()

    @property
    def records(self) -> int:
        """The number of complete records so far."""
        return max(self._lines - 1, 0)

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Return the number of records and the column names. Raises CorruptZip for an unterminated quote."""
        if self._quoted:
            raise CorruptZip("The CSV ends within a quoted field.")
        lines = self._lines + (self._last != b"\n")
        if self._header is None:
            self._header = _column_names(self._header_bytes)
        return max(lines - 1, 0), self._header

    def _read_header(self) -> None:
        line = _FIRST_LINE.match(self._header_bytes) if self._lines else None
        if line:
            self._header = _column_names(line[1])
            self._header_bytes = bytearray()
        elif len(self._header_bytes) > _MAX_HEADER_BYTES:
            raise CorruptZip(f"The CSV has no complete header line in its first {_MAX_HEADER_BYTES} bytes.")


def _column_names(line: bytes | bytearray) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([line.decode("utf-8-sig").strip("\r\n")]), []))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptZip(f"The header of the CSV cannot be read: {error}.") from error


_BEGIN, _END = b"begin:vevent", b"end:vevent"
_KEPT_LINE_BYTES = 32  # a longer line is neither of these


class IcsCounter:
    """Counts the events of an iCalendar file. `records` is the number of events that have begun so far.

    A line that begins with a space or a tab continues the line before it.
    https://www.rfc-editor.org/rfc/rfc5545#section-3.1
    """

    def __init__(self) -> None:
        self.records = 0
        self._open = False
        self._rest = b""  # the beginning of a line whose end has not arrived
        self._line = b" "  # the current content line, unfolded so far; initially a line that matches nothing

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes. Raises CorruptZip if BEGIN and END of events do not alternate."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._unfold(line)
        # The appended space keeps a line cut here from matching BEGIN:VEVENT or END:VEVENT.
        self._rest = rest if len(rest) <= _KEPT_LINE_BYTES else rest[:_KEPT_LINE_BYTES] + b" "

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Return the number of events and an empty header. Raises CorruptZip for an event without an end."""
        self._unfold(self._rest)
        self._count_line()
        if self._open:
            raise CorruptZip(f"The calendar ends within its event {self.records}.")
        return self.records, ()

    def _unfold(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if line.startswith((b" ", b"\t")):
            self._line = (self._line + line[1:])[: _KEPT_LINE_BYTES + 1]
        else:
            self._count_line()
            self._line = line[: _KEPT_LINE_BYTES + 1]

    def _count_line(self) -> None:
        line = self._line.lower()
        if line == _BEGIN:
            if self._open:
                raise CorruptZip(f"Event {self.records} of the calendar does not end before the next begins.")
            self._open = True
            self.records += 1
        elif line == _END:
            if not self._open:
                raise CorruptZip(
                    f"After event {self.records}, the calendar ends an event that did not begin."
                )
            self._open = False
