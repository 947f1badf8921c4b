"""Reads the only file of a ZIP as a stream and verifies it against what the ZIP states about it.

Zoho's results have one file each. Zoho does not document their flavour, so all are read: sizes in the
header or in a data descriptor with or without signature, ZIP64, deflated or stored, after empty folders.
"""

from collections.abc import Iterable, Iterator

from isal import isal_zlib
from isal.igzip_lib import IsalError

from crm_export.errors import CorruptZip, TruncatedZip, UnsupportedZip
from crm_export.results.gzip import Piece, counted, deflate
from crm_export.results.zip_format import (
    CENTRAL,
    DEFLATED,
    END,
    LOCAL,
    LOCAL_BYTES,
    MAX_DESCRIPTOR_BYTES,
    SIGNATURE_BYTES,
    Entry,
    Header,
    check_end,
    descriptor_end,
    find_descriptor,
    name_and_extra_lengths,
    parse_header,
)

_OUTPUT_BYTES = 256 * 1024  # the most content in one piece, however much the input inflates
_MAX_TAIL_BYTES = 257 * 1024  # descriptor, central header, end records: four fields of 64 KiB, and some room
_IDLE_BYTES = 1024 * 1024  # compressed bytes that may arrive before any content
_MAX_FOLDERS = 16
_READ_AHEAD = 16  # more bytes than an inflater can have consumed after the end of its stream


def unzip(
    chunks: Iterable[bytes], *, compress: bool = False, may_be_empty: bool = False
) -> tuple[Entry, Iterator[Piece]]:
    """Return the entry and its pieces. Nothing is read before the first piece is asked for.

    The entry counts the content up to the last piece yielded. Only when the pieces are exhausted is the ZIP
    verified: raises TruncatedZip, CorruptZip or UnsupportedZip unless CRC, sizes and directory match the
    content. Pieces of a deflated entry carry the ZIP's own compressed bytes. Pieces of a stored entry carry
    none, or, if `compress` is true, the content compressed here. If `may_be_empty` is true, no bytes at all
    and a ZIP without a file are an empty file.
    """
    entry = Entry()
    return entry, _read_entry(_Input(chunks), entry, compress=compress, may_be_empty=may_be_empty)


class _Input:
    """Reads an iterable of bytes in exact amounts or as they come."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self) -> bytes:
        """Return the next bytes, or no bytes at the end."""
        if self._rest:
            chunk, self._rest = self._rest, b""
            return chunk
        return next((chunk for chunk in self._chunks if chunk), b"")

    def read_more(self, section: str) -> bytes:
        """Return the next bytes of a section. Raises TruncatedZip at the end of the input."""
        chunk = self.read()
        if not chunk:
            raise TruncatedZip(f"The result is truncated: it ends within its {section}.")
        return chunk

    def read_exactly(self, count: int) -> bytes:
        """Return `count` bytes of the header. Raises TruncatedZip."""
        data = bytearray()
        while len(data) < count:
            data += self.read_more("ZIP header")
        self.unread(bytes(data[count:]))
        return bytes(data[:count])

    def is_at_end(self) -> bool:
        """Return True if no bytes follow."""
        self.unread(self.read())
        return not self._rest

    def unread(self, data: bytes) -> None:
        """Put back bytes that belong to what comes next."""
        self._rest = data + self._rest


def _read_entry(source: _Input, entry: Entry, *, compress: bool, may_be_empty: bool) -> Iterator[Piece]:
    header, folders = _find_file(source, entry, may_be_empty=may_be_empty)
    if header is None:
        yield from deflate(())
        return
    if header.method == DEFLATED:
        pieces = _inflate(source, entry)
    else:
        chunks = (
            _read_until_descriptor(source, entry)
            if header.has_descriptor
            else _read_stored(source, entry, header)
        )
        pieces = deflate(chunks) if compress else map(Piece, chunks)
    yield from counted(pieces, entry)
    check_end(_read_tail(source), header, entry, folders=folders)


def _find_file(source: _Input, entry: Entry, *, may_be_empty: bool) -> tuple[Header | None, int]:
    """Return the header of the first entry that is not a folder, or None, and the number of folders."""
    if may_be_empty and source.is_at_end():
        return None, 0
    for folders in range(_MAX_FOLDERS + 1):
        signature = source.read_exactly(SIGNATURE_BYTES)
        if signature == END or (folders and signature == CENTRAL):
            if may_be_empty:
                return None, folders
            raise UnsupportedZip("The result's ZIP has no file; exactly one is expected.")
        if signature != LOCAL:
            raise CorruptZip(f"The result is not a ZIP: it begins with {signature!r} instead of {LOCAL!r}.")
        header = _read_header(source, entry)
        if not entry.name.endswith(b"/"):
            return header, folders
        _skip_folder(source, header)
    raise UnsupportedZip(f"The result's ZIP begins with more than {_MAX_FOLDERS} folders.")


def _read_header(source: _Input, entry: Entry) -> Header:
    fixed = source.read_exactly(LOCAL_BYTES)
    name_length, extra_length = name_and_extra_lengths(fixed)
    entry.name = source.read_exactly(name_length)
    return parse_header(fixed, source.read_exactly(extra_length))


def _skip_folder(source: _Input, header: Header) -> None:
    """Read a folder's data, which some writers compress to two bytes, and its descriptor."""
    folder = Entry()
    if header.method == DEFLATED and (header.has_descriptor or header.facts != folder.facts):
        for piece in counted(_inflate(source, folder), folder):
            if piece.content:
                raise UnsupportedZip("A folder in the result's ZIP has content.")
    facts = header.facts
    if header.has_descriptor:
        tail = source.read_exactly(MAX_DESCRIPTOR_BYTES + SIGNATURE_BYTES)
        end = descriptor_end(tail, folder)
        if end is None:
            raise CorruptZip("A folder in the result's ZIP has content, or its descriptor is corrupted.")
        source.unread(tail[end:])
    elif facts != folder.facts:
        raise UnsupportedZip("A folder in the result's ZIP has content.")


