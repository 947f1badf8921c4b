"""Criteria against field types: Zoho's table of comparators and values, and what is left to Zoho."""

import pytest

from crm_export.errors import QueryRefused
from crm_export.zoho.criteria import COMPARATORS, check_criteria, check_types

SAME = {"equal", "not_equal", "in", "not_in"}
ORDERED = {"less_than", "less_equal", "greater_than", "greater_equal"}
NUMBERS = ("integer", "bigint", "long", "double", "decimal", "currency", "percent")
TEXTS = ("text", "textarea", "email", "phone", "website", "url", "picklist", "multiselectpicklist")
DATES = ("date", "datetime")
LOOKUPS = ("lookup", "ownerlookup", "userlookup")
ALLOWED = {
    **dict.fromkeys(NUMBERS, SAME | ORDERED),
    **dict.fromkeys(TEXTS, SAME | {"contains", "not_contains", "starts_with", "ends_with"}),
    **dict.fromkeys(DATES, SAME | ORDERED | {"between", "not_between"}),
    **dict.fromkeys(LOOKUPS, SAME),
    "boolean": {"equal"},
}
VALUES = {**dict.fromkeys((*NUMBERS, *LOOKUPS), "7"), **dict.fromkeys(DATES, "2026-02-22"), "boolean": True}
UNTABLED = ("formula", "autonumber", "rollup_summary", "RRULE", "ALARM", "multiselectlookup", "None", None)


def refusal(data_type, comparator, value):
    """Check one criterion on a field of the type; return the refusal, or None."""
    criterion = {"field": {"api_name": "F"}, "comparator": comparator, "value": value}
    try:
        check_types(check_criteria(criterion), {"F": data_type}.get)
    except QueryRefused as error:
        return error.message
    return None


@pytest.mark.parametrize("comparator", COMPARATORS)
@pytest.mark.parametrize("data_type", ALLOWED)
def test_a_type_allows_the_comparators_of_zohos_table(data_type, comparator):
    value = VALUES.get(data_type, "x")
    if comparator.endswith("between"):
        value = ["2026-02-22", "2026-03-22"]
    elif comparator.endswith("in"):
        value = [value]
    message = refusal(data_type, comparator, value)
    if comparator in ALLOWED[data_type]:
        assert message is None
    else:
        assert f'query.criteria.comparator is "{comparator}"; field F is of the type {data_type}' in message
        assert set(message.partition("which allows ")[2].rstrip(".").split(", ")) == ALLOWED[data_type]


@pytest.mark.parametrize("data_type", [kind for kind in ALLOWED if kind != "boolean"])
@pytest.mark.parametrize("placeholder", ["${EMPTY}", "${CURRENTUSER}"])
def test_zohos_placeholders_pass(data_type, placeholder):
    assert refusal(data_type, "equal", placeholder) is None
    assert refusal(data_type, "in", [placeholder]) is None


@pytest.mark.parametrize(
    ("data_type", "value"),
    [
        ("integer", 5),
        ("currency", "1000.50"),
        ("percent", "-1e3"),
        ("double", 1.5),
        ("bigint", "9" * 19),
        ("bigint", -5),
        ("text", 5),
        ("picklist", "Web Download"),
        ("datetime", "2026-02-22"),
        ("date", "2026-02-22T15:39:26+05:30"),
        ("boolean", False),
        ("boolean", "true"),
        ("boolean", "False"),
        ("lookup", "4150868000000225013"),
        ("ownerlookup", 4150868000000225013),
    ],
)
def test_a_value_of_the_type_passes(data_type, value):
    assert refusal(data_type, "equal", value) is None


@pytest.mark.parametrize(
    ("data_type", "value", "allowed"),
    [
        ("integer", "many", "a number or ${EMPTY}"),
        ("integer", "٥", "a number or ${EMPTY}"),
        ("currency", "1,000", "a number or ${EMPTY}"),
        ("double", True, "a number or ${EMPTY}"),
        ("bigint", "1" * 20, "19 digits at most"),
        ("bigint", 10**19, "19 digits at most"),
        ("date", "22.02.2026", "ISO 8601"),
        ("date", "2026-02-30", "ISO 8601"),
        ("datetime", "2026-02-22T15:39:26.123Z", "without milliseconds"),
        ("datetime", 1740000000, "ISO 8601"),
        ("boolean", "yes", "true or false"),
        ("boolean", 1, "true or false"),
        ("boolean", "${EMPTY}", "true or false"),
        ("lookup", "Acme", "as in Owner.last_name"),
        ("lookup", True, "the id of a record"),
        ("ownerlookup", "1" * 20, "the id of a record"),
    ],
)
def test_a_value_of_another_type_is_refused(data_type, value, allowed):
    message = refusal(data_type, "equal", value)
    assert message.startswith("query.criteria.value is ")
    assert f"field F is of the type {data_type}, which takes " in message
    assert allowed in message


def test_each_value_of_a_list_is_checked_and_named_by_its_path():
    good = {"field": {"api_name": "Name"}, "comparator": "equal", "value": "x"}
    bad = {"field": {"api_name": "Amount"}, "comparator": "in", "value": ["1", 2, "three"]}
    criteria = {"group_operator": "and", "group": [good, {"group_operator": "or", "group": [good, bad]}]}
    with pytest.raises(QueryRefused) as raised:
        check_types(criteria, {"Name": "text", "Amount": "currency"}.get)
    assert 'query.criteria.group[1].group[1].value[2] is "three"; field Amount' in raised.value.message


@pytest.mark.parametrize("data_type", UNTABLED)
@pytest.mark.parametrize("comparator", ["equal", "contains", "less_than"])
def test_a_type_that_is_unknown_or_not_in_the_table_is_zohos_to_check(data_type, comparator):
    assert refusal(data_type, comparator, "x") is None


def test_one_text_for_in_may_be_a_list_in_zohos_eyes():
    assert refusal("integer", "in", "1,2") is None
