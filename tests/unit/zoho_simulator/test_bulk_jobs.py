"""Jobs: states over time, pages, criteria, expiry, downloads."""

import io
import zipfile

import pytest

CREATE = {"query": {"module": {"api_name": "Contacts"}}}


def job_id(response):
    return response.json()["data"][0]["details"]["id"]


def state(client, job):
    return client.get(f"/crm/bulk/v8/read/{job}").json()["data"][0]["state"]


def test_job_state_follows_the_clock(start, clock):
    client = start(added_seconds=1, queued_seconds=2, in_progress_seconds=4)
    job = job_id(client.create(CREATE))
    states = []
    for _ in range(8):
        states.append(state(client, job))
        clock.advance(1)
    assert states == ["ADDED", "QUEUED", "QUEUED", *["IN PROGRESS"] * 4, "COMPLETED"]


def test_job_details_have_a_result_only_when_completed(start, clock):
    client = start(in_progress_seconds=5)
    job = job_id(client.create(CREATE))
    path = f"/crm/bulk/v8/read/{job}"
    assert "result" not in client.get(path).json()["data"][0]
    early = client.get(f"{path}/result")
    assert (early.status_code, early.json()["code"]) == (404, "RESOURCE_NOT_FOUND")
    clock.advance(5)
    assert client.get(path).json()["data"][0]["result"] == {
        "page": 1,
        "per_page": 200_000,
        "count": 250,
        "download_url": f"{path}/result",
        "more_records": False,
    }


def test_job_details_have_the_shape_of_the_version(client):
    v2 = client.export(version="v2")
    assert v2["query"] == {"module": "Contacts", "page": 1}
    assert v2["result"]["download_url"] == f"/crm/bulk/v2/read/{v2['id']}/result"
    v3 = client.export(version="v3")
    assert v3["query"]["module"].keys() == {"id", "api_name"}


def test_job_details_repeat_criteria_with_field_ids(client):
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "Boyle"}
    repeated = client.export(criteria=criteria)["query"]["criteria"]
    assert repeated["field"]["api_name"] == "Last_Name"
    assert repeated["field"]["id"].isdigit()
    assert (repeated["comparator"], repeated["value"]) == ("equal", "Boyle")


def test_numbered_pages_cover_every_record_once(start):
    client = start(records_per_job=100)
    pages = [client.export(page=n) for n in (1, 2, 3, 4)]
    assert [d["result"]["count"] for d in pages] == [100, 100, 50, 0]
    assert [d["result"]["more_records"] for d in pages] == [True, True, False, False]
    ids = [row[0] for d in pages for row in client.rows(d)[1:]]
    assert len(ids) == len(set(ids)) == 250


def test_page_token_continues_the_query_despite_new_records(start):
    client = start(records_per_job=100)
    details = client.export(fields=["Email"])
    ids = [row[0] for row in client.rows(details)[1:]]
    while details["result"]["more_records"]:
        client.config.records["Contacts"] += 10
        token = details["result"]["next_page_token"]
        assert client.finish(details["id"])["result"]["next_page_token"] == token
        details = client.finish(job_id(client.create({"query": {"page_token": token}})))
        rows = client.rows(details)
        assert rows[0] == ["Id", "Email"]
        ids += [row[0] for row in rows[1:]]
    assert "next_page_token" not in details["result"]
    assert details["result"]["page"] == 3
    assert len(ids) == len(set(ids)) == 250


def test_job_details_have_no_page_token_before_v7(start):
    assert "next_page_token" not in start(records_per_job=100).export(version="v6")["result"]


def test_page_token_expires_after_a_day(start, clock):
    client = start(records_per_job=100, access_token_seconds=10**6)
    token = client.export()["result"]["next_page_token"]
    clock.advance(86_400)
    expired = client.create({"query": {"page_token": token}}).json()
    assert (expired["code"], expired["message"]) == ("EXPIRED_VALUE", "Page token expired")
    assert expired["details"] == {"api_name": "page_token", "json_path": "$.query.page_token"}


def all_records(client):
    header, *rows = client.rows(client.export())
    return [dict(zip(header, row, strict=True)) for row in rows]


FILTERS = {
    "equal": ({"comparator": "equal", "value": "boyle"}, "Last_Name", lambda v: v == "Boyle"),
    "not_equal": ({"comparator": "not_equal", "value": "Boyle"}, "Last_Name", lambda v: v != "Boyle"),
    "in": ({"comparator": "in", "value": ["Boyle", "김"]}, "Last_Name", lambda v: v in ("Boyle", "김")),
    "contains": ({"comparator": "contains", "value": "ar"}, "Last_Name", lambda v: "ar" in v.lower()),
    "starts_with": (
        {"comparator": "starts_with", "value": "van"},
        "Last_Name",
        lambda v: v.startswith("van"),
    ),
    "empty": ({"comparator": "equal", "value": "${EMPTY}"}, "Lead_Source", lambda v: v == ""),
    "number": (
        {"comparator": "greater_equal", "value": "200"},
        "Visits",
        lambda v: v != "" and int(v) >= 200,
    ),
    "boolean": ({"comparator": "equal", "value": True}, "Email_Opt_Out", lambda v: v == "true"),
    "between": (
        {"comparator": "between", "value": ["2015-01-01T01:00:00+05:30", "2015-01-01T01:30:00+05:30"]},
        "Created_Time",
        lambda v: "2015-01-01T01:00:00+05:30" <= v <= "2015-01-01T01:30:00+05:30",
    ),
    "date": ({"comparator": "less_than", "value": "2020-01-01"}, "Date_of_Birth", lambda v: "" < v < "2020"),
}


