"""Result files as a stream: rows to CSV, CSV to a one-entry ZIP in every layout Zoho might use."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import pack
from types import ModuleType

from zoho_simulator.columns import Column
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data import blocks

_deflate: ModuleType
try:
    from isal import isal_zlib

    _deflate = isal_zlib
except ImportError:  # slower, same records
    _deflate = zlib

_STAMP = pack("<HH", 0, (2024 - 1980) << 9 | 1 << 5 | 1)
_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True)
class Layout:
    """How the archive is written. `sizes`: descriptor | descriptor_no_signature | header."""

    method: str = "deflate"
    sizes: str = "descriptor"
    zip64: bool = False
    corrupt_crc: bool = False


@dataclass(frozen=True)
class Measure:
    """What one pass over the content finds out."""

    crc: int
    compressed: int
    size: int


def csv_chunks(
    config: SimulatorConfig, header: Sequence[str], columns: Sequence[Column], rows: Sequence[int]
) -> Iterator[bytes]:
    """The CSV file in pieces of some thousand rows, header first."""
    newline = config.csv_newline
    every = config.csv_quoting == "all"
    head = newline.join([",".join(f'"{name}"' if every else name for name in header), ""])
    yield (b"\xef\xbb\xbf" if config.csv_bom else b"") + head.encode()
    for block in blocks(rows):
        cells = [_quoted(c.texts(block)) if every else c.cells(block) for c in columns]
        lines = list(map(",".join, zip(*cells, strict=True)))
        lines.append("")
        yield newline.join(lines).encode()


def _quoted(texts: Sequence[str]) -> list[str]:
    return ['"' + text.replace('"', '""') + '"' for text in texts]


def ics_chunks(columns: Sequence[Column], rows: Sequence[int]) -> Iterator[bytes]:
    """The iCalendar file of events; `columns` are id, title, start and end."""
    yield b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Zoho CRM simulator//EN\r\n"
    for block in blocks(rows):
        events = zip(*(column.texts(block) for column in columns), strict=True)
        yield "".join(map(_event, events)).encode()
    yield b"END:VCALENDAR\r\n"


def _event(cells: tuple[str, ...]) -> str:
    uid, title, start, end = cells
    title = (
        title.replace("\\", "\\\\")
        .replace(",", "\\,")
        .replace(";", "\\;")
        .replace("\n", "\\n")
        .replace("\r", "")
    )
    moments = [m[:19].replace("-", "").replace(":", "") for m in (start, end)]
    times = f"DTSTART:{moments[0]}\r\nDTEND:{moments[1]}\r\n"
    return f"BEGIN:VEVENT\r\nUID:{uid}\r\nSUMMARY:{title}\r\n{times}END:VEVENT\r\n"


def measure(layout: Layout, content: Iterator[bytes]) -> Measure:
    """Run through the content once, to know its checksum and sizes."""
    state = _Body(layout.method)
    for _ in state.run(content):
        pass
    return Measure(state.crc, state.compressed, state.size)


def archive_length(layout: Layout, name: str, measured: Measure) -> int:
    """Bytes of the whole archive, for a Content-Length."""
    around = (
        _local_header(layout, name, measured),
        _descriptor(layout, measured),
        _ending(layout, name, measured),
    )
    return measured.compressed + sum(map(len, around))


def zip_stream(
    layout: Layout, name: str, content: Callable[[], Iterator[bytes]], measured: Measure | None = None
) -> Iterator[bytes]:
    """The archive with one entry. Sizes in the header need `measured`; without it, a first pass is made."""
    if measured is None and layout.sizes == "header":
        measured = measure(layout, content())
    yield _local_header(layout, name, measured)
    body = _Body(layout.method)
    yield from body.run(content())
    found = Measure(body.crc, body.compressed, body.size)
    yield _descriptor(layout, found) + _ending(layout, name, found)


class _Body:
    """Compresses a stream and keeps count."""

    def __init__(self, method: str) -> None:
        self._packer = _deflate.compressobj(1, 8, -15) if method == "deflate" else None
        self.crc = self.compressed = self.size = 0

    def run(self, content: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in content:
            self.crc = zlib.crc32(chunk, self.crc)
            self.size += len(chunk)
            yield from self._out(self._packer.compress(chunk) if self._packer else chunk)
        if self._packer:
            yield from self._out(self._packer.flush())

    def _out(self, data: bytes) -> Iterator[bytes]:
        self.compressed += len(data)
        if data:
            yield data


def _fixed(layout: Layout) -> bytes:
    # Version needed, flags (bit 3: descriptor, bit 11: UTF-8 name), method, time and date.
    flags = (0 if layout.sizes == "header" else 8) | 0x800
    return pack("<HHH", 45 if layout.zip64 else 20, flags, 8 if layout.method == "deflate" else 0) + _STAMP


def _crc(layout: Layout, measured: Measure) -> int:
    return measured.crc ^ (0xFF if layout.corrupt_crc else 0)


def _local_header(layout: Layout, name: str, measured: Measure | None) -> bytes:
    known = measured if layout.sizes == "header" and measured else Measure(0, 0, 0)
    crc = _crc(layout, known) if layout.sizes == "header" else 0
    extra = pack("<HHQQ", 1, 16, known.size, known.compressed) if layout.zip64 else b""
    sizes = (_UNKNOWN, _UNKNOWN) if layout.zip64 else (known.compressed, known.size)
    encoded = name.encode()
    numbers = pack("<LLLHH", crc, *sizes, len(encoded), len(extra))
    return b"PK\x03\x04" + _fixed(layout) + numbers + encoded + extra


def _descriptor(layout: Layout, measured: Measure) -> bytes:
    if layout.sizes == "header":
        return b""
    signature = b"PK\x07\x08" if layout.sizes == "descriptor" else b""
    kind = "<LQQ" if layout.zip64 else "<LLL"
    return signature + pack(kind, _crc(layout, measured), measured.compressed, measured.size)


def _ending(layout: Layout, name: str, measured: Measure) -> bytes:
    encoded = name.encode()
    offset = (
        len(_local_header(layout, name, measured)) + measured.compressed + len(_descriptor(layout, measured))
    )
    extra = pack("<HHQQ", 1, 16, measured.size, measured.compressed) if layout.zip64 else b""
    sizes = (_UNKNOWN, _UNKNOWN) if layout.zip64 else (measured.compressed, measured.size)
    numbers = pack("<LLLHHHHHLL", _crc(layout, measured), *sizes, len(encoded), len(extra), 0, 0, 0, 0, 0)
    made_by = pack("<H", 45 if layout.zip64 else 20)
    directory = b"PK\x01\x02" + made_by + _fixed(layout) + numbers + encoded + extra
    if not layout.zip64:
        return directory + b"PK\x05\x06" + pack("<HHHHLLH", 0, 0, 1, 1, len(directory), offset, 0)
    end64 = b"PK\x06\x06" + pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 1, 1, len(directory), offset)
    locator = b"PK\x06\x07" + pack("<LQL", 0, offset + len(directory), 1)
    return (
        directory
        + end64
        + locator
        + b"PK\x05\x06"
        + pack("<HHHHLLH", 0, 0, 1, 1, len(directory), _UNKNOWN, 0)
    )
