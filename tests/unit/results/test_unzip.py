"""`unzip` reads every flavour of ZIP, cut into any chunks, and refuses truncated or inconsistent ones."""

import random
import zlib

import pytest

from crm_export.errors import CorruptZip, ResultError, TruncatedZip, UnsupportedZip
from crm_export.results.unzip import unzip
from tests.support.zips import FLAVOURS, cut, deflated_data, hand_made, with_folder, zip_of

_RANDOM = random.Random(7)
CONTENTS = {
    "empty": b"",
    "one byte": b"x",
    "csv": b'Id,Name\r\n1,"Ann ""A"""\r\n',
    "looks like a zip": b"PK\x01\x02PK\x07\x08PK\x05\x06" * 9,
    "one byte repeated, larger than a piece": b"a" * 300_000,
    "noise": _RANDOM.randbytes(1_000),
    "text": b"".join(b"%d,%d\r\n" % (n, _RANDOM.getrandbits(40)) for n in range(150)),
}


def read(chunks, *, compress=True):
    """Return the entry, its content and its compressed bytes."""
    entry, pieces = unzip(chunks, compress=compress)
    pieces = list(pieces)
    return entry, b"".join(piece.content for piece in pieces), b"".join(piece.compressed for piece in pieces)


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_unzip_yields_content_and_compressed_bytes(flavour, content, size):
    archive = flavour(content)
    size = max(size, len(archive) // 2_000)
    entry, data, compressed = read(cut(archive, size))
    assert data == content
    assert (entry.size, entry.crc32) == (len(content), zlib.crc32(content))
    assert zlib.decompress(compressed, wbits=-15) == content
    assert compressed == (deflated_data(archive) or compressed)  # the ZIP's own bytes
    assert read(cut(archive, size), compress=False)[1:] == (content, deflated_data(archive) or b"")


def test_unzip_finds_the_end_of_compressed_data_wherever_a_chunk_ends():
    archive = zip_of(b"Id,Name\r\n" + b"1,Ann\r\n" * 50, seekable=False)
    for start in range(1, len(archive)):
        for middle in (b"", archive[start : start + 1], archive[start : start + 9]):
            chunks = [archive[:start], middle, archive[start + len(middle) :]]
            assert read(chunks)[2] == deflated_data(archive)


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_unzip_truncated_at_any_offset_raises(flavour):
    whole = flavour(b"Id,Name\n1,\xc3\x84\n" * 3)
    for length in range(len(whole)):
        with pytest.raises(TruncatedZip):
            read(cut(whole[:length], 5))


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_unzip_detects_every_flipped_bit_of_the_data(flavour):
    content = _RANDOM.randbytes(60)
    whole = flavour(content)
    start = whole.find(b".csv") + 4
    for offset in range(start, start + 50):
        broken = bytearray(whole)
        broken[offset] ^= 0x10
        try:
            data = read([bytes(broken)])[1]
        except ResultError:
            continue
        assert data == content, offset  # the header's extra field is not read


def test_unzip_reads_nothing_before_a_piece_is_requested():
    def chunks():
        raise AssertionError("read too early")
        yield b""

    unzip(chunks())


def test_unzip_limits_the_content_of_a_piece():
    sizes = [len(piece.content) for piece in unzip([zip_of(b"0" * 1_000_000)])[1]]
    assert max(sizes) == 256 * 1024
    assert sum(sizes) == 1_000_000


def test_unzip_yields_compressed_bytes_as_they_arrive():
    arrived = yielded = 0

    def chunks():
        nonlocal arrived
        for chunk in cut(zip_of(_RANDOM.randbytes(100_000)), 1000):
            arrived += len(chunk)
            yield chunk

    for piece in unzip(chunks())[1]:
        yielded += len(piece.compressed)
        assert yielded > arrived - 2 * 1000


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), with_folder(None)])
@pytest.mark.parametrize("size", [1, 100])
def test_unzip_without_a_file_that_may_be_empty_yields_an_empty_file(data, size):
    entry, pieces = unzip(cut(data, size), compress=True, may_be_empty=True)
    pieces = list(pieces)
    assert (entry.size, entry.crc32) == (0, 0)
    assert b"".join(piece.content for piece in pieces) == b""
    assert zlib.decompress(b"".join(piece.compressed for piece in pieces), wbits=-15) == b""
    with pytest.raises(ResultError):
        read(cut(data, size))


@pytest.mark.parametrize("data", [b"P", b"PK\x05", b"<html>", hand_made(b"abc")[:-1]])
def test_unzip_that_may_be_empty_still_refuses_what_is_there(data):
    with pytest.raises(ResultError):
        list(unzip([data], may_be_empty=True)[1])


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"<html>Service Unavailable</html>", CorruptZip, r"not a ZIP: it begins with b'<htm' instead"),
        (b'{"code":"RESOURCE_NOT_FOUND"}', CorruptZip, "not a ZIP"),
        (hand_made(b"a", flags=1), UnsupportedZip, "encrypted"),
        (hand_made(b"a", method=12), UnsupportedZip, "method 12; 0 and 8 are supported"),
        (b"PK\x05\x06" + bytes(18), UnsupportedZip, "has no file"),
        (with_folder(b"abc", folders=17), UnsupportedZip, "begins with more than 16 folders"),
        (with_folder(b"abc", inside=b"x"), UnsupportedZip, "folder in the result's ZIP has content"),
        (
            with_folder(b"abc", inside=b"x", seekable=False),
            UnsupportedZip,
            "folder in the result's ZIP has content",
        ),
        (
            with_folder(b"abc", inside=b"x", method=0),
            UnsupportedZip,
            "folder in the result's ZIP has content",
        ),
        (with_folder(None), UnsupportedZip, "has no file"),
        (hand_made(b"abc", entries=2), UnsupportedZip, "has 2 entries"),
        (hand_made(b"abc")[:-73] + hand_made(b"def"), UnsupportedZip, "has more than one entry"),
        (
            hand_made(b"abc", crc32=1),
            CorruptZip,
            "3 bytes with CRC 352441c2, but its ZIP states other values",
        ),
        (hand_made(b"abc", descriptor=False, crc32=1), CorruptZip, "states other values"),
        (hand_made(b"abc") + b"garbage", CorruptZip, "continues after its end record"),
        (hand_made(b"abc") + bytes(300_000), UnsupportedZip, "More than 263168 bytes follow the entry"),
    ],
)
def test_unzip_error_names_the_cause(data, error, message):
    with pytest.raises(error, match=message):
        read([data])
