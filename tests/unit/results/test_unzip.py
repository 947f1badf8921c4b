"""The ZIP reader: every flavour, cut anywhere, and everything that is not right with a ZIP."""

import random

import pytest

from crm_export.errors import CorruptZip, ResultError, TruncatedZip, UnsupportedZip
from crm_export.results.unzip import unzip
from tests.support.zips import FLAVOURS, cut, hand_made, zip_of

_RANDOM = random.Random(7)
CONTENTS = {
    "empty": b"",
    "one byte": b"x",
    "csv": b"Id,Name\r\n1,Ann\r\n",
    "looks like a zip": b"PK\x01\x02PK\x07\x08PK\x05\x06" * 9,
    "3 MB of one byte": b"a" * 3_000_000,
    "100 kB of noise": _RANDOM.randbytes(100_000),
}


def read(chunks):
    entry, content = unzip(chunks)
    data = b"".join(content)
    return entry, data


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_gives_the_content_of_every_flavour_however_it_is_cut(flavour, content, size):
    if size == 1 and len(content) > 100_000:
        size = 1000
    entry, data = read(cut(flavour(content), size))
    assert data == content
    assert entry.size == len(content)


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_truncation_at_every_offset_is_told(flavour):
    whole = flavour(b"Id,Name\n1,\xc3\x84\n" * 3)
    for length in range(len(whole)):
        with pytest.raises(TruncatedZip):
            read(cut(whole[:length], 5))


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_no_flipped_bit_of_the_data_goes_unseen(flavour):
    content = _RANDOM.randbytes(60)
    whole = flavour(content)
    start = whole.find(b".csv") + 4
    for offset in range(start, start + 50):
        broken = bytearray(whole)
        broken[offset] ^= 0x10
        try:
            _, data = read([bytes(broken)])
        except ResultError:
            continue
        assert data == content, offset  # the extra field of a header is not looked at


def test_reads_nothing_before_the_content_is_asked_for():
    def chunks():
        raise AssertionError("read too early")
        yield b""

    unzip(chunks())


def test_an_inflating_chunk_is_given_on_in_pieces():
    _, content = unzip([zip_of(b"0" * 50_000_000)])
    assert max(len(chunk) for chunk in content) <= 256 * 1024


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"<html>Service Unavailable</html>", CorruptZip, "not a ZIP"),
        (b'{"code":"RESOURCE_NOT_FOUND"}', CorruptZip, "not a ZIP"),
        (hand_made(b"a", flags=1), UnsupportedZip, "encrypted"),
        (hand_made(b"a", method=12), UnsupportedZip, "method 12"),
        (b"PK\x05\x06" + bytes(18), UnsupportedZip, "without an entry"),
        (hand_made(b"abc", entries=2), UnsupportedZip, "2 entries"),
        (hand_made(b"abc")[:-73] + hand_made(b"def"), UnsupportedZip, "more than one entry"),
        (hand_made(b"abc", crc32=1), CorruptZip, "says otherwise"),
        (hand_made(b"abc", descriptor=False, crc32=1), CorruptZip, "says otherwise"),
        (hand_made(b"abc") + b"garbage", CorruptZip, "goes on behind its end"),
        (hand_made(b"abc") + bytes(300_000), UnsupportedZip, "goes on behind"),
    ],
)
def test_what_is_wrong_is_said(data, error, says):
    with pytest.raises(error, match=says):
        read([data])
