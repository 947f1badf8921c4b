"""Zoho's count of a module, its deleted records, its clock, and when changes become visible."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

COUNT, DELETED = "/crm/v8/Contacts/actions/count", "/crm/v8/Contacts/deleted"
PATH = "/crm/v8/Contacts?fields=Modified_Time&per_page=200&sort_order=asc"


def change(client, **what):
    response = client.request("POST", "/__sim__/data/Contacts", json_body=what)
    assert response.status_code == 200, response.text
    return response.json()


def count(client, criteria=""):
    return client.get(COUNT + (f"?criteria={criteria}" if criteria else "")).json()["count"]


def deleted_ids(client, query="", **more):
    response = client.get(DELETED + query, **more)
    return [row["id"] for row in response.json()["data"]] if response.status_code == 200 else []


def at(clock, **later):
    return (datetime.fromtimestamp(clock.now, UTC) + timedelta(**later)).isoformat(timespec="seconds")


def test_count_is_the_number_of_living_records(client):
    assert client.get(COUNT).json() == {"count": 250}
    change(client, create=3, delete=5)
    assert count(client) == 248


def test_count_by_created_time_counts_new_records_only(client, clock):
    since = at(clock).replace("+", "%2B")
    change(client, create=3)
    assert count(client, f"(Created_Time:greater_equal:{since})") == 3


@pytest.mark.parametrize("criteria", ["(Last_Name:equals:x)", "(Created_Time:greater_equal:yesterday)"])
def test_count_by_other_criteria_is_refused(client, criteria):
    response = client.get(f"{COUNT}?criteria={criteria}")
    assert (response.status_code, response.json()["code"]) == (400, "INVALID_QUERY")


@pytest.mark.parametrize(
    "scopes", ["ZohoCRM.modules.ALL,ZohoCRM.settings.ALL", "ZohoCRM.modules.ALL,ZohoSearch.securesearch.READ"]
)
def test_count_needs_the_scopes_of_search_and_of_layouts(start, scopes):
    response = start(scopes=scopes).get(COUNT)
    assert (response.status_code, response.json()["code"]) == (401, "OAUTH_SCOPE_MISMATCH")


@pytest.mark.parametrize("path", ["actions/count", "deleted"])
def test_notes_have_neither_a_count_nor_deleted_records(client, path):
    assert client.get(f"/crm/v8/Notes/{path}").json()["code"] == "INVALID_MODULE"


def test_count_may_lag(start, clock):
    client = start(count_lag_seconds=60)
    change(client, create=3, delete=5)
    assert count(client) == 250
    clock.advance(70)
    assert count(client) == 248


def test_deleted_records_are_recycled_or_permanent(start):
    client = start(deleted={})
    recycled, purged = change(client, delete=2)["deleted"], change(client, purge=1)["purged"]
    assert deleted_ids(client) == [*purged, *recycled[::-1]]
    assert deleted_ids(client, "?type=recycle") == recycled[::-1]
    assert deleted_ids(client, "?type=permanent") == purged
    (row,) = client.get(f"{DELETED}?type=permanent").json()["data"]
    assert (row["deleted_by"], row["display_name"], row["created_by"]) == (None, None, None)


def test_deleted_records_are_paged_and_may_come_in_any_order(start):
    client = start(deleted={}, deleted_order="any")
    gone = change(client, delete=30)["deleted"]
    pages = [deleted_ids(client, f"?page={page}&per_page=10") for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [10, 10, 10, 0]
    assert sorted(sum(pages, [])) == gone
    assert sum(pages, []) not in (gone, gone[::-1])


def test_deleted_records_may_come_in_another_order_each_time(start):
    client = start(deleted={}, deleted_order="random")
    gone = change(client, delete=30)["deleted"]
    passes = [
        sum((deleted_ids(client, f"?page={page}&per_page=10") for page in (1, 2, 3)), []) for _ in range(2)
    ]
    assert passes[0] != passes[1]
    assert sorted(passes[0]) == sorted(passes[1]) == gone


def test_deletion_while_the_list_is_read_shifts_its_pages(start):
    client = start(deleted={}, deleted_order="any")
    change(client, delete=30)
    client.fault(path="/deleted$", nth=1, change={"Contacts": {"delete": 40}})
    first = deleted_ids(client, "?per_page=15")
    second = deleted_ids(client, "?page=2&per_page=15")
    assert set(first) & set(second)  # a record comes twice, so another one does not come at all


def test_deleted_since_are_those_deleted_later(start, clock):
    client = start(deleted={})
    early = change(client, delete=1)
    clock.advance(10)
    late = change(client, delete=1)
    assert deleted_ids(client, headers={"If-Modified-Since": early["time"]}) == late["deleted"]
    assert client.get(DELETED, headers={"If-Modified-Since": late["time"]}).status_code == 304


def test_deleted_records_are_kept_for_sixty_and_then_120_days(start, clock):
    client = start(deleted={}, access_token_seconds=1e9)
    gone = change(client, delete=1)["deleted"]
    clock.advance(61 * 86_400)
    assert (deleted_ids(client, "?type=recycle"), deleted_ids(client, "?type=permanent")) == ([], gone)
    clock.advance(60 * 86_400)
    assert client.get(DELETED).status_code == 204


@pytest.mark.parametrize("moves", [False, True])
def test_restored_record_has_a_new_modified_time_or_the_old_one(start, clock, moves):
    client = start(deleted={}, restore_moves_modified_time=moves)
    before = {record["id"]: record["Modified_Time"] for record in client.get(PATH).json()["data"]}
    (gone,) = change(client, delete=1)["deleted"]
    clock.advance(60)
    restored = change(client, restore=1)
    assert restored["restored"] == [gone]
    assert (count(client), deleted_ids(client)) == (250, [])
    after = client.get(f"/crm/v8/Contacts/{gone}").json()["data"][0]["Modified_Time"]
    assert after == (restored["time"] if moves else before[gone])


def test_record_deleted_permanently_cannot_be_restored(client):
    (purged,) = change(client, purge=1)["purged"]
    response = client.request("POST", "/__sim__/data/Contacts", json_body={"restore": [purged]})
    assert response.status_code == 400


def test_record_without_modified_time_is_in_no_window(client):
    (forgotten,) = change(client, forget=1)["forgotten"]
    assert client.get(f"/crm/v8/Contacts/{forgotten}").json()["data"][0]["Modified_Time"] is None
    since = {"If-Modified-Since": "2015-01-01T00:00:00+05:30"}
    token, seen = "", []
    while token is not None:
        page = client.get(f"{PATH}{f'&page_token={token}' if token else ''}", headers=since).json()
        seen += [record["id"] for record in page["data"]]
        token = page["info"]["next_page_token"]
    assert (len(seen), forgotten in seen) == (249, False)
    rows = client.rows(client.export(fields=["Modified_Time"]))
    assert [forgotten, ""] in rows


def test_mass_update_gives_many_records_one_modified_time(start):
    client = start(records={"Contacts": 200_001})
    changed = change(client, modify=200_001)
    newest = {"field": {"api_name": "Modified_Time"}, "comparator": "equal", "value": changed["time"]}
    assert client.export(criteria=newest)["result"]["more_records"] is True


def test_changes_become_visible_later(start, clock):
    client = start(visibility_seconds=30)
    (created,) = change(client, create=1)["created"]
    modified = change(client, modify=1)
    (first,) = modified["modified"]
    assert client.export()["result"]["count"] == 250
    assert client.get(f"/crm/v8/Contacts/{created}").json()["code"] == "INVALID_DATA"
    assert client.get(f"/crm/v8/Contacts/{first}").json()["data"][0]["Modified_Time"] != modified["time"]
    clock.advance(40)
    assert client.export()["result"]["count"] == 251
    assert client.get(f"/crm/v8/Contacts/{first}").json()["data"][0]["Modified_Time"] == modified["time"]


@pytest.mark.parametrize("skew", [0, -90, 3600])
def test_zohos_clock_is_in_every_response_and_in_all_its_times(start, clock, skew):
    client = start(clock_skew_seconds=skew)
    moment = parsedate_to_datetime(client.get(COUNT).headers["Date"]).timestamp()
    assert moment == clock.now + skew
    assert datetime.fromisoformat(change(client, create=1)["time"]).timestamp() == clock.now + skew


def test_job_may_leave_out_records_of_its_file_and_of_its_count(client):
    client.fault(method="POST", path="/read$", job={"omitted_rows": 3})
    details = client.export()
    assert details["result"]["count"] == 247
    assert len(client.rows(details)) == 248  # with the header


def test_converted_leads_are_listed_only_if_they_are_asked_for(client):
    response = client.request("POST", "/__sim__/data/Leads", json_body={"convert": 2})
    converted = response.json()["converted"]

    def leads(query):
        found = client.get(f"/crm/v8/Leads?fields=$converted&per_page=200{query}").json()["data"]
        return {record["id"]: record["$converted"] for record in found}

    assert len(leads("")) == len(leads("&converted=false")) == 23
    assert leads("&converted=true") == dict.fromkeys(converted, True)
    assert len(leads("&converted=both")) == 25
    assert client.get("/crm/v8/Leads?fields=Email&converted=maybe").json()["code"] == "PATTERN_NOT_MATCHED"
    assert client.get(f"/crm/v8/Leads/{converted[0]}").status_code == 200
    assert client.export("Leads")["result"]["count"] == 25  # without a view; Zoho does not document it


def test_only_leads_can_be_converted(client):
    response = client.request("POST", "/__sim__/data/Contacts", json_body={"convert": 1})
    assert response.status_code == 400


def test_formula_drifts_without_a_new_modified_time(client, clock):
    path = "/crm/v8/Deals?fields=Expected_Revenue,Modified_Time&sort_order=asc&per_page=3"
    before = client.get(path).json()["data"]
    since = {"If-Modified-Since": at(clock)}
    drifted = client.request("POST", "/__sim__/data/Deals", json_body={"drift": 2}).json()["drifted"]
    after = client.get(path).json()["data"]
    assert [record["id"] for record in after if record not in before] == drifted
    assert [record["Modified_Time"] for record in after] == [record["Modified_Time"] for record in before]
    assert client.get(path, headers=since).status_code == 304
    header, *rows = client.rows(client.export("Deals", fields=["Expected_Revenue"]))
    assert [row[1] for row in rows[:2]] == [str(record["Expected_Revenue"]) for record in after[:2]]
    client.request("POST", "/__sim__/data/Deals", json_body={"drift": drifted[:1]})
    assert client.get(path).json()["data"][0] not in (before[0], after[0])


def test_only_formulas_drift(client):
    assert client.request("POST", "/__sim__/data/Contacts", json_body={"drift": 1}).status_code == 400


SUMMER = {"2023-03-26T01:00:00Z": 120, "2023-10-29T01:00:00Z": 60, "2024-03-31T01:00:00Z": 120}
DAY = 86_400


def offsets(client):
    """Return the offsets of the Modified_Times on the first page."""
    return {record["Modified_Time"][-6:] for record in client.get(PATH).json()["data"]}


def test_times_carry_the_offset_of_their_own_moment_across_summer_time(start, clock):
    client = start(utc_offsets=SUMMER, deleted={}, access_token_seconds=1e9, permanent_days=1000)
    winter = change(client, modify=1, delete=1)
    assert winter["time"].endswith("+01:00")
    clock.advance(150 * DAY)
    another = client.get(PATH).json()["data"][9]["id"]
    summer = change(client, create=1, delete=[another])
    assert summer["time"].endswith("+02:00")
    times = [row["deleted_time"] for row in client.get(DELETED).json()["data"]]
    assert times == [summer["time"], winter["time"]]
    shown = {record["id"]: record["Modified_Time"] for record in client.get(PATH).json()["data"]}
    assert shown[winter["modified"][0]] == winter["time"]
    rows = dict(client.rows(client.export(fields=["Modified_Time"])))
    assert rows[winter["modified"][0]] == winter["time"]
    assert rows[summer["created"][0]] == summer["time"]


def test_times_may_all_carry_the_offset_of_the_present(start, clock):
    client = start(utc_offsets=SUMMER, one_offset=True, access_token_seconds=1e9)
    winter = change(client, modify=1)
    assert offsets(client) == {"+01:00"}
    clock.advance(150 * DAY)
    assert offsets(client) == {"+02:00"}
    record = client.get(f"/crm/v8/Contacts/{winter['modified'][0]}").json()["data"][0]
    assert datetime.fromisoformat(record["Modified_Time"]) == datetime.fromisoformat(winter["time"])


def test_repeated_hour_at_the_end_of_summer_time_keeps_its_order(start, clock):
    client = start(utc_offsets=SUMMER, access_token_seconds=1e9)
    clock.now = datetime(2023, 10, 29, 0, 30, tzinfo=UTC).timestamp()
    first = change(client, modify=1)
    clock.advance(3600)
    second = change(client, create=1)
    assert (first["time"], second["time"]) == ("2023-10-29T02:30:00+02:00", "2023-10-29T02:30:00+01:00")
    since = {"If-Modified-Since": first["time"]}
    assert [row["id"] for row in client.get(PATH, headers=since).json()["data"]] == second["created"]


def test_credits_of_jobs_deletions_and_pages_run_out_together(start, clock):
    client = start(credits=106)
    client.export()
    assert "X-API-CREDITS-REMAINING" not in client.get(PATH).headers
    remaining = int(client.get(DELETED).headers["X-API-CREDITS-REMAINING"])
    assert int(client.get(PATH).headers["X-API-CREDITS-REMAINING"]) == remaining - 1
    assert int(client.get(DELETED).headers["X-API-CREDITS-REMAINING"]) == remaining - 3
