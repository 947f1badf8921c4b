"""ZIPs that someone made to do harm: read as zipfile reads them, or refused; in little memory and time."""

import struct
import time
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crm_export.errors import CorruptZip, ResultError, UnsupportedZip
from crm_export.results.unzip import unzip
from tests.support.zip_oracle import check, read, zipfile_entries
from tests.support.zips import FLAVOURS, cut, hand_made, zip_of

CSV = b"Id,Name\r\n1,Ann\r\n"
# Blocks of deflate that hold nothing and are not the last: stored; four of fixed codes, 10 bits each.
EMPTY_STORED = b"\x00\x00\x00\xff\xff"
EMPTY_FIXED = sum(2 << 10 * block for block in range(4)).to_bytes(5, "little")


def of_parts(
    data: bytes,
    content: bytes,
    *,
    name: bytes = b"1.csv",
    method: int = 8,
    local_extra: bytes = b"",
    extra: bytes = b"",
    sizes: tuple[int, int] | None = None,
    comment: bytes = b"",
    centrals: int = 1,
    behind: bytes = b"",
    entries: int = 1,
    archive_comment: bytes = b"",
) -> bytes:
    """A ZIP that is right, but for what is asked to be otherwise."""
    crc, (compressed, size) = zlib.crc32(content), sizes or (len(data), len(content))
    known = struct.pack("<3L", crc, len(data), len(content))
    local = struct.pack("<4s5H", b"PK\x03\x04", 45, 0, method, 0, 0) + known
    local += struct.pack("<2H", len(name), len(local_extra)) + name + local_extra
    central = struct.pack("<4s6H3L", b"PK\x01\x02", 45, 45, 0, method, 0, 0, crc, compressed, size)
    central += struct.pack("<5H2L", len(name), len(extra), len(comment), 0, 0, 0, 0) + name + extra + comment
    directory, offset = central * centrals + behind, len(local) + len(data)
    end = struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        0,
        0,
        entries,
        entries,
        len(central) * centrals,
        offset,
        len(archive_comment),
    )
    return local + data + directory + end + archive_comment


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


def end64(entries: int, *, length: int = 44, locator: bytes = b"PK\x06\x07") -> bytes:
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", length, 45, 45, 0, 0, entries, entries, 0, 0)
    return record + locator + bytes(12) + struct.pack("<L", 1)


@pytest.mark.parametrize(
    "name",
    [
        b"../../../etc/passwd",
        b"/etc/passwd",
        b"C:\\boot.ini",
        b"a\0b.csv",
        b"",
        b"\xff" * 65535,
        b"PK\x01\x02",
    ],
    ids=["dots", "absolute", "drive", "NUL", "none", "longest", "signature"],
)
def test_the_name_of_an_entry_means_nothing(name):
    for size in (3, 4096):
        assert read(of_parts(deflated(CSV), CSV, name=name), size) == CSV


def test_a_zip64_field_may_follow_others():
    data = deflated(CSV)
    extra = b"\x02\x00\x03\x00abc" + b"\x01\x00\x10\x00" + struct.pack("<QQ", len(CSV), len(data))
    assert read(of_parts(data, CSV, extra=extra, sizes=(0xFFFFFFFF, 0xFFFFFFFF)), 4096) == CSV


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_content_that_looks_like_its_own_end_but_for_the_crc_is_read_to_the_real_one(size):
    begun = b"Id,Name\r\n1,"
    looks = struct.pack("<LLL", zlib.crc32(begun) ^ 1, len(begun), len(begun)) + b"PK\x01\x02"
    content = begun + looks + b"\r\n2,Ann\r\n"
    assert read(hand_made(content, method=0), size) == content


@pytest.mark.parametrize("method", [0, 8])
def test_a_directory_that_does_not_begin_as_one_is_refused(method):
    data = bytearray(hand_made(CSV, method=method, descriptor=False))
    data[data.find(b"PK\x01\x02") + 2] ^= 2
    with pytest.raises(CorruptZip, match="no directory"):
        list(unzip([bytes(data)])[1])


