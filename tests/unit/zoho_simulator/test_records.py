"""The records API, v2 and newer."""

from datetime import date

import pytest

from tests.unit.zoho_simulator.conftest import CREDENTIALS
from zoho_simulator.data.builder import first_day_before


def code(response):
    return response.status_code, response.json()["code"]


def test_v2_pages_cover_every_record_once(client):
    first = client.get("/crm/v2/Contacts?page=1&per_page=200").json()
    second = client.get("/crm/v2/Contacts?page=2&per_page=200").json()
    assert first["info"] == {"per_page": 200, "count": 200, "page": 1, "more_records": True}
    assert second["info"] == {"per_page": 200, "count": 50, "page": 2, "more_records": False}
    ids = [record["id"] for record in first["data"] + second["data"]]
    assert len(set(ids)) == 250
    assert ids == sorted(ids, reverse=True)


def test_empty_page_is_204(client):
    for path in ("/crm/v2/Tasks", "/crm/v2/Contacts?page=3", "/crm/v8/Tasks?fields=Subject"):
        response = client.get(path)
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/crm/v2/Nonsense", (400, "INVALID_MODULE")),
        ("/crm/v2/Contacts?page=0", (400, "PATTERN_NOT_MATCHED")),
        ("/crm/v2/Contacts?per_page=x", (400, "PATTERN_NOT_MATCHED")),
        ("/crm/v2/Contacts?per_page=201", (400, "LIMIT_EXCEEDED")),
        ("/crm/v8/Contacts", (400, "REQUIRED_PARAM_MISSING")),
        ("/crm/v8/Contacts?fields=" + ",".join(f"f{n}" for n in range(51)), (400, "LIMIT_EXCEEDED")),
        ("/crm/v8/Contacts?fields=Email&page=11", (400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED")),
        ("/crm/v8/Contacts?fields=Email&sort_by=Email", (400, "PATTERN_NOT_MATCHED")),
        ("/crm/v8/Contacts?fields=Email&page=1&page_token=x", (400, "AMBIGUITY_DURING_PROCESSING")),
        ("/crm/v8/Contacts?fields=Email&ids=x", (400, "PATTERN_NOT_MATCHED")),
        (
            "/crm/v8/Contacts?fields=Email&ids=" + ",".join(str(n) for n in range(101)),
            (400, "LIMIT_EXCEEDED"),
        ),
        ("/crm/v8/Contacts?fields=Email&cvid=1", (400, "INVALID_DATA")),
        ("/crm/v8/Contacts?fields=Email&cvid=1&sort_by=id", (400, "AMBIGUITY_DURING_PROCESSING")),
        ("/crm/v9/Contacts?fields=Email", (404, "API_NOT_SUPPORTED")),
        ("/crm/v2/Contacts/x/y", (404, "INVALID_URL_PATTERN")),
        ("/nonsense", (404, "INVALID_URL_PATTERN")),
    ],
)
def test_malformed_list_request_is_refused(client, path, expected):
    assert code(client.get(path)) == expected


def test_post_to_a_list_is_refused(client):
    assert code(client.request("POST", "/crm/v2/Contacts", json_body={})) == (400, "INVALID_REQUEST_METHOD")


def test_v8_page_tokens_continue_despite_new_records(client):
    path = "/crm/v8/Contacts?fields=Email&per_page=100"
    ids, token = [], ""
    for page in range(1, 4):
        response = client.get(path + (f"&page_token={token}" if token else "")).json()
        assert response["info"]["page"] == page
        ids += [record["id"] for record in response["data"]]
        token = response["info"]["next_page_token"]
        client.config.records["Contacts"] += 7
    assert token is None
    assert len(ids) == len(set(ids)) == 250


def test_page_token_is_bound_to_its_parameters_and_expires(start, clock):
    client = start(access_token_seconds=10**6)
    token = client.get("/crm/v8/Contacts?fields=Email&per_page=100").json()["info"]["next_page_token"]
    other = client.get(f"/crm/v8/Contacts?fields=Phone&page_token={token}")
    assert code(other) == (400, "TOKEN_BOUND_DATA_MISMATCH")
    clock.advance(86_400)
    expired = client.get(f"/crm/v8/Contacts?fields=Email&page_token={token}")
    assert code(expired) == (400, "EXPIRED_VALUE")


