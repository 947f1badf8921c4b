"""The bytes of a file together with their raw deflate stream, and that stream wrapped as gzip (RFC 1952).

A ZIP and a gzip file hold the same deflate stream, so a result becomes .csv.gz without compressing it again.
https://www.rfc-editor.org/rfc/rfc1952
"""

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from isal import isal_zlib

from crm_export.results.counters import ByteCounter

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no file name, no time, unknown system
_FAST = 1


class Piece(NamedTuple):
    """The next bytes of a file's content, and the next bytes of its compressed form.

    Over the whole file the two match. Within one piece they need not, and either may be empty.
    """

    content: bytes
    compressed: bytes = b""


def counted(pieces: Iterable[Piece], content: ByteCounter) -> Iterator[Piece]:
    """Pass pieces on; `content` counts the content of each one before it is passed on."""
    for piece in pieces:
        content.feed(piece.content)
        yield piece


def deflate(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Compress chunks as one raw deflate stream."""
    compressor = isal_zlib.compressobj(_FAST, isal_zlib.DEFLATED, -15)
    for chunk in chunks:
        yield Piece(chunk, compressor.compress(chunk))
    yield Piece(b"", compressor.flush())


def gzip_member(pieces: Iterable[Piece], content: ByteCounter, member: ByteCounter) -> Iterator[Piece]:
    """Put the gzip header before, and the trailer after, the raw deflate stream of the pieces.

    `content` must have counted all of the content once `pieces` is exhausted. `member` counts the bytes of
    the gzip member.
    """
    member.feed(_HEADER)
    yield Piece(b"", _HEADER)
    for piece in pieces:
        member.feed(piece.compressed)
        yield piece
    trailer = gzip_trailer(content)
    member.feed(trailer)
    yield Piece(b"", trailer)


def gzip_trailer(content: ByteCounter) -> bytes:
    """Return the end of a gzip member: the CRC32 of its content, and its size modulo 4 GiB."""
    return struct.pack("<LL", content.crc32, content.size & 0xFFFFFFFF)
