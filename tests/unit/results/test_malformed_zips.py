"""Malformed and malicious ZIPs are refused, or read as zipfile reads them, in little memory and time."""

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
# Deflate blocks without content that are not the last: one stored; four with fixed codes, 10 bits each.
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
    after: bytes = b"",
    entries: int = 1,
    archive_comment: bytes = b"",
) -> bytes:
    """Return a valid ZIP, except for the given parts. `after` follows the central headers."""
    crc, (compressed_size, size) = zlib.crc32(content), sizes or (len(data), len(content))
    known = struct.pack("<3L", crc, len(data), len(content))
    local = struct.pack("<4s5H", b"PK\x03\x04", 45, 0, method, 0, 0) + known
    local += struct.pack("<2H", len(name), len(local_extra)) + name + local_extra
    central = struct.pack("<4s6H3L", b"PK\x01\x02", 45, 45, 0, method, 0, 0, crc, compressed_size, size)
    central += struct.pack("<5H2L", len(name), len(extra), len(comment), 0, 0, 0, 0) + name + extra + comment
    directory, offset = central * centrals + after, len(local) + len(data)
    end = struct.pack("<4s4H", b"PK\x05\x06", 0, 0, entries, entries)
    end += struct.pack("<2LH", len(central) * centrals, offset, len(archive_comment))
    return local + data + directory + end + archive_comment


def compressed(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


def drain(chunks) -> bytes:
    return b"".join(piece.content for piece in unzip(chunks)[1])


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
    ids=["dots", "absolute", "drive", "NUL", "empty", "longest", "signature"],
)
def test_entry_name_does_not_affect_the_content(name):
    for size in (3, 4096):
        assert read(of_parts(compressed(CSV), CSV, name=name), size) == CSV


def test_zip64_field_after_other_fields_is_read():
    data = compressed(CSV)
    extra = b"\x02\x00\x03\x00abc" + b"\x01\x00\x10\x00" + struct.pack("<QQ", len(CSV), len(data))
    assert read(of_parts(data, CSV, extra=extra, sizes=(0xFFFFFFFF, 0xFFFFFFFF)), 4096) == CSV


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_stored_content_with_a_descriptor_of_wrong_crc_is_read_to_its_end(size):
    start = b"Id,Name\r\n1,"
    descriptor = struct.pack("<LLL", zlib.crc32(start) ^ 1, len(start), len(start)) + b"PK\x01\x02"
    content = start + descriptor + b"\r\n2,Ann\r\n"
    assert read(hand_made(content, method=0), size) == content


@pytest.mark.parametrize("method", [0, 8])
def test_directory_without_its_signature_is_refused(method):
    data = bytearray(hand_made(CSV, method=method, descriptor=False))
    data[data.find(b"PK\x01\x02") + 2] ^= 2
    with pytest.raises(CorruptZip, match="no directory"):
        drain([bytes(data)])


@pytest.mark.parametrize("fact", [0, 4, 8], ids=["CRC", "compressed size", "size"])
@pytest.mark.parametrize("where", ["header", "descriptor", "directory"])
@pytest.mark.parametrize("method", [0, 8])
def test_one_wrong_value_in_one_place_is_refused(fact, where, method):
    data = bytearray(hand_made(CSV, method=method, descriptor=where == "descriptor"))
    starts = {
        "header": 14,
        "descriptor": data.find(b"PK\x07\x08") + 4,
        "directory": data.find(b"PK\x01\x02") + 16,
    }
    assert drain([bytes(data)]) == CSV
    data[starts[where] + fact] ^= 1
    with pytest.raises(ResultError):
        drain([bytes(data)])