def test_page_tokens_end_at_the_cap(start):
    client = start(records_token_cap=150)
    token = client.get("/crm/v8/Contacts?fields=Email&per_page=100").json()["info"]["next_page_token"]
    refused = client.get(f"/crm/v8/Contacts?fields=Email&per_page=100&page_token={token}")
    assert code(refused) == (400, "PAGINATION_LIMIT_EXCEEDED")


def test_info_has_more_keys_in_newer_versions(client):
    v3 = client.get("/crm/v3/Contacts?fields=Email").json()["info"]
    v8 = client.get("/crm/v8/Contacts?fields=Email").json()["info"]
    assert {"call", "email", "next_page_token", "previous_page_token", "page_token_expiry"} <= v3.keys()
    assert v8.keys() - v3.keys() == {"sort_by", "sort_order"}


def test_fields_are_selected_and_lookups_are_objects(client):
    record = client.get("/crm/v8/Contacts?fields=Owner,Email").json()["data"][0]
    assert record.keys() == {"id", "Owner", "Email"}
    assert record["Owner"].keys() == {"id", "name", "email"}


def test_v2_sorts_by_any_field_in_both_orders(client):
    ids = [r["id"] for r in client.get("/crm/v2/Contacts?sort_order=asc").json()["data"]]
    assert ids == sorted(ids)
    names = [
        r["Last_Name"].casefold() for r in client.get("/crm/v2/Contacts?sort_by=Last_Name").json()["data"]
    ]
    assert names == sorted(names, reverse=True)


def test_if_modified_since_accepts_both_notations(client):
    records = client.get("/crm/v2/Contacts?sort_by=Modified_Time&sort_order=asc").json()["data"]
    moment = records[100]["Modified_Time"]
    header = {"If-Modified-Since": moment}
    newer = client.get("/crm/v2/Contacts?per_page=200", headers=header).json()
    assert 0 < newer["info"]["count"] < 250
    assert all(record["Modified_Time"] > moment for record in newer["data"])
    future = {"If-Modified-Since": "Wed, 06 Aug 2042 10:00:00 GMT"}
    assert client.get("/crm/v2/Contacts", headers=future).status_code == 304


def test_single_record_is_found_by_id(client):
    record = client.get("/crm/v2/Contacts?per_page=1").json()["data"][0]
    single = client.get(f"/crm/v8/Contacts/{record['id']}").json()["data"][0]
    assert single["Email"] == record["Email"]
    assert client.get("/crm/v2/Contacts/1").status_code == 204
    assert code(client.get("/crm/v8/Contacts/1")) == (400, "INVALID_DATA")


def test_deleted_records_are_listed_by_type(client):
    response = client.get("/crm/v8/Contacts/deleted?type=all").json()
    assert response["info"] == {"per_page": 200, "count": 12, "page": 1, "more_records": False}
    permanent = client.get("/crm/v8/Contacts/deleted?type=permanent").json()["data"]
    assert len(permanent) == 4
    assert {row["deleted_by"] for row in permanent} == {None}
    assert client.get("/crm/v8/Deals/deleted").status_code == 204


def test_notes_can_be_limited_to_administrators(start, client):
    note = client.get("/crm/v2/Notes?per_page=1").json()["data"][0]
    assert {"Note_Title", "Note_Content", "Parent_Id"} <= note.keys()
    assert code(start(notes_admin_only=True).get("/crm/v2/Notes")) == (403, "NOT_SUPPORTED")


def test_restricted_module_is_refused(start):
    refused = start(restricted_modules={"Leads"}).get("/crm/v2/Leads")
    assert code(refused) == (403, "NO_PERMISSION")
    assert refused.json()["details"] == {"permissions": ["Crm_Implied_View_Leads"]}


def test_metadata_lists_modules_and_fields(client):
    names = {m["api_name"] for m in client.get("/crm/v8/settings/modules").json()["modules"]}
    assert {"Contacts", "Notes", "Projects"} <= names
    fields = client.get("/crm/v8/settings/fields?module=Contacts").json()["fields"]
    kinds = {f["api_name"]: f["data_type"] for f in fields}
    assert kinds["Mailing_Address"] == "address"
    assert kinds["Account_Name"] == "lookup"
    assert client.get("/crm/v8/settings/fields?module=Contacts&type=unused").status_code == 204


def test_credits_are_reported_after_half_of_them_and_run_out(start, clock):
    client = start(credits=4, access_token_seconds=10**6)
    first, second = client.get("/crm/v2/Deals"), client.get("/crm/v2/Deals")
    assert "X-API-CREDITS-REMAINING" not in first.headers
    assert second.headers["X-API-CREDITS-REMAINING"] == "2"
    assert client.get("/crm/v8/Contacts/deleted").status_code == 200
    assert code(client.get("/crm/v2/Deals")) == (429, "TOO_MANY_REQUESTS")
    clock.advance(86_400)
    assert client.get("/crm/v2/Deals").status_code == 200


