"""Jobs: states over time, pages, criteria that filter, expiry, downloads."""

import io
import zipfile

import pytest

CREATE = {"query": {"module": {"api_name": "Contacts"}}}


def job_id(answer):
    return answer.json()["data"][0]["details"]["id"]


def state(client, job):
    return client.get(f"/crm/bulk/v8/read/{job}").json()["data"][0]["state"]


def test_states_follow_the_clock(start, clock):
    client = start(clock=clock, added_seconds=1, queued_seconds=2, in_progress_seconds=4)
    job = job_id(client.create(CREATE))
    seen = []
    for _ in range(8):
        seen.append(state(client, job))
        clock.now += 1
    assert seen == ["ADDED", "QUEUED", "QUEUED", *["IN PROGRESS"] * 4, "COMPLETED"]


def test_serial_jobs_end_one_after_the_other(start, clock):
    client = start(clock=clock, serial_jobs=True, in_progress_seconds=3)
    first, second = job_id(client.create(CREATE)), job_id(client.create(CREATE))
    clock.now += 3
    assert (state(client, first), state(client, second)) == ("COMPLETED", "IN PROGRESS")
    clock.now += 3
    assert state(client, second) == "COMPLETED"


def test_status_has_a_result_only_when_completed(start, clock):
    client = start(clock=clock, in_progress_seconds=5)
    job = job_id(client.create(CREATE))
    path = f"/crm/bulk/v8/read/{job}"
    assert "result" not in client.get(path).json()["data"][0]
    early = client.get(f"{path}/result")
    assert (early.status_code, early.json()["code"]) == (404, "RESOURCE_NOT_FOUND")
    clock.now += 5
    assert client.get(path).json()["data"][0]["result"] == {
        "page": 1,
        "per_page": 200_000,
        "count": 250,
        "download_url": f"{path}/result",
        "more_records": False,
    }


def test_status_speaks_its_version(client):
    v2 = client.export(version="v2")
    assert v2["query"] == {"module": "Contacts", "page": 1}
    assert v2["result"]["download_url"] == f"/crm/bulk/v2/read/{v2['id']}/result"
    v3 = client.export(version="v3")
    assert v3["query"]["module"].keys() == {"id", "api_name"}


def test_criteria_are_echoed_with_field_ids(client):
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "Boyle"}
    echoed = client.export(criteria=criteria)["query"]["criteria"]
    assert echoed["field"]["api_name"] == "Last_Name"
    assert echoed["field"]["id"].isdigit()
    assert (echoed["comparator"], echoed["value"]) == ("equal", "Boyle")


def test_pages_by_number_neither_overlap_nor_miss(start):
    client = start(records_per_job=100)
    details = [client.export(page=n) for n in (1, 2, 3, 4)]
    assert [d["result"]["count"] for d in details] == [100, 100, 50, 0]
    assert [d["result"]["more_records"] for d in details] == [True, True, False, False]
    ids = [row[0] for d in details for row in client.rows(d)[1:]]
    assert len(ids) == len(set(ids)) == 250


def test_page_token_continues_the_same_query_over_new_records(start):
    client = start(records_per_job=100)
    detail = client.export(fields=["Email"])
    ids = [row[0] for row in client.rows(detail)[1:]]
    while detail["result"]["more_records"]:
        client.simulator.config.records["Contacts"] += 10
        token = detail["result"]["next_page_token"]
        assert client.finish(detail["id"])["result"]["next_page_token"] == token
        detail = client.finish(job_id(client.create({"query": {"page_token": token}})))
        rows = client.rows(detail)
        assert rows[0] == ["Id", "Email"]
        ids += [row[0] for row in rows[1:]]
    assert "next_page_token" not in detail["result"]
    assert detail["result"]["page"] == 3
    assert len(ids) == len(set(ids)) == 250


def test_no_page_token_before_v7(start):
    assert "next_page_token" not in start(records_per_job=100).export(version="v6")["result"]


