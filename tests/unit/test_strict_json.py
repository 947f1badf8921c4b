"""JSON without Python's extensions, and numbers of limited length."""

import pytest

from crm_export import strict_json


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1e999", "-1e999", "{", "[" * 100_000])
def test_loads_refuses_what_is_not_json(text):
    with pytest.raises(ValueError):
        strict_json.loads(text)


def test_loads_exact_keeps_numbers_as_they_were_sent():
    assert strict_json.loads_exact(b'{"a": 1.10, "b": 10, "c": 1e999}') == {
        "a": "1.10",
        "b": "10",
        "c": "1e999",
    }


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
