"""The index of a part: for each record its Id and a 64-bit hash of its raw bytes, sorted by Id.

A record's bytes are those of its line, with the newlines in its quoted cells and without the CR or LF that
ends it. Two exports with the same fields have different hashes for a record only if Zoho wrote another one.
"""

import re
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import lt

from isal import isal_zlib
from isal.igzip_lib import IsalError

from crm_export.errors import IndexCorrupt
from crm_export.results.record_ids import MAX_IDS

type Row = tuple[int, int]  # an id and a hash

# --- The hash; csv_scanner.c has the same ------------------------------------------------------

_FACTOR, _FINAL_FACTOR = 0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD
_64_BITS = 2**64 - 1
_WORD = 8


def hash_of(record: bytes) -> int:
    """Return the hash of a record's bytes: each 8 bytes, least significant first, padded with zeros.

    Each step is reversible, so two records that differ in one word only never have the same hash.
    """
    found = 0
    padded = record + bytes(-len(record) % _WORD)
    for word in struct.unpack(f"<{len(padded) // _WORD}Q", padded):
        found = (found ^ word) * _FACTOR & _64_BITS
        found ^= found >> 32
    found = (found ^ len(record)) * _FINAL_FACTOR & _64_BITS
    return found ^ found >> 33


_QUOTE_OR_NEWLINE = re.compile(rb'["\r\n]')
_QUOTE = ord('"')


class RecordHashes:
    """Collects the hashes of the records that a CsvCounter feeds it, in the order of the file."""

    def __init__(self) -> None:
        self._found: array[int] = array("Q")
        self._rest = bytearray()  # of the record that is being read
        self._is_quoted = False

    def feed(self, chunk: bytes, clean: bytes) -> None:
        """Read the next bytes. `clean`: the same without the quotes that are ordinary characters."""
        start = 0
        for found in _QUOTE_OR_NEWLINE.finditer(clean):
            at = found.start()
            if clean[at] == _QUOTE:
                self._is_quoted = not self._is_quoted
            elif not self._is_quoted:
                self._rest += chunk[start:at]
                self._end_record()
                start = at + 1
        self._rest += chunk[start:]

    def _end_record(self) -> None:
        if self._rest and len(self._found) <= MAX_IDS:
            self._found.append(hash_of(bytes(self._rest)))
        self._rest = bytearray()

    def take(self, hashes: "array[int]") -> None:
        """Take all hashes of the file from another reader."""
        self._found = hashes

    def finish(self) -> "array[int]":
        """Return the hashes of all records; of no more than a few more than MAX_IDS."""
        self._end_record()
        return self._found


# --- The index ---------------------------------------------------------------------------------

_MAGIC = b"crm-export index 1\n"
_BLOCK = struct.Struct("<III")  # rows (0: the end), bytes of the compressed rows, their CRC32
_END = struct.Struct("<Q")  # all rows
_ROWS = 16_384  # of a block: 256 KB
_FAST = 1


def sorted_rows(ids: "array[int]", hashes: "array[int]") -> tuple["array[int]", "array[int]"]:
    """Return the rows of an index, sorted by id."""
    if all(map(lt, ids, islice(ids, 1, None))):
        return ids, hashes
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return array("Q", map(ids.__getitem__, order)), array("Q", map(hashes.__getitem__, order))


def write_index(ids: Iterable[int], hashes: Iterable[int]) -> Iterator[bytes]:
    """Yield an index of rows that are sorted by id. It takes about 10 bytes a row, and 0.5 MB of memory.

    Blocks of 16,384 rows follow a line that names the format: the number of rows, of compressed bytes and
    their CRC32 (4 bytes each), then all ids and after them all hashes (8 bytes each), compressed with zlib.
    The last block is empty and followed by the number of all rows (8 bytes). The least significant byte of
    every number comes first.
    """
    yield _MAGIC
    ids, hashes, rows = iter(ids), iter(hashes), 0
    while block := array("Q", islice(ids, _ROWS)):
        count = len(block)
        block.extend(islice(hashes, count))
        packed = isal_zlib.compress(_little_endian(block).tobytes(), _FAST)
        yield _BLOCK.pack(count, len(packed), isal_zlib.crc32(packed)) + packed
        rows += count
    yield _BLOCK.pack(0, 0, 0) + _END.pack(rows)


def read_index(chunks: Iterable[bytes]) -> Iterator[Row]:
    """Yield the rows of an index, a block at a time in memory. Raises IndexCorrupt, also if it is truncated.

    Rows are yielded before the end of the index was read.
    """
    source, rows = _Bytes(chunks), 0
    if source.take(len(_MAGIC)) != _MAGIC:
        raise IndexCorrupt("The index does not begin as one of this version does.")
    while True:
        count, size, crc32 = _BLOCK.unpack(source.take(_BLOCK.size))
        if not count:
            break
        ids, hashes = _unpacked(source.take(size), count, crc32)
        yield from zip(ids, hashes, strict=True)
        rows += count
    is_end = (size, crc32, *_END.unpack(source.take(_END.size))) == (0, 0, rows)
    if not is_end or source.has_more():
        raise IndexCorrupt(f"The index does not end after its {rows} rows.")


def _unpacked(packed: bytes, count: int, crc32: int) -> tuple["array[int]", "array[int]"]:
    """Return the ids and hashes of a block."""
    if isal_zlib.crc32(packed) != crc32:
        raise IndexCorrupt("A block of the index has another CRC32 than when it was written.")
    try:
        block = _little_endian(array("Q", isal_zlib.decompress(packed)))
    except (IsalError, ValueError) as error:  # type: ignore[misc]  # isal's stub declares an instance
        raise IndexCorrupt(f"A block of the index cannot be read: {error}.") from error
    if len(block) != 2 * count:
        raise IndexCorrupt(f"A block of the index has {len(block)} numbers instead of {2 * count}.")
    return block[:count], block[count:]


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class _Bytes:
    """Bytes that arrive in chunks of any size and are taken in pieces of another."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises IndexCorrupt if there are fewer."""
        while len(self._held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise IndexCorrupt(f"The index is truncated: {size - len(self._held)} bytes are missing.")
            self._held += chunk
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def has_more(self) -> bool:
        """Return True if there are bytes that were not taken."""
        return bool(self._held) or any(self._chunks)
