"""Result files as streams: rows to CSV or iCalendar, and those to a ZIP in every layout Zoho might use."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import pack
from types import ModuleType

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.columns import Column, Rows
from zoho_simulator.data.modules import blocks

_deflate: ModuleType
try:
    from isal import isal_zlib

    _deflate = isal_zlib
except ImportError:  # slower, same records
    _deflate = zlib

_STAMP = pack("<HH", 0, (2024 - 1980) << 9 | 1 << 5 | 1)  # 1 January 2024
_IN_ZIP64_EXTRA = 0xFFFFFFFF


def csv_chunks(
    config: SimulatorConfig, header: Sequence[str], columns: Sequence[Column], rows: Rows
) -> Iterator[bytes]:
    """Yield a CSV file in chunks of some thousand rows, header first."""
    newline, quotes_all = config.csv_newline, config.csv_quoting == "all"
    head = ",".join(f'"{name}"' if quotes_all else name for name in header)
    yield (b"\xef\xbb\xbf" if config.csv_bom else b"") + head.encode()
    for block in blocks(rows):
        cells = [_quoted(c.texts(block)) if quotes_all else c.cells(block) for c in columns]
        lines = ["", *map(",".join, zip(*cells, strict=True))]
        yield newline.join(lines).encode()
    if config.csv_final_newline:
        yield newline.encode()


def _quoted(texts: Sequence[str]) -> list[str]:
    return ['"' + text.replace('"', '""') + '"' for text in texts]


def ics_chunks(columns: Sequence[Column], rows: Rows) -> Iterator[bytes]:
    """Yield an iCalendar file of events; `columns` are id, title, start and end."""
    yield b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Zoho CRM simulator//EN\r\n"
    for block in blocks(rows):
        events = zip(*(column.texts(block) for column in columns), strict=True)
        yield "".join(map(_event, events)).encode()
    yield b"END:VCALENDAR\r\n"


_ESCAPES = str.maketrans({"\\": "\\\\", ",": "\\,", ";": "\\;", "\n": "\\n", "\r": ""})


def _event(cells: tuple[str, ...]) -> str:
    uid, title, *moments = cells
    start, end = (moment[:19].replace("-", "").replace(":", "") for moment in moments)
    return (
        f"BEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:{title.translate(_ESCAPES)}\r\n"
        f"DTSTART:{start}\r\nDTEND:{end}\r\nEND:VEVENT\r\n"
    )


@dataclass(frozen=True)
class Layout:
    """How the archive is written. `sizes`: descriptor, descriptor_no_signature or header."""

    method: str = "deflate"
    sizes: str = "descriptor"
    zip64: bool = False
    corrupt_crc: bool = False


@dataclass(frozen=True)
class Measure:
    """Checksum and sizes of a content."""

    crc: int = 0
    compressed: int = 0
    size: int = 0


def measure(layout: Layout, content: Iterator[bytes]) -> Measure:
    """Consume the content to compute its checksum and sizes."""
    body = _Body(layout.method)
    for _ in body.run(content):
        pass
    return body.measure


def archive_length(layout: Layout, name: str, measured: Measure) -> int:
    """Return the size of the whole archive in bytes."""
    archive = _Archive(layout, name, measured)
    return len(archive.local_header()) + measured.compressed + len(archive.descriptor() + archive.ending())


def zip_stream(
    layout: Layout, name: str, content: Callable[[], Iterator[bytes]], measured: Measure | None = None
) -> Iterator[bytes]:
    """Yield a ZIP with one entry. Sizes in the header need `measured`; without it, content is read twice."""
    if measured is None and layout.sizes == "header":
        measured = measure(layout, content())
    yield _Archive(layout, name, measured or Measure()).local_header()
    body = _Body(layout.method)
    yield from body.run(content())
    archive = _Archive(layout, name, body.measure)
    yield archive.descriptor() + archive.ending()


class _Body:
    """Compresses a stream and counts it."""

    def __init__(self, method: str) -> None:
        self._packer = _deflate.compressobj(1, 8, -15) if method == "deflate" else None
        self._crc = self._compressed = self._size = 0

    @property
    def measure(self) -> Measure:
        return Measure(self._crc, self._compressed, self._size)

    def run(self, content: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in content:
            self._crc = zlib.crc32(chunk, self._crc)
            self._size += len(chunk)
            yield from self._out(self._packer.compress(chunk) if self._packer else chunk)
        if self._packer:
            yield from self._out(self._packer.flush())

    def _out(self, data: bytes) -> Iterator[bytes]:
        self._compressed += len(data)
        if data:
            yield data


class _Archive:
    """The bytes around the body. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT"""

    def __init__(self, layout: Layout, name: str, measured: Measure) -> None:
        self._layout = layout
        self._name = name.encode()
        self._measured = measured
        self._crc = measured.crc ^ (0xFF if layout.corrupt_crc else 0)

    def local_header(self) -> bytes:
        in_header = self._layout.sizes == "header"
        measured = self._measured if in_header else Measure()
        extra = self._extra(measured.size, measured.compressed)
        numbers = pack("<LLL", self._crc if in_header else 0, *self._sizes(measured))
        lengths = pack("<HH", len(self._name), len(extra))
        return b"PK\x03\x04" + self._fixed() + numbers + lengths + self._name + extra

    def descriptor(self) -> bytes:
        if self._layout.sizes == "header":
            return b""
        signature = b"PK\x07\x08" if self._layout.sizes == "descriptor" else b""
        kind = "<LQQ" if self._layout.zip64 else "<LLL"
        return signature + pack(kind, self._crc, self._measured.compressed, self._measured.size)

    def ending(self) -> bytes:
        """Return the central directory and its end records."""
        measured = self._measured
        offset = len(self.local_header()) + measured.compressed + len(self.descriptor())
        extra = self._extra(measured.size, measured.compressed)
        numbers = pack("<LLL", self._crc, *self._sizes(measured))
        lengths = pack("<HHHHHLL", len(self._name), len(extra), 0, 0, 0, 0, 0)
        directory = b"PK\x01\x02" + self._version() + self._fixed() + numbers + lengths + self._name + extra
        if not self._layout.zip64:
            return directory + _end_record(len(directory), offset)
        end64 = b"PK\x06\x06" + pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, len(directory), offset)
        locator = b"PK\x06\x07" + pack("<LQL", 0, offset + len(directory), 1)
        return directory + end64 + locator + _end_record(len(directory), _IN_ZIP64_EXTRA)

    def _version(self) -> bytes:
        return pack("<H", 45 if self._layout.zip64 else 20)

    def _fixed(self) -> bytes:
        # Version needed, flags (bit 3: descriptor, bit 11: UTF-8 name), method, time and date.
        flags = (0 if self._layout.sizes == "header" else 8) | 0x800
        return self._version() + pack("<HH", flags, 8 if self._layout.method == "deflate" else 0) + _STAMP

    def _sizes(self, measured: Measure) -> tuple[int, int]:
        if self._layout.zip64:
            return _IN_ZIP64_EXTRA, _IN_ZIP64_EXTRA
        return measured.compressed, measured.size

    def _extra(self, size: int, compressed: int) -> bytes:
        return pack("<HHQQ", 1, 16, size, compressed) if self._layout.zip64 else b""


def _end_record(length: int, offset: int) -> bytes:
    return b"PK\x05\x06" + pack("<HHHHLLH", 0, 0, 1, 1, length, offset, 0)
