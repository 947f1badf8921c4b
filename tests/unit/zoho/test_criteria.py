"""The structure of criteria: a refusal names the JSON path, the value and what is allowed."""

import pytest

from crm_export.errors import QueryRefused
from crm_export.zoho.criteria import check_criteria

ONE = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "x"}
BETWEEN = {"field": {"api_name": "Modified_Time"}, "comparator": "between"}


def group(*members, operator="and"):
    return {"group_operator": operator, "group": list(members)}


def nested(depth):
    node = ONE
    for _ in range(depth):
        node = group(ONE, node)
    return node


def between(first, second):
    return {**BETWEEN, "value": [first, second]}


@pytest.mark.parametrize(
    "criteria",
    [
        ONE,
        {**ONE, "value": "${EMPTY}"},
        {**ONE, "value": True},
        {**ONE, "value": 1.5, "type": "value"},
        {**ONE, "value": ""},
        {**ONE, "value": "x" * 255},
        {**ONE, "field": {"api_name": "Account_Name.Parent_Account.Phone"}},
        {**ONE, "field": {"api_name": "$converted"}, "value": False},
        {**ONE, "comparator": "in", "value": ["a", "b"]},
        {**ONE, "comparator": "in", "value": ["a"] * 200},
        {**ONE, "comparator": "in", "value": "a"},
        between("2021-02-22T15:39:26+05:30", "2021-07-20T09:00:00+05:30"),
        between("2021-02-22", "2024-02-29"),
        between("2021-02-22T15:39:26Z", "2021-02-22T15:39:26"),
        {**between("2021-02-22T15:39:26+0530", "2021-02-22T15:39Z"), "comparator": "not_between"},
        group(ONE, ONE),
        group(ONE, group(ONE, ONE, operator="or")),
        group(*[ONE] * 25),
        nested(10),
        nested(24),
    ],
)
def test_documented_criteria_pass_unchanged(criteria):
    assert check_criteria(criteria) == criteria


@pytest.mark.parametrize(
    "named",
    [
        {"api_name": "Last_Name"},
        {"field": {"api_name": "Last_Name"}, "api_name": "Last_Name"},  # Zoho's SDKs write both
        {"field": {"api_name": "Last_Name", "id": "554023000000000952"}},  # Zoho's responses
        {"field": {"id": None, "api_name": "Last_Name"}},
    ],
)
def test_field_in_another_form_is_returned_in_ours(named):
    criterion = {**named, "comparator": "equal", "value": "x"}
    assert check_criteria(criterion) == ONE
    assert check_criteria(group(criterion, group(criterion, ONE))) == group(ONE, group(ONE, ONE))


@pytest.mark.parametrize(
    ("criteria", "says"),
    [
        (None, "query.criteria is null; it must be an object"),
        ([ONE], "query.criteria is [{"),
        ({}, "query.criteria.field is missing; it must be"),
        ({"api_name": "x", "value": "y"}, "query.criteria.comparator is missing; allowed: equal,"),
        ({**ONE, "comparator": None}, "query.criteria.comparator is null; allowed: equal,"),
        ({**ONE, "group": []}, "query.criteria is ambiguous"),
        ({**ONE, "group_operator": "and"}, "query.criteria is ambiguous"),
        ({**ONE, "operator": "x"}, 'query.criteria has the key "operator"'),
        ({"group": [ONE, ONE]}, "group_operator is missing; allowed: and, or"),
        ({"group_operator": "and"}, "query.criteria.group is missing; it must be an array"),
        (group(ONE, ONE, operator="xor"), 'group_operator is "xor"; allowed: and, or'),
        (group(ONE), "it must be an array of two or more criteria"),
        ({"group_operator": "and", "group": None}, "query.criteria.group is null"),
        (group(ONE, "x"), 'query.criteria.group[1] is "x"'),
        (group(ONE, group(ONE)), "query.criteria.group[1].group is [{"),
        (
            group(ONE, {**ONE, "comparator": "like"}),
            'query.criteria.group[1].comparator is "like"; allowed:',
        ),
        ({**ONE, "comparator": ["in"]}, "query.criteria.comparator is"),
        ({"field": {"api_name": "x"}, "comparator": "equal"}, "query.criteria.value is missing"),
        ({**ONE, "field": "Last_Name"}, "query.criteria.field is"),
        ({**ONE, "field": {"api_name": "x", "type": "y"}}, "query.criteria.field is"),
        ({**ONE, "field": {"api_name": "a..b"}}, 'query.criteria.field.api_name is "a..b"; it must be'),
        ({**ONE, "field": {"api_name": ".a"}}, 'query.criteria.field.api_name is ".a"'),
        ({**ONE, "field": {"api_name": "Last Name"}}, 'query.criteria.field.api_name is "Last Name"'),
        ({**ONE, "field": {"api_name": "x" * 101}}, "query.criteria.field.api_name is"),
        ({"api_name": 1, "comparator": "equal", "value": "x"}, "query.criteria.api_name is 1"),
        (
            {**ONE, "api_name": "Email"},
            'api_name is "Email", but field.api_name is "Last_Name": name one field',
        ),
        ({**ONE, "type": "field"}, 'query.criteria.type is "field"; only "value" is allowed'),
        ({**ONE, "value": None}, "query.criteria.value is null; it must be a string, a number or a boolean"),
        ({**ONE, "value": {}}, "query.criteria.value is {}"),
        ({**ONE, "value": ["a"]}, "comparator equal takes one value"),
        ({**ONE, "value": "x" * 256}, 'query.criteria.value is "xxx'),
        ({**ONE, "value": "x" * 256}, "with 256 characters; at most 255 are allowed"),
        ({**ONE, "comparator": "in", "value": ["x"] * 201}, "has 201 values; 1 to 200 are allowed"),
        ({**ONE, "comparator": "in", "value": []}, "has 0 values"),
        ({**ONE, "comparator": "in", "value": [[]]}, "query.criteria.value[0] is []"),
        ({**BETWEEN, "value": ["2021-02-22"]}, "query.criteria.value has 1 values; between takes two"),
        ({**BETWEEN, "value": "2021-02-22"}, "between takes an array of two values"),
        # A slip on Zoho's own page.
        (
            group(ONE, between("2021-02-22", "20219-02-22T15:39:26+05:30")),
            'query.criteria.group[1].value[1] is "20219-02-22T15:39:26+05:30"; it must be a date or datetime',
        ),
        (between("2021-02-22", "2021-02-22T15:39:26.000+05:30"), "without milliseconds"),
        (between("2021-02-30", "2021-03-01"), 'query.criteria.value[0] is "2021-02-30"'),
        (between("2021-02-22T25:00:00Z", "2021-03-01"), "query.criteria.value[0]"),
        (between("٢٠٢١-02-22", "2021-03-01"), "query.criteria.value[0]"),
        (between(20210222, 20210301), "query.criteria.value[0] is 20210222"),
        (between("${EMPTY}", "2021-03-01"), 'query.criteria.value[0] is "${EMPTY}"'),
        (group(*[ONE] * 26), "has 26 criteria; at most 25 are allowed"),
        (group(group(*[ONE] * 13), group(*[ONE] * 13)), "has 26 criteria; at most 25 are allowed"),
        (nested(600), "nested 26 levels deep"),
    ],
)
def test_invalid_criteria_are_refused(criteria, says):
    with pytest.raises(QueryRefused) as raised:
        check_criteria(criteria)
    assert says in raised.value.message
