"""Values become the attributes that boto3 makes of them, and come back as boto3 reads them."""

from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from crm_export.aws.attributes import from_attribute, to_attribute

texts = st.text('aé😀" ', max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(10**37), 10**37) | texts | st.binary(max_size=4)
numbers = st.decimals(-(10**9), 10**9, places=3, allow_nan=False)
values = st.recursive(
    scalars | numbers | st.frozensets(texts, min_size=1),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(texts, inner),
    max_leaves=10,
)


def unordered(attribute):
    """Return an attribute with its sets in order."""
    match attribute:
        case {"SS": members}:
            return {"SS": sorted(members)}
        case {"L": members}:
            return {"L": [unordered(item) for item in members]}
        case {"M": members}:
            return {"M": {name: unordered(item) for name, item in members.items()}}
    return attribute


@given(values)
def test_attribute_is_that_of_boto3(value):
    assert unordered(to_attribute(value)) == unordered(TypeSerializer().serialize(value))


@given(values)
def test_value_is_that_of_boto3(value):
    attribute = to_attribute(value)
    read = from_attribute(attribute)
    assert read == TypeDeserializer().deserialize(attribute)
    assert type(read) is not int


@pytest.mark.parametrize("value", [1.5, object(), frozenset(), {1, 2}])
def test_value_that_is_not_stored_here_is_refused(value):
    with pytest.raises(TypeError, match="cannot be stored"):
        to_attribute(value)


def test_number_keeps_its_digits():
    assert from_attribute(to_attribute(Decimal("1.10"))).as_tuple() == Decimal("1.10").as_tuple()
