"""Records that change while they are read, by control or by fault, and how paging takes it."""

import pytest

PATH = "/crm/v8/Contacts?fields=Modified_Time&per_page=50&sort_order=asc"


def change(client, module="Contacts", **what):
    answer = client.request("POST", f"/__sim__/data/{module}", json=what)
    assert answer.status_code == 200, answer.text
    return answer.json()


def page(client, path, token=None):
    return client.get(path + (f"&page_token={token}" if token else "")).json()


def ids_of(document):
    return [record["id"] for record in document["data"]]


def all_ids(client, path, after_page=None, action=None):
    """Every id that paging by token gives; `action` runs after that page."""
    seen, token, number = [], None, 0
    while number == 0 or token:
        document = page(client, path, token)
        seen += ids_of(document)
        token, number = document["info"]["next_page_token"], number + 1
        if number == after_page:
            action()
    return seen


def bulk_rows(client, detail):
    header, *rows = client.rows(detail)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_modified_records_have_a_new_time_everywhere(client):
    chosen = ids_of(page(client, PATH))[3:5]
    done = change(client, modify=chosen)
    assert done["modified"] == chosen
    record = client.get(f"/crm/v8/Contacts/{chosen[0]}").json()["data"][0]
    assert record["Modified_Time"] == done["time"]
    rows = bulk_rows(client, client.export(fields=["Modified_Time"]))
    assert [i for i, row in rows.items() if row["Modified_Time"] == done["time"]] == chosen
    newest = {"field": {"api_name": "Modified_Time"}, "comparator": "greater_equal", "value": done["time"]}
    assert client.export(criteria=newest)["result"]["count"] == 2


def test_modified_records_move_to_the_end_and_are_met_again(client):
    path = PATH + "&sort_by=Modified_Time"
    first = ids_of(page(client, path))
    seen = all_ids(client, path, 2, lambda: change(client, modify=first[:3]))
    assert len(set(seen)) == 250
    assert seen[-3:] == sorted(first[:3])
    assert len(seen) == 253


def test_changes_of_one_second_keep_their_order(start, clock):
    client = start(clock=clock)
    ids = ids_of(page(client, PATH))
    for record_id in reversed(ids[:3]):
        change(client, modify=[record_id])
    newest_first = PATH.replace("asc", "desc") + "&sort_by=Modified_Time"
    assert ids_of(page(client, newest_first))[:3] == ids[:3]


def test_deletion_behind_the_reader_loses_nothing_with_a_cursor_and_records_when_counting(start):
    by_cursor, by_offset = start(), start(records_paging="offset")
    losses = []
    for client in (by_cursor, by_offset):
        everyone = set(all_ids(client, PATH))
        gone = set()
        seen = all_ids(
            client, PATH, 2, lambda client=client, gone=gone: gone.update(change(client, delete=4)["deleted"])
        )
        losses.append(everyone - set(seen))
        assert gone <= set(seen)
    assert losses[0] == set()
    assert len(losses[1]) == 4


def test_deleted_records_are_gone_from_lists_exports_and_single_reads(client):
    gone = change(client, delete=2)["deleted"]
    assert not set(gone) & set(all_ids(client, PATH))
    detail = client.export()
    assert detail["result"]["count"] == 248
    assert not set(gone) & bulk_rows(client, detail).keys()
    assert client.get(f"/crm/v2/Contacts/{gone[0]}").status_code == 204
    assert client.get(f"/crm/v8/Contacts?fields=Email&ids={','.join(gone)}").status_code == 204
    assert {row["id"] for row in client.get("/crm/v8/Contacts/deleted").json()["data"]} >= set(gone)


def test_created_records_are_the_newest(client):
    made = change(client, create=2)
    newest = client.get("/crm/v8/Contacts?fields=Created_Time,Modified_Time&per_page=2").json()["data"]
    assert [record["id"] for record in newest] == made["created"][::-1]
    assert {record["Created_Time"] for record in newest} == {made["time"]}
    since = {"If-Modified-Since": made["time"]}
    assert client.get("/crm/v8/Contacts?fields=Email", headers=since).status_code == 304
    change(client, modify=1)
    assert client.get("/crm/v8/Contacts?fields=Email", headers=since).json()["info"]["count"] == 1


def test_page_token_of_bulk_read_holds_its_snapshot_and_page_numbers_do_not(start):
    client = start(records_per_job=100)
    everyone = set(all_ids(client, PATH))
    by_token, by_page = client.export(), client.export()
    change(client, delete=5, create=5)
    seen = set(bulk_rows(client, by_token))
    while by_token["result"]["more_records"]:
        body = {"query": {"page_token": by_token["result"]["next_page_token"]}}
        job = client.create(body).json()["data"][0]["details"]["id"]
        by_token = client.finish(job)
        seen |= bulk_rows(client, by_token).keys()
    assert seen == everyone
    counted = bulk_rows(client, by_page).keys() | bulk_rows(client, client.export(page=2)).keys()
    counted |= bulk_rows(client, client.export(page=3)).keys()
    assert len(everyone - counted) == 5


def test_a_fault_changes_records_between_two_pages(client):
    fault = {"path": "/crm/v8/Contacts$", "nth": 1, "change": {"Contacts": {"delete": 1, "create": 3}}}
    client.simulator.fault(**fault)
    assert len(all_ids(client, PATH)) == 253
    assert client.simulator.config.records["Contacts"] == 253


def test_digest_follows_the_changes(client):
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
def test_senseless_changes_are_refused_and_change_nothing(client, module, body):
    answer = client.request("POST", f"/__sim__/data/{module}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.export()["result"]["count"] == 250


def test_previous_page_tokens_lead_back(client):
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
    client = start(clock=clock, in_progress_seconds=5)
    job = client.create({"query": {"module": {"api_name": "Contacts"}}}).json()["data"][0]["details"]["id"]
    assert client.request("DELETE", "/__sim__/results").json() == {"expired": 0}
    clock.now += 5
    assert client.get(f"/crm/bulk/v8/read/{job}/result").status_code == 200
    assert client.request("DELETE", "/__sim__/results").json() == {"expired": 1}
    gone = client.get(f"/crm/bulk/v8/read/{job}/result")
    assert (gone.status_code, gone.json()["code"]) == (404, "RESOURCE_NOT_FOUND")


def test_a_page_far_into_many_records_is_no_scan(start, monkeypatch):
    client = start(records={"Contacts": 300_000})
    path = "/crm/v8/Contacts?fields=Email&sort_by=Modified_Time&sort_order=asc"
    token = page(client, path)["info"]["next_page_token"]

    def scan(*_):
        raise AssertionError("the module is read through again")

    monkeypatch.setattr("zoho_simulator.listing.Listings._scan", scan)
    assert page(client, path, token)["info"]["count"] == 200
    assert client.get("/crm/v2/Contacts?page=1400").json()["info"]["more_records"] is True
