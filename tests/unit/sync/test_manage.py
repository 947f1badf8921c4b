"""What a request may say about a sync, and what it changes."""

from datetime import timedelta

import pytest

from crm_export.errors import InvalidRequest, QueryRefused, RunInProgress, SyncNotFound
from crm_export.exports.model import Caller
from crm_export.sync.manage import delete_sync, find_sync, parse_sync, request_run, span_text
from tests.unit.sync.conftest import CALLER, NOON


def criteria(members):
    """Return criteria with so many members, in groups that are nested."""
    one = {"api_name": "Last_Name", "comparator": "equal", "value": "x"}
    if members == 1:
        return one
    half = members // 2
    return {"group_operator": "or", "group": [criteria(half), criteria(members - half)]}


# --- spans ---


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("15m", timedelta(minutes=15)),
        ("90m", timedelta(minutes=90)),
        ("1h", timedelta(hours=1)),
        ("720h", timedelta(days=30)),
        ("43200m", timedelta(days=30)),
        ("30d", timedelta(days=30)),
    ],
)
def test_every_is_a_number_with_a_unit(text, span):
    assert parse_sync("Contacts", {"every": text}) == {"every": span}


@pytest.mark.parametrize(
    "value",
    [
        "14m", "31d", "721h", "0m", "015m", "-1h", "1.5h", "1H", "1 h", " 1h", "1h\n", "h", "15", "", "1w",
        "never", "999999m", "99999d", "\u0661h", 15, 15.0, True, None, ["1h"], {"h": 1},
    ],
)  # fmt: skip
def test_bad_every_is_refused_with_what_is_allowed(value):
    with pytest.raises(InvalidRequest, match="from 15m to 30d") as raised:
        parse_sync("Contacts", {"every": value})
    assert raised.value.message.startswith("every is ")


@pytest.mark.parametrize(
    ("value", "span"),
    [("never", None), ("15m", timedelta(minutes=15)), ("90d", timedelta(days=90))],
)
def test_full_every_may_be_never(value, span):
    assert parse_sync("Contacts", {"full_every": value}) == {"full_every": span}


@pytest.mark.parametrize("value", ["91d", "14m", "Never", None, 0, []])
def test_bad_full_every_is_refused(value):
    with pytest.raises(InvalidRequest, match='from 15m to 90d, or "never"'):
        parse_sync("Contacts", {"full_every": value})


@pytest.mark.parametrize("text", ["15m", "90m", "1h", "23h", "1d", "30d", "90d"])
def test_span_is_shown_as_it_was_given(text):
    assert span_text(parse_sync("Contacts", {"full_every": text})["full_every"]) == text


def test_span_is_shown_in_its_largest_unit():
    assert span_text(timedelta(minutes=2880)) == "2d"
    assert span_text(None) == "never"


# --- body and query ---


@pytest.mark.parametrize("body", [{"evry": "1h"}, {"module": "Leads"}, {"due_at": "now"}])
def test_unknown_key_is_refused(body):
    with pytest.raises(InvalidRequest, match="allowed: enabled, every, full_every, query"):
        parse_sync("Contacts", body)


@pytest.mark.parametrize("value", [None, 1, "true", []])
def test_enabled_is_a_boolean(value):
    with pytest.raises(InvalidRequest, match="true or false"):
        parse_sync("Contacts", {"enabled": value})


def test_criteria_with_24_members_leave_room_for_the_window():
    query = parse_sync("Contacts", {"query": {"criteria": criteria(24)}})["query"]
    assert set(query) == {"criteria"}


@pytest.mark.parametrize("members", [25, 26])
def test_criteria_with_25_members_are_refused(members):
    with pytest.raises(QueryRefused, match=r"a sync allows 24|at most 25"):
        parse_sync("Contacts", {"query": {"criteria": criteria(members)}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["Last_Name"], ["Last_Name", "Modified_Time"]),
        (["Modified_Time", "Last_Name"], ["Modified_Time", "Last_Name"]),
        ("all", "all"),
    ],
)
def test_fields_of_a_sync_contain_modified_time(given, expected):
    assert parse_sync("Contacts", {"query": {"fields": given}})["query"]["fields"] == expected


def test_fields_with_modified_time_are_at_most_as_many_as_zoho_allows():
    """With 201 names, Zoho would export all fields."""
    names = [f"Field_{number}" for number in range(199)]
    assert len(parse_sync("Contacts", {"query": {"fields": names}})["query"]["fields"]) == 200
    with pytest.raises(QueryRefused, match="201 names"):
        parse_sync("Contacts", {"query": {"fields": [*names, "Field_199"]}})