@pytest.mark.parametrize("fact", [0, 4, 8], ids=["CRC", "compressed size", "size"])
@pytest.mark.parametrize("where", ["header", "descriptor", "directory"])
@pytest.mark.parametrize("method", [0, 8])
def test_a_single_fact_told_wrongly_at_a_single_place_is_refused(fact, where, method):
    data = bytearray(hand_made(CSV, method=method, descriptor=where == "descriptor"))
    begins = {
        "header": 14,
        "descriptor": data.find(b"PK\x07\x08") + 4,
        "directory": data.find(b"PK\x01\x02") + 16,
    }
    assert list(unzip([hand_made(CSV, method=method, descriptor=where == "descriptor")])[1])
    data[begins[where] + fact] ^= 1
    with pytest.raises(ResultError):
        list(unzip([bytes(data)])[1])


def test_fields_and_comments_may_be_as_long_as_a_zip_can_have_them():
    longest = b"\xfe\xca\xfb\xff" + bytes(65531)
    data = of_parts(
        deflated(CSV), CSV, name=b"n" * 65535, local_extra=longest, extra=longest, comment=b"c" * 65535,
        archive_comment=b"PK\x05\x06" * 16383,
    )  # fmt: skip
    assert read(data, 65536) == CSV


@pytest.mark.parametrize(
    "extra",
    [
        b"\x01\x00",
        b"\x01\x00\x10\x00",
        b"\x01\x00\x07\x00" + bytes(7),
        b"\x01\x00\x08\x00" + bytes(8),
        b"\x01\x00\xff\xff" + b"\xff" * 16,
        b"\x02\x00\xff\xff",
        b"",
    ],
)
def test_a_zip64_field_that_does_not_tell_the_sizes_is_refused(extra):
    with pytest.raises(CorruptZip, match="does not belong to its entry"):
        list(unzip([of_parts(deflated(CSV), CSV, extra=extra, sizes=(0xFFFFFFFF, 0xFFFFFFFF))])[1])


def test_zip64_records_may_tell_what_the_plain_ones_do_not():
    data = deflated(CSV)
    extra = struct.pack("<2H2Q", 1, 16, len(CSV), len(data))
    whole = of_parts(data, CSV, extra=extra, sizes=(0xFFFFFFFF, 0xFFFFFFFF), behind=end64(1), entries=0xFFFF)
    assert read(whole, 7) == CSV
    for length in range(len(whole)):
        with pytest.raises(ResultError):
            list(unzip(cut(whole[:length], 11))[1])


@pytest.mark.parametrize(
    ("whole", "error", "says"),
    [
        (of_parts(deflated(CSV), CSV, centrals=2), UnsupportedZip, "names more than one entry"),
        (of_parts(deflated(CSV), CSV, centrals=3, entries=0xFFFF), UnsupportedZip, "more than one entry"),
        (of_parts(deflated(CSV), CSV, centrals=2, entries=2), UnsupportedZip, "holds 2 entries"),
        (of_parts(deflated(CSV), CSV, behind=b"more"), CorruptZip, "does not end where"),
        (of_parts(deflated(CSV), CSV, behind=end64(2)), CorruptZip, "does not end where"),
        (of_parts(deflated(CSV), CSV, behind=end64(1, length=2**64 - 1)), CorruptZip, "does not end where"),
        (of_parts(deflated(CSV), CSV, behind=end64(1, locator=b"none")), CorruptZip, "does not end where"),
        (of_parts(deflated(CSV), CSV, sizes=(1, 1)), CorruptZip, "does not belong"),
        (of_parts(deflated(CSV) + b"x", CSV), CorruptZip, "says otherwise"),
        (of_parts(b"", b"", method=0, entries=0), UnsupportedZip, "holds 0 entries"),
        (b"MZ\x90\x00 self-extracting" + zip_of(CSV), CorruptZip, "not a ZIP"),
        (b"\n" + zip_of(CSV), CorruptZip, "not a ZIP"),
        (zip_of(CSV) * 2, CorruptZip, "does not end where"),
    ],
)
def test_what_does_not_fit_is_said(whole, error, says):
    with pytest.raises(error, match=says):
        list(unzip(cut(whole, 4096))[1])


def hiding(fake_end: bytes) -> bytes:
    """A stored entry of unknown size, within whose data stands a descriptor of what comes before it."""
    before = b"Id,Name\r\n1,"
    facts = struct.pack("<LLL", zlib.crc32(before), len(before), len(before))
    central = struct.pack("<4s6H", b"PK\x01\x02", 20, 20, 8, 0, 0, 0) + facts + bytes(18)
    return hand_made(before + b"PK\x07\x08" + facts + central + fake_end + b"\r\n2,b\r\n", method=0)