def test_request_beyond_the_concurrency_is_refused(start):
    assert code(start(concurrency=0).get("/crm/v2/Deals")) == (429, "TOO_MANY_REQUESTS")


def test_ids_select_records_and_are_sorted(client):
    ids = [r["id"] for r in client.get("/crm/v8/Contacts?fields=Email").json()["data"]]
    chosen = [ids[5], ids[1], ids[7], "1"]
    path = "/crm/v8/Contacts?fields=Email&ids=" + ",".join(chosen)
    assert [r["id"] for r in client.get(path).json()["data"]] == [ids[1], ids[5], ids[7]]
    assert [r["id"] for r in client.get(path + "&sort_order=asc").json()["data"]] == [ids[7], ids[5], ids[1]]
    assert client.get(path).json()["data"][0].keys() == {"id", "Email"}


def test_custom_view_has_the_same_records_in_both_apis(start):
    criteria = {"field": {"api_name": "Email_Opt_Out"}, "comparator": "equal", "value": "true"}
    client = start(custom_views={"77": {"module": "Contacts", "criteria": criteria}})
    listed = [r["id"] for r in client.get("/crm/v8/Contacts?fields=Email&cvid=77").json()["data"]]
    assert listed[::-1] == [row[0] for row in client.rows(client.export(cvid="77"))[1:]]


def test_page_token_of_another_user_is_refused(start):
    client = start(refresh_tokens={"1000.local.refresh", "1000.other"})
    token = client.get("/crm/v8/Contacts?fields=Email&per_page=100").json()["info"]["next_page_token"]
    form = {**CREDENTIALS, "refresh_token": "1000.other"}
    other = client.request("POST", "/oauth/v2/token", data=form).json()["access_token"]
    headers = {"Authorization": f"Zoho-oauthtoken {other}"}
    refused = client.get(f"/crm/v8/Contacts?fields=Email&page_token={token}", headers=headers)
    assert code(refused) == (400, "TOKEN_BOUND_DATA_MISMATCH")


def test_dotted_fields_are_ignored_unless_configured(start, client):
    path = "/crm/v8/Contacts?fields=Email,Owner.last_name,Nope"
    assert client.get(path).json()["data"][0].keys() == {"id", "Email"}
    dotted = start(records_dotted_fields=True).get(path).json()["data"][0]
    assert dotted.keys() == {"id", "Email", "Owner.last_name"}


def test_page_size_can_be_configured(start):
    client = start(records_per_page=3, records={"Contacts": 7})
    pages = [client.get(f"/crm/v2/Contacts?page={n}").json() for n in (1, 2, 3)]
    assert [page["info"]["count"] for page in pages] == [3, 3, 1]
    assert code(client.get("/crm/v2/Contacts?per_page=4")) == (400, "LIMIT_EXCEEDED")


def test_records_can_be_unsortable_by_modified_time(start):
    client = start(records_sort_by=("id", "Created_Time"))
    refused = client.get("/crm/v8/Notes?fields=Note_Title&sort_by=Modified_Time")
    assert (refused.status_code, refused.json()["code"]) == (400, "PATTERN_NOT_MATCHED")


@pytest.mark.parametrize("records", [1, 2880, 2881, 9000])
def test_records_are_dated_before_today_and_many_within_the_last_months(start, records):
    today = date(2026, 7, 1)
    first_day = str(first_day_before(today, records))
    client = start(records={"Contacts": records}, first_day=first_day)
    module = client.organisation.changes.module("Contacts")
    for column in ("Created_Time", "Modified_Time"):
        times = module.columns[column].texts(range(records))
        assert first_day <= min(times)
        assert max(times) < str(today)
    since = {"If-Modified-Since": "2026-04-01T00:00:00+05:30"}
    page = client.get("/crm/v2/Contacts", headers=since)
    assert page.status_code == (200 if records > 1 else 304)


def test_records_of_another_day_differ_in_their_times_only(start):
    records = [
        start(first_day=day).get("/crm/v2/Contacts?sort_order=asc").json()["data"][7]
        for day in ("2015-01-01", "2026-01-01")
    ]
    differing = {key for key in records[0] if records[0][key] != records[1][key]}
    assert differing == {"Created_Time", "Modified_Time"}
