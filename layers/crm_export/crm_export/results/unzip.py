"""Reads the one entry of a ZIP as a stream, and checks what the ZIP says of it.

Zoho's results are one entry each. Zoho documents no flavour, so all are read: sizes in front, in a
data descriptor with or without signature, ZIP64, deflated or stored.
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isal import isal_zlib
from isal.igzip_lib import IsalError

from crm_export.errors import CorruptZip, TruncatedZip, UnsupportedZip

_LOCAL, _DESCRIPTOR, _CENTRAL, _END = b"PK\x03\x04", b"PK\x07\x08", b"PK\x01\x02", b"PK\x05\x06"
_ENCRYPTED, _HAS_DESCRIPTOR = 0x1, 0x8
_STORED, _DEFLATED = 0, 8
_UNKNOWN32 = 0xFFFFFFFF
_ZIP64 = 1
_OUTPUT_BYTES = 256 * 1024  # of one chunk given on, however much the input inflates
_LONGEST_TAIL = 256 * 1024  # descriptor, one central header, end records and comment
_SIGNATURE_BYTES = 4
_CENTRAL_BYTES, _END_BYTES = 46, 22  # APPNOTE 4.3.12, 4.3.16


@dataclass
class Entry:
    """The entry, known once its content has been read to the end. crc32 is Zoho's, checked."""

    crc32: int = 0
    size: int = 0
    compressed_size: int = 0


@dataclass(frozen=True)
class _Header:
    has_descriptor: bool
    method: int
    crc32: int
    compressed_size: int
    size: int