@pytest.mark.parametrize(("test", "name", "expected"), FILTERS.values(), ids=FILTERS.keys())
def test_criteria_filter_records(client, test, name, expected):
    matching = [r["Id"] for r in all_records(client) if expected(r[name])]
    details = client.export(fields=[name], criteria={"field": {"api_name": name}, **test})
    assert 0 < len(matching) < 250
    assert details["result"]["count"] == len(matching)
    assert [row[0] for row in client.rows(details)[1:]] == matching


def test_criteria_may_be_nested_and_name_dotted_fields(client):
    def leaf(name, value):
        return {"field": {"api_name": name}, "comparator": "equal", "value": value}

    owners = client.rows(client.export(fields=["Owner.last_name", "Email_Opt_Out"]))[1:]
    matching = [r[0] for r in owners if r[1] in ("Boyle", "Rao") and r[2] == "true"]
    either = {
        "group_operator": "or",
        "group": [leaf("Owner.last_name", "Boyle"), leaf("Owner.last_name", "Rao")],
    }
    criteria = {"group_operator": "and", "group": [either, leaf("Email_Opt_Out", "true")]}
    rows = client.rows(client.export(criteria=criteria))[1:]
    assert [row[0] for row in rows] == matching
    assert matching


def test_job_without_matching_records_completes_with_a_header(client):
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "Nobody"}
    details = client.export(criteria=criteria)
    assert (details["result"]["count"], details["result"]["more_records"]) == (0, False)
    assert len(client.rows(details)) == 1


def test_custom_view_and_criteria_both_apply(start):
    criteria = {"field": {"api_name": "Email_Opt_Out"}, "comparator": "equal", "value": "true"}
    client = start(custom_views={"77": {"module": "Contacts", "criteria": criteria}})
    view = client.export(cvid="77")["result"]["count"]
    name = {"field": {"api_name": "Visits"}, "comparator": "less_than", "value": "200"}
    assert 0 < client.export(cvid="77", criteria=name)["result"]["count"] < view < 250


def test_result_expires_after_a_day(start, clock):
    client = start(access_token_seconds=10**6, result_gone_status=400)
    path = client.export()["result"]["download_url"]
    clock.advance(86_399)
    assert client.get(path).status_code == 200
    clock.advance(1)
    assert client.get(path).status_code == 400


def test_eleventh_download_of_a_minute_is_refused(start, clock):
    client = start()
    path = client.export()["result"]["download_url"]
    statuses = [client.get(path).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    clock.advance(60)
    assert client.get(path).status_code == 200


def test_events_are_exported_as_ics(start):
    client = start(ics_records_per_job=15)
    body = {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"}
    details = client.finish(job_id(client.create(body)))
    assert (details["file_type"], details["result"]["per_page"]) == ("ics", 15)
    assert (details["result"]["count"], details["result"]["more_records"]) == (15, True)
    archive = client.get(details["result"]["download_url"]).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.read(f"{details['id']}.ics").count(b"BEGIN:VEVENT\r\n") == 15


def test_ics_export_continues_with_the_page_token(start):
    client = start(ics_records_per_job=19)
    body = {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"}
    first = client.finish(job_id(client.create(body)))
    assert (first["result"]["count"], first["result"]["more_records"]) == (19, True)
    token = {"query": {"page_token": first["result"]["next_page_token"]}}
    second = client.finish(job_id(client.create(token)))
    assert (second["file_type"], second["result"]["count"], second["result"]["page"]) == ("ics", 1, 2)
    assert client.export("Events")["result"]["count"] == 20


def test_job_costs_fifty_credits(start):
    client = start(credits=52)
    assert client.create(CREATE).status_code == 201
    assert client.create(CREATE).status_code == 429
    assert client.get("/crm/v2/Deals").headers["X-API-CREDITS-REMAINING"] == "1"


def test_job_of_a_page_token_can_lack_its_page_number(start):
    client = start(records_per_job=100, bulk_page_of_token=False)
    first = client.export()
    body = {"query": {"page_token": first["result"]["next_page_token"]}}
    second = client.finish(client.create(body).json()["data"][0]["details"]["id"])
    assert first["query"]["page"] == 1
    assert "page" not in second["query"]
    assert second["result"]["page"] == 1
