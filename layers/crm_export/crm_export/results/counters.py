"""Counters that are fed a file's bytes as they pass: CRC32 and size, records of a CSV, events of a calendar.

`crm_export.aws.results_bucket` chooses the counter by the format. A chunk may end anywhere.
"""

import csv
import io
import re
from dataclasses import dataclass

from isal import isal_zlib

from crm_export.errors import CorruptZip
from crm_export.results.record_ids import RecordIds
from crm_export.results.record_index import RecordHashes


@dataclass
class ByteCounter:
    """The CRC32 and the size in bytes of all chunks fed so far."""

    crc32: int = 0
    size: int = 0

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes."""
        self.crc32 = isal_zlib.crc32(chunk, self.crc32)
        self.size += len(chunk)


_BOM = b"\xef\xbb\xbf"
_MAX_HEADER_BYTES = 1024 * 1024
# A cell is a quoted string and whatever follows it, either of which may be empty. As in every CSV reader, a
# quote is special only at the start of a cell. Possessive quantifiers keep this linear in the input.
_QUOTED = rb'"(?:[^"]++|"")*+'
_CELL = rb'(?:%b")?+[^,\r\n]*+' % _QUOTED
_HEADER = re.compile(rb"[\r\n]*+((?:%b,)*+%b)[\r\n]" % (_CELL, _CELL))
# Everything up to a bare quote or the end: quoted strings that begin where a cell does, and what is between.
_TO_BARE_QUOTE = re.compile(rb'((?:[^"]*+(?:\A|(?<=[,\r\n]))%b(?:"|\Z))*+[^"]*+)("|\Z)' % _QUOTED)
_BEFORE_QUOTE = frozenset({b"", b",", b"\r", b"\n", b'"'})
_TEXT_AS_X = bytes(byte if byte in b',\r\n"' else ord("x") for byte in range(256))
_NO_BYTE_OF_UTF_8 = b"\xff"
_FEW_QUOTES = 16  # bytes outside quotes for each quoted string: then it is faster to look at each string


class CsvCounter:
    """Counts the records of a CSV and reads its header, as csv.reader does for a file with newline="".

    A record ends at a CR, LF or CRLF outside quotes. Blank lines are not records. A quote is special only at
    the start of a cell and within a cell that began with one. `ids` and `hashes` are fed what follows the
    header.
    https://www.rfc-editor.org/rfc/rfc4180
    """

    def __init__(self, ids: RecordIds | None = None, hashes: RecordHashes | None = None) -> None:
        self._ids = ids
        self._hashes = hashes
        self._start: bytes | None = b""  # the first bytes, until it is known whether they are a BOM
        self._header_bytes = bytearray()
        self._header: tuple[str, ...] | None = None
        self._begin_lines()

    def _begin_lines(self) -> None:
        self._lines = 0  # that have begun and are not blank
        self._quoted = False
        self._last = b"\n"  # the last byte; a quote stands for all of a quoted string

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes. Raises CorruptZip if the header is unreadable or too long."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._start = chunk
                return
            self._start = None
            chunk = chunk.removeprefix(_BOM)
        if self._header is None:
            chunk = self._read_header(chunk)
        self._count(chunk)

    @property
    def records(self) -> int:
        """The number of complete records so far."""
        return 0 if self._header is None else self._lines - self._is_line_open

    def finish(self) -> tuple[int, tuple[str, ...]]:
        """Return the number of records and the column names. Raises CorruptZip for an unterminated quote."""
        if self._start:
            start, self._start = self._start, None
            self.feed(start)
        if self._quoted:
            raise CorruptZip("The CSV ends within a quoted field.")
        if self._header is None:
            self.feed(b"\n")
        return self._lines, self._header or ()

    @property
    def _is_line_open(self) -> bool:
        return self._last not in b"\r\n"

    def _count(self, chunk: bytes) -> None:
        """Count the lines of a chunk."""
        if not chunk:
            return
        outside, ends_quoted = self._outside(chunk)
        seen, raw = b'"'.join(outside), chunk
        if len(outside) > 1 and _has_bare_quote(outside, seen):
            chunk = self._without_bare_quotes(chunk)
            outside, ends_quoted = self._outside(chunk)
            seen = b'"'.join(outside)
        lines = seen.splitlines()
        self._lines += len(lines) - lines.count(b"") - self._is_line_open
        self._quoted, self._last = ends_quoted, seen[-1:]
        if self._ids and self._header:
            self._ids.feed(chunk, seen, ends_quoted=ends_quoted)
        if self._hashes and self._header:
            self._hashes.feed(raw, chunk)

    def _outside(self, chunk: bytes) -> tuple[list[bytes], bool]:
        """Return the pieces of a chunk between its quoted strings, and whether it ends within one.

        The last byte of the chunk before is in front of the first piece.
        """
        pieces = chunk.split(b'"')
        ends_quoted = self._quoted ^ (not len(pieces) % 2)
        outside = pieces[self._quoted :: 2]
        if ends_quoted:
            outside.append(b"")
        outside[0] = self._last + outside[0]
        return outside, ends_quoted

    def _without_bare_quotes(self, chunk: bytes) -> bytes:
        """Replace the quotes that are ordinary characters by a byte that text does not contain."""
        if self._quoted:
            before = b'"'
        elif self._last == b'"':
            before = b'""'  # a quoted string that has ended, or goes on if another quote follows
        else:
            before = b"x" if self._last not in b",\r\n" else b""
        replaced = _TO_BARE_QUOTE.sub(
            lambda found: found[1] + _NO_BYTE_OF_UTF_8 * len(found[2]), before + chunk
        )
        return replaced[len(before) :]

    def _read_header(self, chunk: bytes) -> bytes:
        """Return the bytes after the header, or none if the header is incomplete."""
        self._header_bytes += chunk
        self._count(chunk)
        if not self._lines - self._is_line_open:
            if len(self._header_bytes) > _MAX_HEADER_BYTES:
                raise CorruptZip(
                    f"The CSV has no complete header line in its first {_MAX_HEADER_BYTES} bytes."
                )
            return b""
        header = bytes(self._header_bytes)
        line = next(_HEADER.finditer(header))  # there is one, because a line has ended
        self._header, rest = _column_names(line[1]), header[line.end() :]
        self._header_bytes = bytearray()
        if self._ids:
            self._ids.begin(self._header)
        self._begin_lines()
        return rest


def _has_bare_quote(outside: list[bytes], seen: bytes) -> bool:
    """Return True if a quoted string begins after a character that does not separate cells."""
    if len(seen) > _FEW_QUOTES * len(outside):
        return not {piece[-1:] for piece in outside[:-1]} <= _BEFORE_QUOTE
    shape = seen.translate(_TEXT_AS_X)
    return b"x" in shape and b'x"' in shape  # looking for one byte is much faster than for two


def _column_names(line: bytes) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader(io.StringIO(line.decode(), newline="")), []))
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
