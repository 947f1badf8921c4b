"""Wraps a raw deflate stream as gzip, which it is but for ten bytes before and eight behind (RFC 1952)."""

import struct
from collections.abc import Callable, Iterable, Iterator

from isal import isal_zlib

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate; no name, no time, unknown system
_FAST = 1


class GzipWriter:
    """Takes a deflate stream by `write`, and hands a gzip member to `out`.

    crc32: of the member's own bytes so far.
    """

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._out = out
        self.crc32 = 0
        self.write(_HEADER)

    def write(self, deflated: bytes) -> None:
        """Take the next bytes of the deflate stream."""
        self.crc32 = isal_zlib.crc32(deflated, self.crc32)
        self._out(deflated)

    def finish(self, crc32: int, size: int) -> None:
        """Write the trailer: CRC32 and size of what was deflated. The size is kept modulo 4 GiB."""
        self.write(struct.pack("<LL", crc32, size & 0xFFFFFFFF))


def deflating(chunks: Iterable[bytes], deflated: Callable[[bytes], object]) -> Iterator[bytes]:
    """Give the chunks on, and to `deflated` what they are as one raw deflate stream."""
    compressor = isal_zlib.compressobj(_FAST, isal_zlib.DEFLATED, -15)
    for chunk in chunks:
        deflated(compressor.compress(chunk))
        yield chunk
    deflated(compressor.flush())
