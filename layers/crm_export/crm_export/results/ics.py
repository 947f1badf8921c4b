"""Counts the events of an iCalendar file as it passes by (RFC 5545, 3.1: a line that begins with a blank
goes on with the one before)."""

from crm_export.errors import CorruptZip

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
