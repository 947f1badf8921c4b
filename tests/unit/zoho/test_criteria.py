"""The structure of criteria: what Zoho would refuse is refused here, with path, value and what is allowed."""

import pytest

from crm_export.errors import QueryRefused
from crm_export.zoho.criteria import check_criteria

ONE = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "x"}


def group(*members, operator="and"):
    return {"group_operator": operator, "group": list(members)}


def nested(depth):
    node = ONE
    for _ in range(depth):
        node = group(ONE, node)
    return node


@pytest.mark.parametrize(
    "criteria",
    [
        ONE,
        {"api_name": "Last_Name", "comparator": "equal", "value": "x"},
        {**ONE, "value": "${EMPTY}"},
        {**ONE, "value": True},
        {**ONE, "value": 1.5, "type": "value"},
        {**ONE, "comparator": "in", "value": ["a", "b"]},
        {**ONE, "comparator": "in", "value": "a"},
        {**ONE, "comparator": "between", "value": ["2021-02-22T15:39:26+05:30", "2021-07-20T09:00:00+05:30"]},
        group(ONE, ONE),
        group(ONE, group(ONE, ONE, operator="or")),
        group(*[ONE] * 25),
        nested(10),
    ],
)
def test_what_zoho_documents_passes(criteria):
    check_criteria(criteria)


@pytest.mark.parametrize(
    ("criteria", "says"),
    [
        (None, "query.criteria is null; it must be an object"),
        ({}, "query.criteria.field is null"),
        ({**ONE, "group": []}, "query.criteria is ambiguous"),
        ({**ONE, "operator": "x"}, 'query.criteria has the key "operator"'),
        ({"group": [ONE, ONE]}, "group_operator is null; allowed are and, or"),
        (group(ONE), "it must be an array of two criteria or more"),
        ({"group_operator": "and", "group": None}, "query.criteria.group is null"),
        (group(ONE, "x"), 'query.criteria.group[1] is "x"'),
        (
            group(ONE, {**ONE, "comparator": "like"}),
            'query.criteria.group[1].comparator is "like"; allowed are',
        ),
        ({**ONE, "comparator": ["in"]}, "query.criteria.comparator is"),
        ({"field": {"api_name": "x"}, "comparator": "equal"}, "query.criteria.value is missing"),
        ({**ONE, "field": "Last_Name"}, "query.criteria.field is"),
        ({**ONE, "value": None}, "query.criteria.value is null"),
        ({**ONE, "value": ["a"]}, "comparator equal takes one value"),
        ({**ONE, "value": "x" * 256}, "query.criteria.value has 256 characters; allowed are 255"),
        ({**ONE, "comparator": "in", "value": ["x"] * 201}, "has 201 values; allowed are 1 to 200"),
        ({**ONE, "comparator": "in", "value": []}, "has 0 values"),
        ({**ONE, "comparator": "in", "value": [[]]}, "query.criteria.value[0] is []"),
        ({**ONE, "comparator": "between", "value": ["a"]}, "between takes two"),
        ({**ONE, "comparator": "between", "value": "a"}, "between takes an array of two values"),
        (group(*[ONE] * 26), "has 26 criteria; allowed are 25"),
        (nested(600), "nested 26 deep"),
    ],
)
def test_what_cannot_work_is_refused(criteria, says):
    with pytest.raises(QueryRefused) as raised:
        check_criteria(criteria)
    assert says in raised.value.message
