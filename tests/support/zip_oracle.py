"""Any bytes, read by `unzip` and by Python's zipfile: what the fuzzers hold the ZIP reader to."""

import io
import zipfile
import zlib

from crm_export.errors import ResultError
from crm_export.results.unzip import unzip
from tests.support.zips import cut

LARGEST_CHUNK = 256 * 1024


def read(data: bytes, size: int) -> bytes | None:
    """The content of a ZIP that comes in chunks of `size`; None where it is refused with a ResultError."""
    deflated: list[bytes] = []
    entry, chunks = unzip(cut(data, size), deflated.append)
    found = []
    try:
        for chunk in chunks:
            assert len(chunk) <= max(LARGEST_CHUNK, size + 64), "a chunk is larger than is given on"
            found.append(chunk)
    except ResultError:
        return None
    content = b"".join(found)
    assert (entry.size, entry.crc32) == (len(content), zlib.crc32(content)), "the entry says otherwise"
    assert zlib.decompress(b"".join(deflated), wbits=-15) == content, "the gzip would hold other bytes"
    return content


def zipfile_entries(data: bytes) -> list[bytes | None] | None:
    """What zipfile finds in each entry; [None] for a wrong CRC, None where it refuses the file otherwise."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [archive.read(info) for info in archive.infolist()]
    except zipfile.BadZipFile as error:
        return [None] if "CRC" in str(error) else None
    except Exception:  # whatever comes from the fields that zipfile does not check
        return None


def check(data: bytes, size: int) -> None:
    """Assert that `unzip` refuses the bytes, or gives what zipfile does, in whatever chunks they come."""
    content = read(data, size)
    assert content == read(data, len(data) or 1), "another result in other chunks"
    if content is None:
        return
    # zipfile goes by offsets in the end record that a stream has no use for: no entry is wrong offsets.
    assert (zipfile_entries(data) or [content]) == [content], "zipfile reads other bytes"
