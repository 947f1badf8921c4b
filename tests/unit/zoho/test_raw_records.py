"""What is cut out of a response equals what the readers of JSON find in it, and never more is accepted."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_export import strict_json
from crm_export.zoho.raw_records import cut_out

RECORD = '{"id":"1","A":1234567890123456.78,"B":[1.10,{"C":-0.0}],"D":1E+2,"E":1e999,"F":-0,"G":%s}' % (
    "9" * 30
)


def in_a_record(value: bytes) -> bytes:
    return b'{"data": [{"x": %b}], "info": {}}' % value


def test_records_keep_the_characters_that_zoho_sent():
    found = cut_out(
        f'{{"data": [ {RECORD} , {{"é😀": "\\u00e9\\/\u2028"}} ],"info": {{"page": 1.0}}}}'.encode()
    )
    assert found.data.text == f'[{RECORD},{{"é😀": "\\u00e9\\/\u2028"}}]'
    assert found.count == 2
    assert strict_json.dumps(found.info) == '{"page":1.0}'


@pytest.mark.parametrize(
    ("body", "count", "info"),
    [
        (b'{"data":[]}', 0, None),
        (b'{"info":null,"data":[{}]}', 1, None),
        (b'{"data":[{}],"info":7,"more":[1,{}]}', 1, 7),
        (b'{"data":[{}],"data":[{},{}]}', 2, None),
        (b'{"d\\u0061ta":[{}]}\n ', 1, None),
    ],
)
def test_number_of_records_and_info_are_those_of_the_body(body, count, info):
    found = cut_out(body)
    assert (found.count, found.info) == (count, info)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'{"data":null}', b'{"data":{}}', b'{"data":[1]}', b'{"data":[{},null]}',
        b'{"data":[{}]} x', b'{"data":[{}]', b'{"data":[{}],}', b'{"data":[{},]}', b"<html>",
    ],
)  # fmt: skip
def test_body_without_an_array_of_objects_has_no_records(body):
    assert cut_out(body) is None


NOT_JSON = [
    b"NaN", b"Infinity", b"-Infinity", b"01", b"-01", b"1.", b".5", b"+1", b"-", b"1e", b"0x1", b"1_0",
    b"tru", b"1 2", b'"a', b'"a\x01b"', b'"a\nb"', b'"\\x"', b'"\\u12"', b'"\\u12G4"', b"{'a':1}", b"{a:1}",
    b'{"a":1,}', b"[1,]", b"[1 2]", b'{"a" 1}', b"{1:2}", b"/**/1", b'"\xff"', b'{"\xff":1}', b"[" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: str(value[:12]))
def test_value_that_is_not_json_is_refused_within_a_record_and_next_to_the_records(value):
    assert cut_out(in_a_record(value)) is None
    assert cut_out(b'{"data":[{}],"more":%b}' % value) is None


@pytest.mark.parametrize(
    "body",
    [in_a_record(b'"\\ud800"'), in_a_record(b'"\xed\xa0\x80"'), b'\xef\xbb\xbf{"data":[]}',
     '{"data":[]}'.encode("utf-16")],
    ids=["escaped surrogate", "surrogate", "byte order mark", "UTF-16"],
)  # fmt: skip
def test_unusual_json_is_left_to_the_other_reader(body):
    assert cut_out(body) is None
    assert strict_json.loads_exact(body)["data"] is not None


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
_RECORDS = st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=3), max_size=3)
_BODIES = st.fixed_dictionaries({"data": _RECORDS | _VALUES, "info": _VALUES})


@given(_BODIES, st.booleans(), st.integers(0, 200), st.binary(max_size=2))
@example({"data": [{"a": 1}], "info": {}}, False, 11, b"\xff")
@settings(deadline=None)
def test_damaged_json_is_accepted_only_if_it_is_json_and_then_means_the_same(body, is_ascii, at, inserted):
    sent = json.dumps(body, ensure_ascii=is_ascii, allow_nan=False).encode("utf-8", "replace")
    damaged = sent[:at] + inserted + sent[at:]
    found = cut_out(damaged)
    if found is not None:
        read = strict_json.loads_exact(damaged)
        assert strict_json.loads_exact(found.data.text) == read["data"]
        assert all(isinstance(record, dict) for record in read["data"])
        assert (found.count, found.info) == (len(read["data"]), read.get("info"))
