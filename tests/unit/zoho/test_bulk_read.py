"""The wire formats of Bulk Read, version by version."""

import pytest

from crm_export.errors import ZohoJobFailed, ZohoPermissionDenied, ZohoQueryRefused, ZohoUnavailable
from crm_export.zoho.bulk_read import Job, JobRequest, callback_job_id, job_body, parse_job
from crm_export.zoho.catalog import BULK_READ_FORMATS, has_page_token

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
def test_from_v2_1_on_module_and_field_are_objects(version):
    assert job_body(version, request()) == {
        "callback": CALLBACK,
        "query": {
            "module": {"api_name": "Leads"},
            "fields": ["Last_Name"],
            "criteria": CRITERIA,
            "page": 2,
        },
    }


def test_in_v2_they_are_strings():
    query = job_body("v2", request())["query"]
    assert query["module"] == "Leads"
    first, second = query["criteria"]["group"]
    assert first == {"api_name": "Last_Name", "comparator": "equal", "value": "x"}
    assert second["group"][0] == {"api_name": "Owner.last_name", "comparator": "equal", "value": "x"}
    assert second["group_operator"] == "or"


@pytest.mark.parametrize("version", BULK_READ_FORMATS)
def test_a_criterions_type_is_said_from_v7_on(version):
    assert ("type" in criteria_of(version, single("Email", type="value"))) == (version in ("v7", "v8"))


@pytest.mark.parametrize("version", OBJECTS)
def test_criteria_kept_in_v2s_words_are_written_in_the_versions(version):
    kept = {"api_name": "Email", "comparator": "equal", "value": "x"}
    assert criteria_of(version, group(kept, single("Phone"))) == group(single("Email"), single("Phone"))


def test_a_page_token_stands_for_the_whole_query():
    assert job_body("v8", request(page_token="abc")) == {"callback": CALLBACK, "query": {"page_token": "abc"}}


def test_page_tokens_are_known_from_v7_on():
    assert [version for version in BULK_READ_FORMATS if has_page_token(version)] == ["v7", "v8"]


@pytest.mark.parametrize("version", BULK_READ_FORMATS)
def test_the_file_type_is_said_where_it_is_not_csv(version):
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
def test_the_job_id_of_a_callback(body, job_id):
    assert callback_job_id(body) == job_id


def test_a_completed_job():
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


def test_a_v2_job_tells_its_module_as_a_string():
    result = {"count": 0, "more_records": False}
    datum = {"state": "COMPLETED", "result": result, "query": {"module": "Leads", "page": 1}}
    assert parse_job(datum, "1").module == "Leads"


@pytest.mark.parametrize("said", [None, "", "yes", 1, 0, [], {}])
def test_a_job_that_does_not_clearly_tell_whether_there_is_more_is_asked_again(said):
    datum = {"state": "COMPLETED", "result": {"count": 5, "more_records": said, "next_page_token": "t"}}
    with pytest.raises(ZohoUnavailable, match="more_records"):
        parse_job(datum, "1")


def test_more_records_may_be_a_text():
    datum = {"state": "COMPLETED", "result": {"count": 5, "more_records": "true", "next_page_token": "t"}}
    assert parse_job(datum, "1").more_records


@pytest.mark.parametrize(
    ("code", "kind", "for_good"),
    [
        ("FIELD_NOT_AVAILABLE", ZohoQueryRefused, True),
        ("NO_PERMISSION", ZohoPermissionDenied, True),
        ("INTERNAL_SERVER_ERROR", ZohoJobFailed, False),
        ("NEVER_HEARD_OF", ZohoJobFailed, False),
        (None, ZohoJobFailed, False),
    ],
)
def test_a_failure_of_the_query_is_for_good_and_any_other_is_not(code, kind, for_good):
    job = Job("1", "FAILURE", failure_code=code, failure_message="m")
    assert job.failed_for_good is for_good
    with pytest.raises(kind) as raised:
        job.raise_failure()
    assert raised.value.zoho_code == code


def test_a_failed_job_tells_why():
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
def test_an_answer_without_state_or_count_is_not_believed(datum):
    with pytest.raises(ZohoUnavailable):
        parse_job(datum, "1")
