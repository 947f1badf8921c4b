"""Records that change while they are read, and what paging does then."""

import pytest

PATH = "/crm/v8/Contacts?fields=Modified_Time&per_page=50&sort_order=asc"


def change(client, module="Contacts", **what):
    response = client.request("POST", f"/__sim__/data/{module}", json_body=what)
    assert response.status_code == 200, response.text
    return response.json()


def page(client, path, token=None):
    return client.get(path + (f"&page_token={token}" if token else "")).json()


def ids_of(document):
    return [record["id"] for record in document["data"]]


def all_ids(client, path, after_page=None, action=None):
    """Return every id that paging by token returns; `action` runs after the given page."""
    ids, token, number = [], None, 0
    while number == 0 or token:
        document = page(client, path, token)
        ids += ids_of(document)
        token, number = document["info"]["next_page_token"], number + 1
        if number == after_page:
            action()
    return ids


def bulk_rows(client, details):
    header, *rows = client.rows(details)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_modified_record_has_a_new_modified_time_in_both_apis(client):
    chosen = ids_of(page(client, PATH))[3:5]
    changed = change(client, modify=chosen)
    assert changed["modified"] == chosen
    record = client.get(f"/crm/v8/Contacts/{chosen[0]}").json()["data"][0]
    assert record["Modified_Time"] == changed["time"]
    rows = bulk_rows(client, client.export(fields=["Modified_Time"]))
    assert [i for i, row in rows.items() if row["Modified_Time"] == changed["time"]] == chosen
    newest = {"field": {"api_name": "Modified_Time"}, "comparator": "greater_equal", "value": changed["time"]}
    assert client.export(criteria=newest)["result"]["count"] == 2


def test_modified_records_move_to_the_end_and_are_read_again(client):
    path = PATH + "&sort_by=Modified_Time"
    first = ids_of(page(client, path))
    seen = all_ids(client, path, 2, lambda: change(client, modify=first[:3]))
    assert len(set(seen)) == 250
    assert seen[-3:] == sorted(first[:3])
    assert len(seen) == 253


def test_changes_within_one_second_keep_their_order(start, clock):
    client = start()
    ids = ids_of(page(client, PATH))
    for record_id in reversed(ids[:3]):
        change(client, modify=[record_id])
    newest_first = PATH.replace("asc", "desc") + "&sort_by=Modified_Time"
    assert ids_of(page(client, newest_first))[:3] == ids[:3]


def test_deletion_behind_the_reader_loses_records_with_offsets_but_not_with_a_cursor(start):
    by_cursor, by_offset = start(), start(records_paging="offset")
    losses = []
    for client in (by_cursor, by_offset):
        expected = set(all_ids(client, PATH))
        gone = set()
        seen = all_ids(
            client, PATH, 2, lambda client=client, gone=gone: gone.update(change(client, delete=4)["deleted"])
        )
        losses.append(expected - set(seen))
        assert gone <= set(seen)
    assert losses[0] == set()
    assert len(losses[1]) == 4


def test_deleted_records_are_missing_from_lists_exports_and_single_reads(client):
    gone = change(client, delete=2)["deleted"]
    assert not set(gone) & set(all_ids(client, PATH))
    details = client.export()
    assert details["result"]["count"] == 248
    assert not set(gone) & bulk_rows(client, details).keys()
    assert client.get(f"/crm/v2/Contacts/{gone[0]}").status_code == 204
    assert client.get(f"/crm/v8/Contacts?fields=Email&ids={','.join(gone)}").status_code == 204
    assert {row["id"] for row in client.get("/crm/v8/Contacts/deleted").json()["data"]} >= set(gone)


def test_created_records_are_the_newest(client):
    changed = change(client, create=2)
    newest = client.get("/crm/v8/Contacts?fields=Created_Time,Modified_Time&per_page=2").json()["data"]
    assert [record["id"] for record in newest] == changed["created"][::-1]
    assert {record["Created_Time"] for record in newest} == {changed["time"]}
    since = {"If-Modified-Since": changed["time"]}
    assert client.get("/crm/v8/Contacts?fields=Email", headers=since).status_code == 304
    change(client, modify=1)
    assert client.get("/crm/v8/Contacts?fields=Email", headers=since).json()["info"]["count"] == 1


def test_bulk_page_token_keeps_the_snapshot_and_page_numbers_do_not(start):
    client = start(records_per_job=100)
    expected = set(all_ids(client, PATH))
    by_token, by_page = client.export(), client.export()
    change(client, delete=5, create=5)
    seen = set(bulk_rows(client, by_token))
    while by_token["result"]["more_records"]:
        body = {"query": {"page_token": by_token["result"]["next_page_token"]}}
        job = client.create(body).json()["data"][0]["details"]["id"]
        by_token = client.finish(job)
        seen |= bulk_rows(client, by_token).keys()
    assert seen == expected
    counted = bulk_rows(client, by_page).keys() | bulk_rows(client, client.export(page=2)).keys()
    counted |= bulk_rows(client, client.export(page=3)).keys()
    assert len(expected - counted) == 5


