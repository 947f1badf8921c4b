"""Bulk Read: the wire format of each version, Zoho's jobs, and which job is the one we requested."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import requests
import responses

from crm_export.errors import (
    ZohoJobFailed,
    ZohoModuleNotSupported,
    ZohoNotFound,
    ZohoPageTokenExpired,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoResponseInvalid,
    ZohoUnavailable,
)
from crm_export.zoho.bulk_read import (
    BulkRead,
    Job,
    JobRequest,
    callback_job_id,
    check_is_job_for,
    is_job_for,
    job_body,
    parse_job,
)
from crm_export.zoho.catalog import BULK_READ_FORMATS, has_page_token
from crm_export.zoho.client import ZohoClient

OBJECTS = [version for version in BULK_READ_FORMATS if version != "v2"]
CALLBACK = {"url": "https://x/cb", "method": "post"}


def single(name, **more):
    return {"field": {"api_name": name}, "comparator": "equal", "value": "x", **more}


def group(*members, operator="and"):
    return {"group_operator": operator, "group": list(members)}


CRITERIA = group(single("Last_Name"), group(single("Owner.last_name"), single("Email"), operator="or"))


def request(**changes):
    values = {
        "module": "Leads",
        "query": {"fields": ["Last_Name"], "criteria": CRITERIA},
        "file_type": "csv",
        "page": 2,
        "page_token": None,
        "callback_url": "https://x/cb",
    }
    return JobRequest(**{**values, **changes})


def criteria_of(version, criteria):
    return job_body(version, request(query={"criteria": criteria}))["query"]["criteria"]


@pytest.mark.parametrize("version", OBJECTS)
def test_job_body_from_v2_1_on_has_module_and_field_as_objects(version):
    assert job_body(version, request()) == {
        "callback": CALLBACK,
        "query": {
            "module": {"api_name": "Leads"},
            "fields": ["Last_Name"],
            "criteria": CRITERIA,
            "page": 2,
        },
    }


def test_job_body_without_a_callback_url_has_no_callback():
    assert "callback" not in job_body("v8", request(callback_url=""))


def test_job_body_in_v2_has_module_and_field_as_strings():
    query = job_body("v2", request())["query"]
    assert query["module"] == "Leads"
    first, second = query["criteria"]["group"]
    assert first == {"api_name": "Last_Name", "comparator": "equal", "value": "x"}
    assert second["group"][0] == {"api_name": "Owner.last_name", "comparator": "equal", "value": "x"}
    assert second["group_operator"] == "or"


@pytest.mark.parametrize("version", BULK_READ_FORMATS)
def test_job_body_has_the_type_of_a_criterion_from_v7_on(version):
    assert ("type" in criteria_of(version, single("Email", type="value"))) == (version in ("v7", "v8"))


@pytest.mark.parametrize("version", OBJECTS)
def test_job_body_converts_criteria_stored_in_the_form_of_v2(version):
    kept = {"api_name": "Email", "comparator": "equal", "value": "x"}
    assert criteria_of(version, group(kept, single("Phone"))) == group(single("Email"), single("Phone"))


def test_job_body_with_page_token_has_no_other_query():
    assert job_body("v8", request(page_token="abc")) == {"callback": CALLBACK, "query": {"page_token": "abc"}}


def test_page_tokens_exist_from_v7_on():
    assert [version for version in BULK_READ_FORMATS if has_page_token(version)] == ["v7", "v8"]


@pytest.mark.parametrize("version", BULK_READ_FORMATS)
def test_job_body_has_the_file_type_unless_it_is_csv(version):
    assert job_body(version, request(file_type="ics"))["file_type"] == "ics"
    assert "file_type" not in job_body(version, request())


@pytest.mark.parametrize(
    ("body", "job_id"),
    [
        ({"data": [{"id": "4150868000004716016", "state": "COMPLETED"}]}, "4150868000004716016"),
        ({"job_id": "415", "state": "COMPLETED", "operation": "read"}, "415"),
        ({"id": "415"}, "415"),
        ({"data": [{"id": 415}]}, "415"),
        ({"data": [{"id": True}]}, None),
        ({"data": [{"id": "../../oauth"}]}, None),
        ({"data": [{"id": "4" * 65}]}, None),
        ({"data": [{"id": "٤"}]}, None),
        ({"data": []}, None),
        ({"data": ["x"]}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("x", None),
    ],
)
def test_callback_job_id(body, job_id):
    assert callback_job_id(body) == job_id


def test_parse_job_of_completed_job():
    datum = {
        "id": "415",
        "operation": "read",
        "state": "COMPLETED",
        "result": {
            "page": 1,
            "per_page": 200000,
            "count": 200000,
            "download_url": "/crm/bulk/v8/read/415/result",
            "more_records": True,
            "next_page_token": "abc",
        },
        "query": {"module": {"id": "1", "api_name": "Leads"}, "page": 1},
    }
    job = parse_job(datum, "415")
    assert job == Job("415", "COMPLETED", "Leads", 1, 200000, more_records=True, next_page_token="abc")


def test_parse_job_in_v2_takes_module_as_string():
    result = {"count": 0, "more_records": False}
    datum = {"state": "COMPLETED", "result": result, "query": {"module": "Leads", "page": 1}}
    assert parse_job(datum, "1").module == "Leads"


@pytest.mark.parametrize("value", [None, "", "yes", 1, 0, [], {}])
def test_parse_job_without_a_clear_more_records_is_invalid(value):
    datum = {"state": "COMPLETED", "result": {"count": 5, "more_records": value, "next_page_token": "t"}}
    with pytest.raises(ZohoResponseInvalid, match="more_records"):
        parse_job(datum, "1")


def test_parse_job_takes_more_records_as_string():
    datum = {"state": "COMPLETED", "result": {"count": 5, "more_records": "true", "next_page_token": "t"}}
    assert parse_job(datum, "1").more_records


@pytest.mark.parametrize("count", [40, "40", 40.0, "40.0", "4E1", "4e+1", "040"])
def test_parse_job_takes_a_count_however_it_is_written(count):
    job = parse_job({"state": "COMPLETED", "result": {"count": count, "more_records": False}}, "1")
    assert (job.count, type(job.count)) == (40, int)


@pytest.mark.parametrize("state", ["completed", "Completed", " COMPLETED "])
def test_parse_job_takes_a_state_in_any_letter_case(state):
    result = {"count": 5, "more_records": False}
    assert parse_job({"state": state, "result": result}, "1").state == "COMPLETED"
    with pytest.raises(ZohoResponseInvalid):
        parse_job({"state": state}, "1")


@pytest.mark.parametrize("state", ["FAILURE", "failure", "DELETED", "Deleted"])
def test_parse_job_of_failed_or_deleted_job_has_failed(state):
    job = parse_job({"state": state}, "1")
    assert (job.has_failed, job.failed_for_good) == (True, False)
    assert f"in {state.upper()} (no code: no message)" in str(job.failure())


@pytest.mark.parametrize("state", ["ADDED", "QUEUED", "IN PROGRESS", "COMPLETED"])
def test_parse_job_of_other_job_has_not_failed(state):
    result = {"count": 5, "more_records": False}
    assert not parse_job({"state": state, "result": result}, "1").has_failed


@pytest.mark.parametrize("job_id", ["416", "4150", 416, "", [], {"id": "415"}, True])
def test_parse_job_with_another_id_is_an_outage(job_id):
    with pytest.raises(ZohoUnavailable, match="that of another job"):
        parse_job({"id": job_id, "state": "ADDED"}, "415")


@pytest.mark.parametrize("datum", [{"id": "415"}, {"id": 415}, {"id": 415.0}, {"id": None}, {}])
def test_parse_job_takes_its_id_as_string_or_number_or_not_at_all(datum):
    assert parse_job({**datum, "state": "ADDED"}, "415").job_id == "415"


@pytest.mark.parametrize(
    ("code", "kind", "for_good"),
    [
        ("EXPIRED_VALUE", ZohoPageTokenExpired, True),
        ("MODULE_NOT_SUPPORTED", ZohoModuleNotSupported, True),
        ("FIELD_NOT_AVAILABLE", ZohoQueryRefused, True),
        ("NO_PERMISSION", ZohoPermissionDenied, True),
        ("INVALID_CRITERIA", ZohoQueryRefused, True),
        ("FIELD_IN_CRITERIA_NOT_AVAILABLE", ZohoQueryRefused, True),
        ("CVID_NOT_SUPPORTED", ZohoQueryRefused, True),
        ("TOKEN_BOUND_DATA_MISMATCH", ZohoQueryRefused, True),
        ("INTERNAL_SERVER_ERROR", ZohoJobFailed, False),
        ("NEVER_HEARD_OF", ZohoJobFailed, False),
        ("INVALID_STATE_OF_TOMORROW", ZohoJobFailed, False),
        (None, ZohoJobFailed, False),
    ],
)
def test_job_failure_is_final_for_its_query_only(code, kind, for_good):
    job = Job("1", "FAILURE", failure_code=code, failure_message="m")
    assert job.failed_for_good is for_good
    assert isinstance(job.failure(), kind)
    assert job.failure().zoho_code == code


def test_parse_job_of_failed_job_has_code_and_message():
    error = {"status": "error", "code": "INTERNAL_SERVER_ERROR", "message": "Internal server error occurred."}
    job = parse_job({"state": "FAILURE", "result": {"error_message": error}}, "1")
    assert (job.failure_code, job.failure_message) == (error["code"], error["message"])


@pytest.mark.parametrize(
    "datum",
    [
        {},
        {"state": None},
        {"state": "COMPLETED"},
        {"state": "COMPLETED", "result": {"count": "many", "more_records": False}},
        {"state": "COMPLETED", "result": {"more_records": False}},
        {"state": "COMPLETED", "result": {"count": 5}},
    ],
)
def test_parse_job_without_state_or_count_is_invalid(datum):
    with pytest.raises(ZohoResponseInvalid):
        parse_job(datum, "1")


# --- calls ------------------------------------------------------------------------------------

API = "https://www.zohoapis.eu"


class Tokens:
    def token(self, rejected=None):
        return "token-1"


@pytest.fixture
def bulk_read():
    return BulkRead(ZohoClient(requests.Session(), API, Tokens()))


@pytest.fixture
def zoho():
    with responses.RequestsMock() as mock:
        yield mock


@pytest.mark.parametrize("shape", [lambda error: error, lambda error: {"data": [error]}])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_error_with_the_status_of_a_success_is_raised(zoho, bulk_read, shape, status):
    body = json.dumps(shape({"code": "MODULE_NOT_SUPPORTED", "message": "m", "status": "error"}))
    zoho.post(f"{API}/crm/bulk/v8/read", body=body, status=status)
    zoho.get(f"{API}/crm/bulk/v8/read/1", body=body, status=status)
    for call in (
        lambda: bulk_read.create_job("v8", request(module="Notes")),
        lambda: bulk_read.get_job("v8", "1"),
    ):
        with pytest.raises(ZohoModuleNotSupported, match=f"HTTP {status}"):
            call()


def test_get_job_with_an_id_that_zohos_paths_refuse_is_not_found(zoho, bulk_read):
    """A callback may name anything; that must not end the export."""
    body = {"code": "INVALID_URL_PATTERN", "message": "m", "status": "error", "details": {}}
    zoho.get(f"{API}/crm/bulk/v8/read/abc", json=body, status=404)
    with pytest.raises(ZohoNotFound):
        bulk_read.get_job("v8", "abc")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"data": []}, ZohoResponseInvalid),
        ({"data": ["x"]}, ZohoResponseInvalid),
        ({"data": [{}]}, ZohoResponseInvalid),
        ({"data": [{"id": "1", "state": "COMPLETED"}]}, ZohoResponseInvalid),
        ({"data": [{"id": "2", "state": "ADDED"}]}, ZohoUnavailable),
        ({"data": None}, ZohoUnavailable),
        ({}, ZohoUnavailable),
        ([], ZohoUnavailable),
        ("<html>", ZohoUnavailable),
    ],
    ids=str,
)
def test_details_without_a_job_are_invalid_if_zoho_wrote_them_and_else_an_outage(
    zoho, bulk_read, body, error
):
    zoho.get(f"{API}/crm/bulk/v8/read/1", **{"body" if isinstance(body, str) else "json": body})
    with pytest.raises(error) as raised:
        bulk_read.get_job("v8", "1")
    assert type(raised.value) is error


def test_invalid_details_use_up_attempts_and_an_outage_does_not():
    assert (ZohoResponseInvalid.max_attempts, ZohoUnavailable.max_attempts) == (5, None)


# --- is_job_for -------------------------------------------------------------------------------

SINCE = datetime(2026, 11, 22, 13, tzinfo=UTC)
LEAF = {"field": {"api_name": "Amount"}, "comparator": "between", "value": [1, "2"]}
OTHER = {"field": {"api_name": "Stage"}, "comparator": "equal", "value": True}
GROUPED = {"group_operator": "and", "group": [LEAF, OTHER]}
CONVERTED = {"field": {"id": None, "api_name": "$converted"}, "comparator": "equal", "value": False}


def described(criteria=None, **changes):
    """A job as Zoho describes it, with a query for the fields Id and Amount, page 1."""
    query = {"module": {"id": "1", "api_name": "Deals"}, "fields": ["Id", "Amount"], "page": 1}
    if criteria:
        query["criteria"] = criteria
    datum = {"id": "7", "state": "ADDED", "query": query, "created_time": "2026-11-22T18:30:01+05:30"}
    for name, value in changes.items():
        (datum if name in datum else query)[name] = value
    return parse_job({name: value for name, value in datum.items() if value is not None}, "7")


def matches(job, criteria=None, **changes):
    token = changes.pop("page_token", None)
    query = {"fields": ["Id", "Amount"], **({"criteria": criteria} if criteria else {}), **changes}
    request = JobRequest("Deals", query, "csv", 1, token, "")
    return is_job_for(job, request, not_before=SINCE)


def with_ids(criteria):
    if "group" in criteria:
        return {**criteria, "group": [with_ids(member) for member in criteria["group"]]}
    return {**criteria, "field": {"id": "554023000000000555", **criteria["field"]}}


@pytest.mark.parametrize(
    "criteria", [None, LEAF, GROUPED, {"group_operator": "or", "group": [GROUPED, OTHER]}]
)
def test_is_job_for_ignores_ids_that_zoho_adds(criteria):
    assert matches(described(criteria and with_ids(criteria)), criteria)


def test_is_job_for_ignores_what_else_zoho_adds():
    assert matches(described({"group_operator": "and", "group": [with_ids(LEAF), CONVERTED]}), LEAF)
    assert matches(described(CONVERTED))
    assert matches(described(module="Deals"))  # as v2 writes it
    assert matches(described({"api_name": "Amount", "comparator": "between", "value": ["1", "2"]}), LEAF)


def test_is_job_for_allows_a_small_difference_of_clocks():
    assert matches(described(created_time="2026-11-22T12:55:00+00:00"))
    assert not matches(described(created_time="2026-11-22T12:54:59+00:00"))


@pytest.mark.parametrize(
    ("job", "criteria", "changes"),
    [
        (described(page=2), None, {}),
        (described(page=None), None, {}),
        (
            replace(described(page=None), page=1),
            None,
            {},
        ),  # of the result only
        (described(page_token="t"), None, {}),
        (described(module={"api_name": "Leads"}), None, {}),
        (described(fields=["Id"]), None, {}),
        (described(fields=None), None, {}),
        (described(), None, {"fields": ["Amount", "Id"]}),
        (described(), None, {"fields": None}),
        (described(cvid="1"), None, {}),
        (described(), None, {"cvid": "1"}),
        (described(LEAF), None, {}),
        (described(), LEAF, {}),
        (described(LEAF), OTHER, {}),
        (described({**LEAF, "value": [1, 3]}), LEAF, {}),
        (described({**LEAF, "comparator": "not_between"}), LEAF, {}),
        (described({**GROUPED, "group_operator": "or"}), GROUPED, {}),
        (described({"group_operator": "and", "group": [LEAF, OTHER, OTHER]}), GROUPED, {}),
        (described(CONVERTED | {"value": True, "field": {"id": "1", "api_name": "$converted"}}), None, {}),
        (described("x"), LEAF, {}),
        (described({"field": "x", "comparator": None}), LEAF, {}),
        (described(created_time="2026-11-22T12:54:59+00:00"), None, {}),
        (described(created_time="2026-11-22T13:00:00"), None, {}),
        (described(created_time="yesterday"), None, {}),
        (described(created_time=5), None, {}),
        (described(created_time=None), None, {}),
        (described(query=None), None, {}),
        (described(query=[1]), None, {}),
    ],
)
def test_is_job_for_refuses_any_other_job(job, criteria, changes):
    assert not matches(job, criteria, **changes)


def test_is_job_for_with_page_token_compares_the_token_only():
    assert matches(described(page_token="t"), page_token="t")
    assert not matches(described(page_token="u"), page_token="t")
    assert not matches(described(), page_token="t")


# --- check_is_job_for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"module": {"id": "1", "api_name": "Deals"}}, "names module Deals instead of Leads"),
        ({"module": "Deals"}, "names module Deals instead of Leads"),
        ({"page": 3}, "names page 3 instead of 2"),
        ({"module": "Leads", "page": "1"}, "names page 1 instead of 2"),
    ],
    ids=str,
)
def test_details_of_another_module_or_page_are_an_outage(query, named):
    with pytest.raises(ZohoUnavailable, match=named):
        check_is_job_for(parse_job({"state": "ADDED", "query": query}, "1"), request())


@pytest.mark.parametrize(
    "query",
    [
        None,
        {},
        {"module": {"api_name": "Leads"}, "page": 2},
        {"module": "leads"},
        {"page": 2.0},
        {"module": []},
    ],
    ids=str,
)
def test_details_of_the_same_module_and_page_or_without_them_are_accepted(query):
    check_is_job_for(parse_job({"state": "ADDED", "query": query}, "1"), request())


def test_details_of_a_page_token_may_name_any_page_but_no_other_module():
    by_token = request(page_token="t")
    check_is_job_for(parse_job({"state": "ADDED", "query": {"page": 1}}, "1"), by_token)
    with pytest.raises(ZohoUnavailable):
        check_is_job_for(parse_job({"state": "ADDED", "query": {"module": "Deals"}}, "1"), by_token)
