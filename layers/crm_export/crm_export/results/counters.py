"""Counts the records of a CSV as it passes by (RFC 4180: a newline within quotes is no record's end)."""
# Counts the events of an iCalendar file as it passes by (RFC 5545, 3.1: a line that begins with a blank
# goes on with the one before).

import csv
import re

from crm_export.errors import CorruptZip

_LONGEST_HEADER = 1024 * 1024
_BLANK_LINE = re.compile(rb"\n(?=\n)")
# Behind a BOM and blank lines, up to the first newline outside quotes; possessive, so in linear time.
_FIRST_LINE = re.compile(rb'(?:\xef\xbb\xbf)?[\r\n]*+((?:[^"\n]++|"[^"]*+")++)\n')


class CsvCounter:
    """Feed it the bytes; then `finish`."""

    def __init__(self) -> None:
        self._lines = 0
        self._quoted = False
        self._last = b"\n"  # the last byte outside quotes: a line begins
        self._header_bytes = bytearray()
        self._header: list[str] | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._header is None:
            self._header_bytes += chunk
        pieces = chunk.split(b'"')
        # Every other piece lies outside quotes; a quote stays as the mark that a line is not blank.
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
        """How many records have ended so far."""
        return max(self._lines - 1, 0)

    def finish(self) -> tuple[int, list[str]]:
        """Number of records, and the names of the header. Raises CorruptZip for an unterminated quote."""
        if self._quoted:
            raise CorruptZip("The CSV ends within a quoted field.")
        lines = self._lines + (self._last != b"\n")
        if self._header is None:
            self._header = _names(self._header_bytes)
        return max(lines - 1, 0), self._header

    def _read_header(self) -> None:
        line = _FIRST_LINE.match(self._header_bytes) if self._lines else None
        if line:
            self._header = _names(line[1])
            self._header_bytes = bytearray()
        elif len(self._header_bytes) > _LONGEST_HEADER:
            raise CorruptZip("The CSV has no header line within its first MiB.")


def _names(line: bytes | bytearray) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8-sig").strip("\r\n")]), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorruptZip(f"The header of the CSV cannot be read: {error}.") from error


_BEGIN, _END = b"begin:vevent", b"end:vevent"
_LONGEST = 32  # what is kept of a line: a longer one is neither of these


class IcsCounter:
    """Feed it the bytes; then `finish`, as CsvCounter. records: how many events have begun so far."""

    def __init__(self) -> None:
        self.records = 0
        self._open = False
        self._rest = b""  # of a line whose end has not come
        self._line = b" "  # unfolded so far; the first line goes on with none

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises CorruptZip for an event within an event, or an end of none."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._take(line)
        # A blank byte stands for what is cut off, lest the cut line equal one of ours.
        self._rest = rest if len(rest) <= _LONGEST else rest[:_LONGEST] + b" "

    def finish(self) -> tuple[int, list[str]]:
        """Number of events; and no header. Raises CorruptZip for an event that does not end."""
        self._take(self._rest)
        self._judge()
        if self._open:
            raise CorruptZip(f"The calendar ends within its event {self.records}.")
        return self.records, []

    def _take(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if line.startswith((b" ", b"\t")):
            self._line = (self._line + line[1:])[: _LONGEST + 1]
        else:
            self._judge()
            self._line = line[: _LONGEST + 1]

    def _judge(self) -> None:
        line = self._line.lower()
        if line == _BEGIN:
            if self._open:
                raise CorruptZip(f"The calendar's event {self.records} does not end before the next begins.")
            self._open = True
            self.records += 1
        elif line == _END:
            if not self._open:
                raise CorruptZip(f"The calendar ends an event it did not begin, after {self.records}.")
            self._open = False