@pytest.mark.parametrize("size", [1, 50, 4096])
@pytest.mark.parametrize(
    "fake_end",
    [b"", struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 27, 0), b"PK\x05\x06" + bytes(18)],
    ids=["no end", "an end", "an end without entries"],
)
def test_a_descriptor_within_the_data_never_cuts_it(fake_end, size):
    whole = hiding(fake_end)
    with pytest.raises(CorruptZip, match="does not end where"):
        list(unzip(cut(whole, size))[1])
    assert len(zipfile_entries(whole)[0]) > 60  # which reads it by the directory, at the end


def test_data_that_looks_like_descriptors_everywhere_takes_linear_time():
    data, position = bytearray(), 0
    while len(data) < 3_000_000:
        position = len(data)
        data += struct.pack("<LLL", 1, position, position) + b"PK\x01\x02"
    began = time.process_time()
    with pytest.raises(ResultError):
        list(unzip([hand_made(bytes(data), method=0)[:-40]])[1])
    assert time.process_time() - began < 5


@pytest.mark.parametrize("block", [EMPTY_STORED, EMPTY_FIXED], ids=["stored", "of fixed codes"])
def test_blocks_that_hold_nothing_end_before_the_functions_time(block):
    taken = 0

    def for_ever():
        nonlocal taken
        yield hand_made(CSV)[:35]
        while True:
            taken += len(block) * 10_000
            yield block * 10_000

    with pytest.raises(CorruptZip, match="goes on without holding anything: 1[0-9]+ bytes of it hold 0"):
        list(unzip(for_ever())[1])
    assert taken <= 2 * 1024 * 1024


def test_a_deflate_stream_without_a_last_block_is_truncated():
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(CSV * 100) + compressor.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(ResultError):
        list(unzip([of_parts(data, CSV * 100)])[1])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    flavour=st.sampled_from(sorted(FLAVOURS)),
    content=st.sampled_from([b"", CSV, CSV * 30, b"PK\x01\x02PK\x07\x08PK\x05\x06"]),
    size=st.integers(1, 99),
    edits=st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4
    ),
)
@example("stored, descriptor", b"", 1, [(0, 0, b"")])
def test_an_edited_zip_is_refused_or_read_as_zipfile_does(flavour, content, size, edits):
    data = FLAVOURS[flavour](content)
    for place, removed, put in edits:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + removed :]
    check(data, size)


_SMALL = st.sampled_from([0, 1, 2, 5, 0xFFFF])
_FIELD = st.one_of(st.binary(max_size=30), st.just(struct.pack("<2H2Q", 1, 16, len(CSV), len(deflated(CSV)))))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.fixed_dictionaries(
        {},
        optional={
            "name": st.binary(max_size=9),
            "local_extra": _FIELD,
            "extra": _FIELD,
            "sizes": st.tuples(*[st.sampled_from([0, len(CSV), len(deflated(CSV)), 0xFFFFFFFF])] * 2),
            "comment": st.binary(max_size=30),
            "centrals": st.integers(0, 3),
            "behind": st.one_of(st.binary(max_size=99), _SMALL.map(end64)),
            "entries": _SMALL,
            "archive_comment": st.one_of(st.binary(max_size=30), st.just(b"PK\x05\x06" + bytes(18))),
        },
    ),
    stored=st.booleans(),
    size=st.integers(1, 99),
)
def test_a_zip_of_odd_parts_is_refused_or_read_as_zipfile_does(parts, stored, size):
    check(of_parts(CSV if stored else deflated(CSV), CSV, method=0 if stored else 8, **parts), size)


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=300), size=st.integers(1, 50))
def test_any_data_behind_a_header_that_is_right(data, size):
    """Deflate streams no compressor makes: among them ends in odd places, and blocks of nothing."""
    check(hand_made(CSV)[:35] + data, size)
    try:
        inflater = zlib.decompressobj(wbits=-15)
        content = inflater.decompress(data, 100_000)
    except zlib.error:
        return
    if inflater.eof and not inflater.unused_data:
        whole = of_parts(data, content)
        assert read(whole, size) == content