class _Input:
    """Bytes of an iterable, to be taken in exact numbers or as they come."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def some(self) -> bytes:
        """The next bytes; empty at the end."""
        if self._rest:
            taken, self._rest = self._rest, b""
            return taken
        return next((chunk for chunk in self._chunks if chunk), b"")

    def exactly(self, count: int) -> bytes:
        """So many bytes, or TruncatedZip."""
        taken = bytearray()
        while len(taken) < count:
            chunk = self.some()
            if not chunk:
                raise TruncatedZip("The result ends within its ZIP header.")
            taken += chunk
        self.give_back(bytes(taken[count:]))
        return bytes(taken[:count])

    def give_back(self, data: bytes) -> None:
        """Put back what was taken too much."""
        self._rest = data + self._rest


def unzip(chunks: Iterable[bytes]) -> tuple[Entry, Iterator[bytes]]:
    """The entry and its content. Nothing is read before the content is.

    Reading the content to its end raises TruncatedZip, CorruptZip or UnsupportedZip unless CRC, sizes
    and directory are all right; only then is the entry's description true.
    """
    entry = Entry()
    return entry, _content(_Input(chunks), entry)


def _content(source: _Input, entry: Entry) -> Iterator[bytes]:
    header = _read_header(source)
    if header.method == _DEFLATED:
        data = _inflate(source, entry)
    elif header.has_descriptor:
        data = _until_descriptor(source, entry)
    else:
        data = _stored(source, entry, header.compressed_size)
    for chunk in data:
        entry.crc32 = isal_zlib.crc32(chunk, entry.crc32)
        entry.size += len(chunk)
        yield chunk
    _check_end(_read_tail(source), header, entry)


def _read_header(source: _Input) -> _Header:
    signature = source.exactly(_SIGNATURE_BYTES)
    if signature == _END:
        raise UnsupportedZip("The result is a ZIP without an entry; one entry is expected.")
    if signature != _LOCAL:
        raise CorruptZip("The result is not a ZIP: it does not begin with PK\\3\\4.")
    flags, method, crc32, compressed_size, size, name_length, extra_length = struct.unpack(
        "<2xHH4xLLLHH", source.exactly(26)
    )
    source.exactly(name_length)
    extra = source.exactly(extra_length)
    if flags & _ENCRYPTED:
        raise UnsupportedZip("The entry of the result's ZIP is encrypted.")
    if method not in {_STORED, _DEFLATED}:
        raise UnsupportedZip(f"The result's ZIP uses compression method {method}; 0 and 8 are supported.")
    if _UNKNOWN32 in {compressed_size, size}:
        size, compressed_size = _zip64_sizes(extra, size, compressed_size)
    return _Header(bool(flags & _HAS_DESCRIPTOR), method, crc32, compressed_size, size)


def _zip64_sizes(extra: bytes, size: int, compressed_size: int) -> tuple[int, int]:
    """Sizes from the ZIP64 extra field: 8 bytes each, there only for those that are 0xFFFFFFFF."""
    while len(extra) >= _SIGNATURE_BYTES:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == _ZIP64:
            field = extra[4 : 4 + length]
            values = (value for (value,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8]))
            if size == _UNKNOWN32:
                size = next(values, size)
            if compressed_size == _UNKNOWN32:
                compressed_size = next(values, compressed_size)
            break
        extra = extra[4 + length :]
    return size, compressed_size


def _inflate(source: _Input, entry: Entry) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(-15)
    while not inflater.eof:
        data = inflater.unconsumed_tail
        if not data:
            data = source.some()
            entry.compressed_size += len(data)
            if not data:
                raise TruncatedZip("The result ends within its compressed data.")
        try:
            out = inflater.decompress(data, _OUTPUT_BYTES)
        except IsalError as error:  # type: ignore[misc]  # isal's stub calls it an instance
            raise CorruptZip(f"The result's compressed data is broken: {error}.") from error
        if out:
            yield out
    entry.compressed_size -= len(inflater.unused_data)
    source.give_back(inflater.unused_data)


def _stored(source: _Input, entry: Entry, size: int) -> Iterator[bytes]:
    while entry.compressed_size < size:
        chunk = source.some()
        if not chunk:
            raise TruncatedZip("The result ends within its stored data.")
        wanted = size - entry.compressed_size
        source.give_back(chunk[wanted:])
        entry.compressed_size += len(chunk[:wanted])
        yield chunk[:wanted]


def _until_descriptor(source: _Input, entry: Entry) -> Iterator[bytes]:
    """Stored data of unknown size ends where a descriptor before the directory tells its size and CRC."""
    held = b""
    while True:
        end = _find_descriptor(held, entry)
        if end is not None:
            entry.compressed_size += end
            source.give_back(held[end:])
            yield held[:end]
            return
        # The longest descriptor (24 bytes) and a directory signature may be cut by the chunk's end.
        safe = max(len(held) - 27, 0)
        if safe:
            entry.compressed_size += safe
            yield held[:safe]
        chunk = source.some()
        if not chunk:
            raise TruncatedZip("The result ends without a data descriptor.")
        held = held[safe:] + chunk


def _find_descriptor(held: bytes, entry: Entry) -> int | None:
    central = held.find(_CENTRAL)
    while central >= 0:
        for start, crc32, sizes in _descriptors(held, central):
            size = entry.size + start
            if sizes == (size, size) and isal_zlib.crc32(held[:start], entry.crc32) == crc32:
                return start
        central = held.find(_CENTRAL, central + 1)
    return None


def _descriptors(data: bytes, end: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """What bytes up to `end` say if they are a descriptor: start, CRC, (compressed, full) size."""
    for layout, signature in (("<LLL", b""), ("<LLL", _DESCRIPTOR), ("<LQQ", b""), ("<LQQ", _DESCRIPTOR)):
        length = struct.calcsize(layout)
        start = end - length - len(signature)
        if start >= 0 and data.startswith(signature, start):
            crc32, compressed_size, size = struct.unpack_from(layout, data, end - length)
            yield start, crc32, (compressed_size, size)


def _read_tail(source: _Input) -> bytes:
    tail = bytearray()
    while chunk := source.some():
        tail += chunk
        if len(tail) > _LONGEST_TAIL:
            raise UnsupportedZip("The result's ZIP goes on behind its entry; one entry is expected.")
    return bytes(tail)


def _check_end(tail: bytes, header: _Header, entry: Entry) -> None:
    """Hold header or descriptor, directory and end record to what was read."""
    found = (entry.crc32, (entry.compressed_size, entry.size))
    if header.has_descriptor:
        directory = _descriptor_end(tail, found)
    else:
        directory = 0 if found == (header.crc32, (header.compressed_size, header.size)) else None
    if directory is None:
        raise CorruptZip(
            f"The result holds {entry.size} bytes with CRC {entry.crc32:08x}; its ZIP says otherwise."
        )
    _check_directory(tail[directory:], entry)


def _descriptor_end(tail: bytes, found: tuple[int, tuple[int, int]]) -> int | None:
    """Where the descriptor ends that says what was found. Its length is told by what follows it."""
    ends = [end for end in (12, 16, 20, 24) if tail[end : end + 4] in {_CENTRAL, _LOCAL}]
    if not ends and len(tail) < 28:  # noqa: PLR2004 (longest descriptor and a signature)
        raise TruncatedZip("The result ends within its data descriptor.")
    for end in ends:
        if any(start == 0 and (crc32, sizes) == found for start, crc32, sizes in _descriptors(tail, end)):
            return end
    return None


def _check_directory(directory: bytes, entry: Entry) -> None:
    if directory.startswith(_LOCAL):
        raise UnsupportedZip("The result's ZIP holds more than one entry; one is expected.")
    if len(directory) < _CENTRAL_BYTES + _END_BYTES:
        raise TruncatedZip("The result ends within its directory.")
    if not directory.startswith(_CENTRAL):
        raise CorruptZip("The result's ZIP has no directory behind its entry.")
    entries = _entries(directory)
    if entries not in {1, 0xFFFF}:
        raise UnsupportedZip(f"The result's ZIP holds {entries} entries; one is expected.")
    crc32, compressed_size, size = struct.unpack_from("<LLL", directory, 16)
    if (
        crc32 != entry.crc32
        or compressed_size not in {entry.compressed_size, _UNKNOWN32}
        or size not in {entry.size, _UNKNOWN32}
    ):
        raise CorruptZip("The directory of the result's ZIP does not belong to its entry.")


def _entries(directory: bytes) -> int:
    """How many entries the end record tells of: the one whose comment ends where the file does."""
    end, cut = directory.rfind(_END), False
    while end >= 0:
        if len(directory) >= end + _END_BYTES:
            entries, comment_length = struct.unpack_from("<H8xH", directory, end + 10)
            if len(directory) == end + _END_BYTES + comment_length:
                return int(entries)
            cut = cut or len(directory) < end + _END_BYTES + comment_length
        end = directory.rfind(_END, 0, end)
    if cut or _END not in directory[: -_END_BYTES + 1]:
        raise TruncatedZip("The result ends within its directory.")
    raise CorruptZip("The result's ZIP goes on behind its end.")
