"""A stream of pieces as raw deflate data and as a gzip member."""

import gzip
import zlib

import pytest

from crm_export.results.counters import ByteCounter
from crm_export.results.gzip import Piece, counted, deflate, gzip_member

CONTENTS = {"no chunk": [], "empty chunk": [b""], "csv": [b"Id,Name\r\n", b"1,Ann\r\n" * 99, b"2,Bob"]}


@pytest.mark.parametrize("chunks", CONTENTS.values(), ids=CONTENTS)
def test_deflate_yields_each_chunk_and_one_deflate_stream(chunks):
    pieces = list(deflate(chunks))
    assert [piece.content for piece in pieces] == [*chunks, b""]
    assert zlib.decompress(b"".join(piece.compressed for piece in pieces), wbits=-15) == b"".join(chunks)


@pytest.mark.parametrize("chunks", CONTENTS.values(), ids=CONTENTS)
def test_gzip_member_is_read_by_gzip_and_counted(chunks):
    content, member = ByteCounter(), ByteCounter()
    pieces = list(gzip_member(counted(deflate(chunks), content), content, member))
    data = b"".join(piece.compressed for piece in pieces)
    assert gzip.decompress(data) == b"".join(piece.content for piece in pieces) == b"".join(chunks)
    assert (content.crc32, content.size) == (zlib.crc32(b"".join(chunks)), len(b"".join(chunks)))
    assert (member.crc32, member.size) == (zlib.crc32(data), len(data))


def test_gzip_member_reads_pieces_one_at_a_time():
    def pieces():
        yield Piece(b"a", b"b")
        raise AssertionError("read too early")

    member = gzip_member(pieces(), ByteCounter(), ByteCounter())
    assert [next(member).content, next(member)] == [b"", (b"a", b"b")]


def test_counted_counts_a_piece_before_it_is_yielded():
    content = ByteCounter()
    sizes = [content.size for _ in counted([Piece(b"ab", b"x"), Piece(b""), Piece(b"c")], content)]
    assert sizes == [2, 2, 3]
    assert content.crc32 == zlib.crc32(b"abc")


def test_gzip_trailer_has_the_size_modulo_4_gib():
    *_, trailer = gzip_member([], ByteCounter(0x01020304, 2**32 * 3 + 5), ByteCounter())
    assert trailer.compressed == bytes([4, 3, 2, 1, 5, 0, 0, 0])