def _inflate(source: _Input, entry: Entry) -> Iterator[Piece]:
    inflater = isal_zlib.decompressobj(-15)
    held = b""  # read, but possibly not part of the deflate stream: its end is known only once it is reached
    while not inflater.eof:
        data, compressed = inflater.unconsumed_tail, b""
        if not data:
            data = _read_compressed(source, entry)
            compressed, held = held[:-_READ_AHEAD], held[-_READ_AHEAD:] + data
        try:
            content = inflater.decompress(data, _OUTPUT_BYTES)
        except IsalError as error:  # type: ignore[misc]  # isal's stub declares an instance
            raise CorruptZip(f"The result's compressed data is corrupted: {error}.") from error
        yield Piece(content, compressed)
    yield Piece(b"", held[: len(held) - len(inflater.unused_data)])
    entry.compressed_size -= len(inflater.unused_data)
    source.unread(inflater.unused_data)


def _read_compressed(source: _Input, entry: Entry) -> bytes:
    if entry.compressed_size > 2 * entry.size + _IDLE_BYTES:
        raise CorruptZip(
            f"The result's compressed data has hardly any content: {entry.compressed_size} bytes of it "
            f"inflate to {entry.size}."
        )
    data = source.read_more("compressed data")
    entry.compressed_size += len(data)
    return data


def _read_stored(source: _Input, entry: Entry, header: Header) -> Iterator[bytes]:
    _, stored_size, _ = header.facts
    while entry.compressed_size < stored_size:
        missing = stored_size - entry.compressed_size
        chunk = source.read_more("stored data")
        source.unread(chunk[missing:])
        entry.compressed_size += len(chunk[:missing])
        yield chunk[:missing]


def _read_until_descriptor(source: _Input, entry: Entry) -> Iterator[bytes]:
    """Stored data of unknown size ends at a descriptor, before the directory, with its size and CRC."""
    held = b""
    while (end := find_descriptor(held, entry)) is None:
        # The longest descriptor (24 bytes) and a directory signature may be cut by the end of the chunk.
        safe = max(len(held) - 27, 0)
        if safe:
            entry.compressed_size += safe
            yield held[:safe]
        held = held[safe:] + source.read_more("stored data")
    entry.compressed_size += end
    source.unread(held[end:])
    yield held[:end]


def _read_tail(source: _Input) -> bytes:
    tail = bytearray()
    while chunk := source.read():
        tail += chunk
        if len(tail) > _MAX_TAIL_BYTES:
            raise UnsupportedZip(
                f"More than {_MAX_TAIL_BYTES} bytes follow the entry of the result's ZIP; only the directory "
                "of one entry is expected."
            )
    return bytes(tail)
