"""Which job of Zoho's is the one we would have made."""

import pytest

from crm_export.zoho.bulk_read import JobRequest, is_job_for, parse_job

SINCE = "2026-11-22T13:00:00.000Z"
LEAF = {"field": {"api_name": "Amount"}, "comparator": "between", "value": [1, "2"]}
OTHER = {"field": {"api_name": "Stage"}, "comparator": "equal", "value": True}
GROUP = {"group_operator": "and", "group": [LEAF, OTHER]}
CONVERTED = {"field": {"id": None, "api_name": "$converted"}, "comparator": "equal", "value": False}


def told(criteria=None, **changes):
    """A job as Zoho tells of it, with a query for fields Id and Amount, page 1."""
    query = {"module": {"id": "1", "api_name": "Deals"}, "fields": ["Id", "Amount"], "page": 1}
    if criteria:
        query["criteria"] = criteria
    datum = {"id": "7", "state": "ADDED", "query": query, "created_time": "2026-11-22T18:30:01+05:30"}
    for name, value in changes.items():
        (datum if name in datum else query)[name] = value
    return parse_job({name: value for name, value in datum.items() if value is not None}, "7")


def fits(job, criteria=None, **changes):
    token = changes.pop("page_token", None)
    query = {"fields": ["Id", "Amount"], **({"criteria": criteria} if criteria else {}), **changes}
    request = JobRequest("Deals", query, "csv", 1, token, "")
    return is_job_for(job, request, not_before=SINCE)


def with_ids(criteria):
    if "group" in criteria:
        return {**criteria, "group": [with_ids(member) for member in criteria["group"]]}
    return {**criteria, "field": {"id": "554023000000000555", **criteria["field"]}}


@pytest.mark.parametrize("criteria", [None, LEAF, GROUP, {"group_operator": "or", "group": [GROUP, OTHER]}])
def test_the_job_we_made_is_ours_though_zoho_adds_ids(criteria):
    assert fits(told(criteria and with_ids(criteria)), criteria)


def test_what_zoho_adds_of_itself_does_not_matter():
    assert fits(told({"group_operator": "and", "group": [with_ids(LEAF), CONVERTED]}), LEAF)
    assert fits(told(CONVERTED))
    assert fits(told(module="Deals"))  # as v2 writes it
    assert fits(told({"api_name": "Amount", "comparator": "between", "value": ["1", "2"]}), LEAF)


def test_a_job_may_be_from_a_little_before_by_zohos_clock():
    assert fits(told(created_time="2026-11-22T12:55:00+00:00"))
    assert not fits(told(created_time="2026-11-22T12:54:59+00:00"))


@pytest.mark.parametrize(
    ("job", "criteria", "changes"),
    [
        (told(page=2), None, {}),
        (told(page=None), None, {}),
        (told(module={"api_name": "Leads"}), None, {}),
        (told(fields=["Id"]), None, {}),
        (told(fields=None), None, {}),
        (told(), None, {"fields": ["Amount", "Id"]}),
        (told(), None, {"fields": None}),
        (told(cvid="1"), None, {}),
        (told(), None, {"cvid": "1"}),
        (told(LEAF), None, {}),
        (told(), LEAF, {}),
        (told(LEAF), OTHER, {}),
        (told({**LEAF, "value": [1, 3]}), LEAF, {}),
        (told({**LEAF, "comparator": "not_between"}), LEAF, {}),
        (told({**GROUP, "group_operator": "or"}), GROUP, {}),
        (told({"group_operator": "and", "group": [LEAF, OTHER, OTHER]}), GROUP, {}),
        (told(CONVERTED | {"value": True, "field": {"id": "1", "api_name": "$converted"}}), None, {}),
        (told("x"), LEAF, {}),
        (told({"field": "x", "comparator": None}), LEAF, {}),
        (told(created_time="2026-11-22T12:54:59+00:00"), None, {}),
        (told(created_time="2026-11-22T13:00:00"), None, {}),
        (told(created_time="yesterday"), None, {}),
        (told(created_time=5), None, {}),
        (told(created_time=None), None, {}),
        (told(query=None), None, {}),
        (told(query=[1]), None, {}),
    ],
)
def test_any_other_job_is_not(job, criteria, changes):
    assert not fits(job, criteria, **changes)


def test_behind_a_page_token_only_the_token_tells_whose_job_it_is():
    assert fits(told(page_token="t"), page_token="t")
    assert not fits(told(page_token="u"), page_token="t")
    assert not fits(told(), page_token="t")