def test_empty_fields_mean_all():
    assert parse_sync("Contacts", {"query": {"fields": []}})["query"] == {}


@pytest.mark.parametrize("query", [{"page": 2}, {"page": []}, {"page_token": "t"}, [], "all", None])
def test_query_that_no_sync_can_read_is_refused(query):
    with pytest.raises(QueryRefused):
        parse_sync("Contacts", {"query": query})


def test_query_of_notes_has_no_criteria():
    with pytest.raises(QueryRefused, match="records API"):
        parse_sync("Notes", {"query": {"criteria": criteria(1)}})


def test_query_that_is_too_large_for_the_table_is_refused():
    values = ["x" * 250] * 200
    one = {"api_name": "Last_Name", "comparator": "in", "value": values}
    group = {"group_operator": "or", "group": [one] * 3}
    assert parse_sync("Contacts", {"query": {"criteria": group}})
    with pytest.raises(QueryRefused, match="a sync allows 204800"):
        parse_sync("Contacts", {"query": {"criteria": {**group, "group": [one] * 5}}})


# --- create and change ---


def test_new_sync_is_due_at_once_with_the_defaults(world):
    sync = world.put()
    assert (sync.every, sync.full_every) == (timedelta(hours=1), timedelta(days=7))
    assert (sync.due_at, sync.revision, sync.owner) == (NOON, 0, CALLER.owner)
    assert world.put(enabled=False).due_at is None


def test_new_sync_that_is_disabled_is_not_due(world):
    assert world.put(enabled=False).due_at is None
    assert world.tick() == 0
    assert world.shown()["state"] == "DISABLED"


def test_change_keeps_what_it_does_not_name(world):
    world.put(every="15m", full_every="never", query={"cvid": "5"})
    sync = world.put(every="6h")
    assert (sync.every, sync.full_every, sync.query) == (timedelta(hours=6), None, {"cvid": "5"})
    assert sync.full_reason is None


def test_same_query_again_starts_no_full_run(synced):
    due_at = synced.sync().due_at
    sync = synced.put(query={})
    assert (sync.full_reason, sync.due_at) == (None, due_at)


def test_other_query_of_a_disabled_sync_makes_its_next_run_full(synced):
    synced.put(enabled=False)
    sync = synced.put(query={"cvid": "5"})
    assert (sync.full_reason, sync.due_at) == ("requested", None)
    assert synced.put(enabled=True).due_at == synced.now
    assert synced.run()["sync"]["reason"] == "requested"


def test_put_that_is_in_the_way_of_another_write_keeps_both(synced):
    """A tick notes that it has queued the sync between this request's read and its write."""
    synced.client.before["put_item"] = synced.tick
    sync = synced.put(every="2h")
    assert (sync.queued_at, sync.every) == (synced.now, timedelta(hours=2))


# --- find, run, delete ---


@pytest.mark.parametrize("name", ["contacts", "Contacts", "CONTACTS"])
def test_sync_is_found_by_any_spelling_of_its_type(synced, name):
    assert find_sync(synced.syncs, CALLER, name).module == "Contacts"


def test_sync_of_another_account_is_not_found(synced):
    with pytest.raises(SyncNotFound):
        find_sync(synced.syncs, Caller("acct-2", "user-1"), "contacts")
    with pytest.raises(SyncNotFound):
        delete_sync(synced.syncs, Caller("acct-2", "user-1"), "contacts")
    assert synced.sync() is not None


@pytest.mark.parametrize("body", [{"kind": "all"}, {"kind": None}, {"kind": []}, {"kind": {}}, {"now": True}])
def test_bad_request_for_a_run_is_refused(synced, body):
    with pytest.raises(InvalidRequest, match='"changes"'):
        request_run(synced.syncs, CALLER, "contacts", body)


def test_disabled_sync_may_be_run_by_request_and_stays_disabled(synced):
    synced.put(enabled=False)
    synced.run()
    assert (synced.sync().due_at, synced.shown()["state"]) == (None, "DISABLED")


def test_sync_is_deleted_while_its_run_is_open_and_created_again(synced):
    synced.request()
    delete_sync(synced.syncs, CALLER, "contacts")
    sync = synced.put()
    assert (sync.revision, sync.open_run, sync.watermark) == (0, None, None)
    synced.request()
    with pytest.raises(RunInProgress):
        synced.request()