def test_fields_and_comments_of_the_largest_size_are_read():
    longest = b"\xfe\xca\xfb\xff" + bytes(65531)
    data = of_parts(
        compressed(CSV), CSV, name=b"n" * 65535, local_extra=longest, extra=longest, comment=b"c" * 65535,
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
def test_zip64_field_without_the_sizes_is_refused(extra):
    with pytest.raises(CorruptZip, match="does not match its entry"):
        drain([of_parts(compressed(CSV), CSV, extra=extra, sizes=(0xFFFFFFFF, 0xFFFFFFFF))])


def test_zip64_records_replace_the_plain_ones_and_their_truncation_is_refused():
    data = compressed(CSV)
    extra = struct.pack("<2H2Q", 1, 16, len(CSV), len(data))
    whole = of_parts(data, CSV, extra=extra, sizes=(0xFFFFFFFF, 0xFFFFFFFF), after=end64(1), entries=0xFFFF)
    assert read(whole, 7) == CSV
    for length in range(len(whole)):
        with pytest.raises(ResultError):
            drain(cut(whole[:length], 11))


@pytest.mark.parametrize(
    ("whole", "error", "message"),
    [
        (of_parts(compressed(CSV), CSV, centrals=2), UnsupportedZip, "lists more than one entry"),
        (of_parts(compressed(CSV), CSV, centrals=3, entries=0xFFFF), UnsupportedZip, "more than one entry"),
        (of_parts(compressed(CSV), CSV, centrals=2, entries=2), UnsupportedZip, "has 2 entries"),
        (of_parts(compressed(CSV), CSV, after=b"more"), CorruptZip, "does not end where"),
        (of_parts(compressed(CSV), CSV, after=end64(2)), CorruptZip, "does not end where"),
        (of_parts(compressed(CSV), CSV, after=end64(1, length=2**64 - 1)), CorruptZip, "does not end where"),
        (of_parts(compressed(CSV), CSV, after=end64(1, locator=b"none")), CorruptZip, "does not end where"),
        (of_parts(compressed(CSV), CSV, sizes=(1, 1)), CorruptZip, "does not match its entry"),
        (of_parts(compressed(CSV) + b"x", CSV), CorruptZip, "states other values"),
        (of_parts(b"", b"", method=0, entries=0), UnsupportedZip, "has 0 entries"),
        (b"MZ\x90\x00 self-extracting" + zip_of(CSV), CorruptZip, "not a ZIP"),
        (b"\n" + zip_of(CSV), CorruptZip, "not a ZIP"),
        (zip_of(CSV) * 2, CorruptZip, "does not end where"),
    ],
)
def test_inconsistent_zip_error_names_the_cause(whole, error, message):
    with pytest.raises(error, match=message):
        drain(cut(whole, 4096))


def with_descriptor_inside(fake_end: bytes) -> bytes:
    """Return a stored entry of unknown size that contains a valid descriptor of the data before it."""
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
def test_valid_descriptor_inside_the_data_never_truncates_it(fake_end, size):
    whole = with_descriptor_inside(fake_end)
    with pytest.raises(CorruptZip, match="does not end where"):
        drain(cut(whole, size))
    assert len(zipfile_entries(whole)[0]) > 60  # zipfile uses the directory at the end of the file


def test_data_full_of_descriptor_candidates_takes_linear_time():
    data = b"".join(struct.pack("<LLL", 1, n, n) + b"PK\x01\x02" for n in range(0, 1_000_000, 16))
    start = time.process_time()
    with pytest.raises(ResultError):
        drain([hand_made(data, method=0)[:-40]])
    assert time.process_time() - start < 1


@pytest.mark.parametrize("block", [EMPTY_STORED, EMPTY_FIXED], ids=["stored", "fixed codes"])
def test_endless_blocks_without_content_are_refused_after_one_mib(block):
    sent = 0

    def endless():
        nonlocal sent
        yield hand_made(CSV)[:35]
        while True:
            sent += len(block) * 10_000
            yield block * 10_000

    with pytest.raises(CorruptZip, match="hardly any content: 1[0-9]+ bytes of it inflate to 0"):
        drain(endless())
    assert sent <= 2 * 1024 * 1024


def test_deflate_stream_without_a_last_block_is_refused():
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(CSV * 100) + compressor.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(ResultError):
        drain([of_parts(data, CSV * 100)])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    flavour=st.sampled_from(sorted(FLAVOURS)),
    content=st.sampled_from([b"", CSV, CSV * 30, b"PK\x01\x02PK\x07\x08PK\x05\x06"]),
    size=st.integers(1, 99),
    edits=st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4
    ),
)
@example("stored, descriptor", b"", 1, [(0, 0, b"")])
def test_edited_zip_is_refused_or_read_as_zipfile_reads_it(flavour, content, size, edits):
    data = FLAVOURS[flavour](content)
    for offset, removed, inserted in edits:
        at = offset % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    check(data, size)


_SMALL = st.sampled_from([0, 1, 2, 5, 0xFFFF])
_FIELD = st.one_of(
    st.binary(max_size=30), st.just(struct.pack("<2H2Q", 1, 16, len(CSV), len(compressed(CSV))))
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.fixed_dictionaries(
        {},
        optional={
            "name": st.binary(max_size=9),
            "local_extra": _FIELD,
            "extra": _FIELD,
            "sizes": st.tuples(*[st.sampled_from([0, len(CSV), len(compressed(CSV)), 0xFFFFFFFF])] * 2),
            "comment": st.binary(max_size=30),
            "centrals": st.integers(0, 3),
            "after": st.one_of(st.binary(max_size=99), _SMALL.map(end64)),
            "entries": _SMALL,
            "archive_comment": st.one_of(st.binary(max_size=30), st.just(b"PK\x05\x06" + bytes(18))),
        },
    ),
    stored=st.booleans(),
    size=st.integers(1, 99),
)
def test_zip_with_unusual_parts_is_refused_or_read_as_zipfile_reads_it(parts, stored, size):
    check(of_parts(CSV if stored else compressed(CSV), CSV, method=0 if stored else 8, **parts), size)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), size=st.integers(1, 50))
def test_any_data_after_a_valid_header_is_refused_or_read_as_zlib_reads_it(data, size):
    """Covers deflate streams that no compressor writes: ends in unusual places, blocks without content."""
    check(hand_made(CSV)[:35] + data, size)
    try:
        inflater = zlib.decompressobj(wbits=-15)
        content = inflater.decompress(data, 100_000)
    except zlib.error:
        return
    if inflater.eof and not inflater.unused_data:
        whole = of_parts(data, content)
        assert read(whole, size) == content
