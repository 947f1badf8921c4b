"""A ZIP's entry as gzip: the same compressed bytes in another wrapping."""

import gzip
import random
import zlib

import pytest

from crm_export.errors import TruncatedZip
from crm_export.results.gzip import GzipWriter
from crm_export.results.unzip import unzip
from tests.support.zips import FLAVOURS, cut, deflated_data, zip_of

_RANDOM = random.Random(3)
CONTENTS = {
    "empty": b"",
    "one byte": b"x",
    "csv": b'Id,Name\r\n1,"Ann ""A"""\r\n',
    "looks like a zip": b"PK\x01\x02PK\x07\x08PK\x05\x06" * 9,
    "3 MB of one byte": b"a" * 3_000_000,
    "100 kB of noise": _RANDOM.randbytes(100_000),
    "1 MB of text": b"".join(b"%d,%d\r\n" % (n, _RANDOM.getrandbits(40)) for n in range(60_000)),
}


def rewrapped(chunks) -> tuple[bytes, GzipWriter]:
    out = bytearray()
    writer = GzipWriter(out.extend)
    entry, content = unzip(chunks, writer.write)
    for _ in content:
        pass
    writer.finish(entry.crc32, entry.size)
    return bytes(out), writer


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_gives_the_content_and_the_zips_own_bytes(flavour, content, size):
    if size == 1 and len(content) > 100_000:
        size = 1000
    archive = flavour(content)
    member, writer = rewrapped(cut(archive, size))
    assert gzip.decompress(member) == content
    assert writer.crc32 == zlib.crc32(member)
    own = deflated_data(archive)
    if own is not None:
        assert member[10:-8] == own


def test_the_end_of_the_data_is_found_wherever_a_chunk_ends():
    archive = zip_of(b"Id,Name\r\n" + b"1,Ann\r\n" * 200, seekable=False)
    for start in range(1, len(archive)):
        for middle in (b"", archive[start : start + 1], archive[start : start + 9]):
            chunks = [archive[:start], middle, archive[start + len(middle) :]]
            assert rewrapped(chunks)[0][10:-8] == deflated_data(archive)


def test_what_is_written_begins_before_the_zip_has_ended():
    """Memory does not grow with the file: compressed bytes are handed on as they come."""
    content = _RANDOM.randbytes(2_000_000)
    out = bytearray()
    archive = cut(zip_of(content), 65536)
    _, data = unzip(iter(archive), out.extend)
    seen = 0
    for chunk in data:
        seen += len(chunk)
        assert len(out) > seen - 2 * 65536 - 256 * 1024


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_truncation_at_every_offset_is_told(flavour):
    whole = flavour(b"Id,Name\n1,\xc3\x84\n" * 3)
    for length in range(len(whole)):
        with pytest.raises(TruncatedZip):
            rewrapped(cut(whole[:length], 5))


def test_the_size_in_the_trailer_is_modulo_4_gib():
    out = bytearray()
    GzipWriter(out.extend).finish(0x01020304, 2**32 * 3 + 5)
    assert out[-8:] == bytes([4, 3, 2, 1, 5, 0, 0, 0])
