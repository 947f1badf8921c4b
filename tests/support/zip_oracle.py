"""Compares `unzip` with Python's zipfile on any bytes, for the fuzzer and for tests with hypothesis."""

import io
import zipfile
import zlib

from crm_export.errors import ResultError
from crm_export.results.unzip import unzip
from tests.support.zips import cut

_MAX_PIECE_BYTES = 256 * 1024


def read(data: bytes, size: int, *, compress: bool = True) -> bytes | None:
    """Return the content of a ZIP that arrives in chunks of `size`, or None if `unzip` refuses it."""
    entry, pieces = unzip(cut(data, size), compress=compress)
    try:
        pieces = list(pieces)
    except ResultError:
        return None
    limit = max(_MAX_PIECE_BYTES, size + 64)
    assert all(len(piece.content) <= limit for piece in pieces), "a piece is too large"
    content = b"".join(piece.content for piece in pieces)
    assert (entry.size, entry.crc32) == (len(content), zlib.crc32(content)), "the entry states other values"
    if compress:
        inflated = zlib.decompress(b"".join(piece.compressed for piece in pieces), wbits=-15)
        assert inflated == content, "the compressed bytes have other content"
    return content


def zipfile_entries(data: bytes) -> list[bytes | None] | None:
    """Return what zipfile reads from each entry but empty folders.

    [None] stands for a wrong CRC, None for a file that zipfile refuses.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [info for info in archive.infolist() if not (info.is_dir() and info.file_size == 0)]
            return [archive.read(info) for info in entries]
    except zipfile.BadZipFile as error:
        return [None] if "CRC" in str(error) else None
    except Exception:  # fields that zipfile does not check raise anything
        return None


def check(data: bytes, size: int) -> None:
    """Assert that `unzip` refuses the bytes, or reads what zipfile reads, whatever the chunk size."""
    content = read(data, size)
    assert content == read(data, len(data) or 1, compress=False), "the chunk size changes the result"
    if content is None:
        return
    # zipfile uses offsets in the end record, which a stream does not need: wrong offsets give no entry.
    assert (zipfile_entries(data) or [content]) == [content], "zipfile reads other bytes"