def test_fault_changes_records_between_two_pages(client):
    fault = {"path": "/crm/v8/Contacts$", "nth": 1, "change": {"Contacts": {"delete": 1, "create": 3}}}
    client.fault(**fault)
    assert len(all_ids(client, PATH)) == 253
    assert client.config.records["Contacts"] == 253


def test_digest_includes_the_changes(client):
    change(client, delete=3)
    assert client.get("/__sim__/data/Contacts/digest").json()["count"] == 247
    assert client.get("/__sim__/data/Contacts/digest?from=2&to=10").json()["count"] == 7


@pytest.mark.parametrize(
    ("module", "body"),
    [
        ("Nope", {"create": 1}),
        ("Users", {"create": 1}),
        ("Contacts", {}),
        ("Contacts", {"update": 1}),
        ("Contacts", {"create": ["1"]}),
        ("Contacts", {"modify": -1}),
        ("Contacts", {"delete": True}),
        ("Contacts", {"modify": ["1"]}),
        ("Contacts", {"delete": ["nonsense"]}),
    ],
)
def test_malformed_change_is_refused_and_changes_nothing(client, module, body):
    response = client.request("POST", f"/__sim__/data/{module}", json_body=body)
    assert response.status_code == 400
    assert response.json()["error"]
    assert client.export()["result"]["count"] == 250


def test_previous_page_token_leads_back(client):
    first = page(client, PATH)
    second = page(client, PATH, first["info"]["next_page_token"])
    third = page(client, PATH, second["info"]["next_page_token"])
    back = page(client, PATH, third["info"]["previous_page_token"])
    assert (back["info"]["page"], ids_of(back)) == (2, ids_of(second))
    assert ids_of(page(client, PATH, back["info"]["previous_page_token"])) == ids_of(first)


def test_all_page_tokens_can_be_expired_at_once(start):
    client = start(records_per_job=100)
    bulk = client.export()["result"]["next_page_token"]
    records = page(client, PATH)["info"]["next_page_token"]
    assert client.request("DELETE", "/__sim__/page_tokens").json()["expired"] >= 2
    assert client.create({"query": {"page_token": bulk}}).json()["code"] == "EXPIRED_VALUE"
    assert page(client, PATH, records)["code"] == "EXPIRED_VALUE"
    fresh = page(client, PATH)["info"]["next_page_token"]
    assert len(page(client, PATH, fresh)["data"]) == 50


def test_results_can_be_expired_at_once(start, clock):
    client = start(in_progress_seconds=5)
    job = client.create({"query": {"module": {"api_name": "Contacts"}}}).json()["data"][0]["details"]["id"]
    assert client.request("DELETE", "/__sim__/results").json() == {"expired": 0}
    clock.advance(5)
    assert client.get(f"/crm/bulk/v8/read/{job}/result").status_code == 200
    assert client.request("DELETE", "/__sim__/results").json() == {"expired": 1}
    gone = client.get(f"/crm/bulk/v8/read/{job}/result")
    assert (gone.status_code, gone.json()["code"]) == (404, "RESOURCE_NOT_FOUND")


def test_later_page_of_a_large_module_needs_no_scan(start, monkeypatch):
    client = start(records={"Contacts": 20_000})
    path = "/crm/v8/Contacts?fields=Email&sort_by=Modified_Time&sort_order=asc"
    token = page(client, path)["info"]["next_page_token"]

    def scan(*_):
        raise AssertionError("the module is scanned again")

    monkeypatch.setattr("zoho_simulator.records.order._scan", scan)
    assert page(client, path, token)["info"]["count"] == 200
    assert client.get("/crm/v2/Contacts?page=90").json()["info"]["more_records"] is True


def test_page_token_of_a_snapshot_lists_the_module_as_it_was(start):
    client = start(records_paging="snapshot")
    path = PATH + "&sort_by=Modified_Time"
    expected = set(all_ids(client, path))
    seen = all_ids(client, path, 1, lambda: change(client, create=2, modify=3, delete=4))
    assert len(seen) == len(expected)
    assert set(seen) == expected


def test_snapshot_lists_records_of_one_time_in_any_order(start):
    client = start(records_paging="snapshot", records={"Contacts": 40})
    change(client, modify=40)
    path = PATH + "&sort_by=Modified_Time"
    first, second = all_ids(client, path), all_ids(client, path)
    assert first != second
    assert set(first) == set(second)


def test_modified_since_can_include_the_moment_itself(start):
    client = start(records_since_inclusive=True)
    changed = change(client, modify=3)
    since = {"If-Modified-Since": changed["time"]}
    assert client.get(PATH, headers=since).json()["info"]["count"] == 3


def test_lifetime_of_a_bulk_page_token_starts_at_the_end_of_the_job(start, clock):
    client = start(records_per_job=100, page_token_seconds=60)
    job = client.create({"query": {"module": {"api_name": "Contacts"}}}).json()["data"][0]["details"]["id"]
    clock.advance(61)
    token = client.finish(job)["result"]["next_page_token"]
    assert client.create({"query": {"page_token": token}}).json()["code"] == "EXPIRED_VALUE"
