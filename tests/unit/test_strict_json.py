"""JSON without Python's extensions, and numbers of limited length."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export import strict_json


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e999", "-1e999", "{", "[" * 100_000])
def test_loads_refuses_what_is_not_json(text):
    with pytest.raises(ValueError):
        strict_json.loads(text)


_NUMBERS = [
    "1.10", "-0.0", "-0", "0", "10", "1E+2", "1e-7", "1234567890123456.78", "1e999", "3652397000000624013",
    "9" * 40, "9" * 5000, "-" + "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("number", _NUMBERS)
def test_number_is_written_as_it_was_sent(number):
    document = f'{{"a":{number},"b":[{number},{{"c":{number}}}]}}'
    assert strict_json.dumps(strict_json.loads_exact(document.encode())) == document


def test_number_is_used_as_any_other():
    found = strict_json.loads_exact("[1.10, 10, -0, 1e999]")
    assert found == [1.1, 10, 0, math.inf]
    assert not any(isinstance(number, str) for number in found)


def test_text_of_decimals_is_kept_if_it_is_wanted():
    assert strict_json.loads_with_text("[1.10, 1e999, -7, 12345678901234567890]") == [
        "1.10", "1e999", -7, 12345678901234567890
    ]  # fmt: skip
    with pytest.raises(ValueError):
        strict_json.loads_with_text("[NaN]")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_dumps_writes_what_the_standard_library_writes(value):
    assert strict_json.dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_dumps_refuses_what_is_not_json():
    nested = []
    for _ in range(5_000):
        nested = [nested]
    for value in (nested, float("nan")):
        with pytest.raises(ValueError):
            strict_json.dumps(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", 0),
        ("007", 7),
        ("999", 999),
        ("1000", None),
        ("", None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1.0", None),
        ("٣", None),
        ("²", None),
        (5, None),
        (None, None),
    ],
)
def test_whole_number_takes_ascii_digits_up_to_a_length(value, number):
    assert strict_json.whole_number(value, 3) == number
