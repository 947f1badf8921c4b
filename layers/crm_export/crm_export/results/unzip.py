"""Reads the one entry of a ZIP as a stream, and checks what the ZIP says of it.

Zoho's results are one entry each. Zoho documents no flavour, so all are read: sizes in front, in a
data descriptor with or without signature, ZIP64, deflated or stored.
"""

from collections.abc import Callable, Iterable, Iterator

from isal import isal_zlib
from isal.igzip_lib import IsalError

from crm_export.errors import CorruptZip, TruncatedZip, UnsupportedZip
from crm_export.results.gzip import deflating
from crm_export.results.zip_format import (
    DEFLATED,
    END,
    LOCAL,
    LOCAL_BYTES,
    SIGNATURE_BYTES,
    Entry,
    Header,
    check_end,
    find_descriptor,
    name_and_extra_lengths,
    parse_header,
)

_OUTPUT_BYTES = 256 * 1024  # of one chunk given on, however much the input inflates
_LONGEST_TAIL = 257 * 1024  # descriptor, central header, end records: four fields of 64 KiB, and a bit
_IDLE_BYTES = 1024 * 1024  # of compressed data that may come before it holds something
_READ_AHEAD = 16  # more than an inflater can have taken of what follows its data


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


def unzip(
    chunks: Iterable[bytes], deflated: Callable[[bytes], object] | None = None
) -> tuple[Entry, Iterator[bytes]]:
    """The entry and its content. Nothing is read before the content is.

    Reading the content to its end raises TruncatedZip, CorruptZip or UnsupportedZip unless CRC, sizes
    and directory are all right; only then is the entry's description true. On the way `deflated` is
    handed the same content as a raw deflate stream: the ZIP's own bytes, made anew only where the ZIP
    stores its entry as it is.
    """
    entry = Entry()
    return entry, _content(_Input(chunks), entry, deflated)


def _content(source: _Input, entry: Entry, deflated: Callable[[bytes], object] | None) -> Iterator[bytes]:
    header = _read_header(source, entry)
    if header.method == DEFLATED:
        data = _inflate(source, entry, deflated)
    elif header.has_descriptor:
        data = _until_descriptor(source, entry)
    else:
        data = _stored(source, entry, header.compressed_size)
    if deflated and header.method != DEFLATED:
        data = deflating(data, deflated)
    for chunk in data:
        entry.crc32 = isal_zlib.crc32(chunk, entry.crc32)
        entry.size += len(chunk)
        yield chunk
    check_end(_read_tail(source), header, entry)


def _read_header(source: _Input, entry: Entry) -> Header:
    signature = source.exactly(SIGNATURE_BYTES)
    if signature == END:
        raise UnsupportedZip("The result is a ZIP without an entry; one entry is expected.")
    if signature != LOCAL:
        raise CorruptZip("The result is not a ZIP: it does not begin with PK\\3\\4.")
    fixed = source.exactly(LOCAL_BYTES)
    name_length, extra_length = name_and_extra_lengths(fixed)
    entry.name = source.exactly(name_length)
    return parse_header(fixed, source.exactly(extra_length))


def _inflate(source: _Input, entry: Entry, deflated: Callable[[bytes], object] | None) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(-15)
    held = b""  # read, but perhaps not of the data: where that ends is known at its end
    while not inflater.eof:
        data = inflater.unconsumed_tail
        if not data:
            if entry.compressed_size > 2 * entry.size + _IDLE_BYTES:
                raise CorruptZip(
                    f"The result's compressed data goes on without holding anything: {entry.compressed_size} "
                    f"bytes of it hold {entry.size}."
                )
            data = source.some()
            entry.compressed_size += len(data)
            if not data:
                raise TruncatedZip("The result ends within its compressed data.")
            if deflated:
                deflated(held[:-_READ_AHEAD])
                held = held[-_READ_AHEAD:] + data
        try:
            out = inflater.decompress(data, _OUTPUT_BYTES)
        except IsalError as error:  # type: ignore[misc]  # isal's stub calls it an instance
            raise CorruptZip(f"The result's compressed data is broken: {error}.") from error
        if out:
            yield out
    if deflated:
        deflated(held[: len(held) - len(inflater.unused_data)])
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
        end = find_descriptor(held, entry)
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


def _read_tail(source: _Input) -> bytes:
    tail = bytearray()
    while chunk := source.some():
        tail += chunk
        if len(tail) > _LONGEST_TAIL:
            raise UnsupportedZip("The result's ZIP goes on behind its entry; one entry is expected.")
    return bytes(tail)