def test_page_token_lives_a_day(start, clock):
    client = start(records_per_job=100, clock=clock, access_token_seconds=10**6)
    token = client.export()["result"]["next_page_token"]
    clock.now += 86_400
    late = client.create({"query": {"page_token": token}}).json()
    assert (late["code"], late["message"]) == ("EXPIRED_VALUE", "Page token expired")
    assert late["details"] == {"api_name": "page_token", "json_path": "$.query.page_token"}


def everyone(client):
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
    wanted = [r["Id"] for r in everyone(client) if expected(r[name])]
    detail = client.export(fields=[name], criteria={"field": {"api_name": name}, **test})
    assert 0 < len(wanted) < 250
    assert detail["result"]["count"] == len(wanted)
    assert [row[0] for row in client.rows(detail)[1:]] == wanted


def test_groups_and_dotted_fields(client):
    def leaf(name, value):
        return {"field": {"api_name": name}, "comparator": "equal", "value": value}

    owners = client.rows(client.export(fields=["Owner.last_name", "Email_Opt_Out"]))[1:]
    wanted = [r[0] for r in owners if r[1] in ("Boyle", "Rao") and r[2] == "true"]
    either = {
        "group_operator": "or",
        "group": [leaf("Owner.last_name", "Boyle"), leaf("Owner.last_name", "Rao")],
    }
    criteria = {"group_operator": "and", "group": [either, leaf("Email_Opt_Out", "true")]}
    found = client.rows(client.export(criteria=criteria))[1:]
    assert [row[0] for row in found] == wanted
    assert wanted


def test_no_match_completes_with_count_zero_and_a_header(client):
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "Nobody"}
    detail = client.export(criteria=criteria)
    assert (detail["result"]["count"], detail["result"]["more_records"]) == (0, False)
    assert len(client.rows(detail)) == 1


def test_custom_view_and_criteria_are_both_applied(start):
    criteria = {"field": {"api_name": "Email_Opt_Out"}, "comparator": "equal", "value": "true"}
    client = start(custom_views={"77": {"module": "Contacts", "criteria": criteria}})
    view = client.export(cvid="77")["result"]["count"]
    name = {"field": {"api_name": "Visits"}, "comparator": "less_than", "value": "200"}
    assert 0 < client.export(cvid="77", criteria=name)["result"]["count"] < view < 250


def test_result_is_gone_after_a_day(start, clock):
    client = start(clock=clock, access_token_seconds=10**6, result_gone_status=400)
    path = client.export()["result"]["download_url"]
    clock.now += 86_399
    assert client.get(path).status_code == 200
    clock.now += 1
    assert client.get(path).status_code == 400


def test_eleventh_download_of_a_minute_is_refused(start, clock):
    client = start(clock=clock)
    path = client.export()["result"]["download_url"]
    statuses = [client.get(path).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    clock.now += 60
    assert client.get(path).status_code == 200


def test_events_as_ics(start):
    client = start(ics_records_per_job=15)
    body = {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"}
    detail = client.finish(job_id(client.create(body)))
    assert (detail["file_type"], detail["result"]["per_page"]) == ("ics", 15)
    assert (detail["result"]["count"], detail["result"]["more_records"]) == (15, True)
    archive = client.get(detail["result"]["download_url"]).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.read(f"{detail['id']}.ics").count(b"BEGIN:VEVENT\r\n") == 15


def test_events_beyond_twenty_thousand_follow_with_the_page_token(start):
    client = start(records={"Events": 20_001})
    body = {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"}
    first = client.finish(job_id(client.create(body)))
    assert (first["result"]["count"], first["result"]["more_records"]) == (20_000, True)
    token = {"query": {"page_token": first["result"]["next_page_token"]}}
    second = client.finish(job_id(client.create(token)))
    assert (second["file_type"], second["result"]["count"], second["result"]["page"]) == ("ics", 1, 2)
    assert client.export("Events")["result"]["count"] == 20_001


def test_a_job_costs_fifty_credits(start):
    client = start(credits=52)
    assert client.create(CREATE).status_code == 201
    assert client.create(CREATE).status_code == 429
    assert client.get("/crm/v2/Deals").headers["X-API-CREDITS-REMAINING"] == "1"
