"""How exports and parts are read from DynamoDB and written to it, besides the contract of ExportTable."""

import json
from dataclasses import MISSING, fields, replace
from datetime import timedelta

import pytest
from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from crm_export.aws.export_table import DynamoExportTable, read_export, read_part
from crm_export.aws.table import Table
from crm_export.errors import StateUnavailable
from crm_export.exports.model import DroppedField, Export, ExportState, Failure, LastError, Part, PartState
from crm_export.exports.runs import CHANGES, SCHEDULED, Drift, Link, Run, RunResult
from crm_export.exports.witness import Before, Witness
from crm_export.results.record_ids import PartIds
from crm_export.zoho.records import BY_ID, BY_MODIFIED_TIME, Cursor
from simulation.dynamodb import DynamoDb, TableData
from tests.unit.exports.conftest import BEGAN, EXPORT_ID

LATER = BEGAN + timedelta(seconds=90, milliseconds=250)
SINCE = Cursor(by_time=True, since=BEGAN, edge=("1", "2"), page_token="t")

SMALLEST_EXPORT = Export(
    EXPORT_ID, "acct-1", "user-1", "Contacts", {}, "csv", "v8", "https://x", BEGAN, LATER, BEGAN
)
FULL_EXPORT = replace(
    SMALLEST_EXPORT,
    query={"fields": "all", "criteria": {"field": {"api_name": "Größe"}, "value": 1.5}, "cvid": "1"},
    result_format="csv.gz",
    state=ExportState.FAILED,
    source="records",
    page=3,
    generation=2,
    first_part=4,
    read_order="id",
    fields=["A", "B"],
    completed_at=LATER,
    gave_up_at=LATER,
    records=7,
    failure=Failure("CODE", "message", "remedy"),
    fields_dropped=(DroppedField("C", "reason"), DroppedField("D", "reason")),
    counted_before=Before(8, "2026-11-22T13:00:00+00:00"),
    witness=Witness(8, 7, 0, 1, "explained", "why"),
    run_id="run-1",
    cleaned_at=LATER,
    sync=Run(
        CHANGES, SCHEDULED, BEGAN, BEGAN, BEGAN, Link("e", "e/manifest.json", "0" * 64), 1, 58,
        RunResult(2, "d.csv", "d.index", 3, Drift(1, 2, 3), "diff.csv"), "names",
    ),
    credits=57,
)  # fmt: skip
SMALLEST_PART = Part(EXPORT_ID, 1, BEGAN)
FULL_PART = Part(
    EXPORT_ID,
    2,
    BEGAN,
    PartState.STORED,
    page_token="t",
    cursor=SINCE,
    attempts=1,
    strikes={"X": 2},
    dead_owners=frozenset({"b", "c"}),
    last_error=LastError("X", "x", "2026-11-22T13:01:30.250Z"),
    not_before=LATER,
    lease_owner="a",
    lease_until=LATER,
    queued_at=LATER,
    failed_job_ids=frozenset({"1", "2"}),
    hinted_job_id="7",
    job_id="8",
    submitted_at=LATER,
    ready_at=LATER,
    expected_records=5,
    more_records=True,
    next_page_token="u",
    records=5,
    bytes=50,
    crc32="0000000a",
    ids=PartIds(7, 1, 2, 1, 2, "d"),
    header=("Id", "Last_Name"),
    key="k",
    stored_at=LATER,
    one_response=True,
    index="k.index",
)


@pytest.fixture
def table():
    return DynamoExportTable(DynamoDb(TableData(lambda: 0.0)), "exports")


# --- the codec ---


def test_full_examples_set_every_field():
    for full, smallest in ((FULL_EXPORT, SMALLEST_EXPORT), (FULL_PART, SMALLEST_PART)):
        optional = [field.name for field in fields(full) if field.default is not MISSING]
        assert [name for name in optional if getattr(full, name) == getattr(smallest, name)] == []


@pytest.mark.parametrize("export", [SMALLEST_EXPORT, FULL_EXPORT], ids=["smallest", "full"])
@pytest.mark.parametrize("part", [SMALLEST_PART, FULL_PART], ids=["smallest", "full"])
def test_export_and_part_are_read_back_with_every_field(table, export, part):
    table.create(export, part)
    assert table.get(EXPORT_ID) == export
    assert table.get_part(EXPORT_ID, part.part) == part


@pytest.mark.parametrize(
    "cursor",
    [
        BY_ID,
        BY_MODIFIED_TIME,
        SINCE,
        Cursor(False, page_token="t", read=9),
        Cursor(False, page_token="t", read=9, before=BY_ID, tokens=("0a", "0b"), barren=True),
        replace(SINCE, before=BY_MODIFIED_TIME),
    ],
)
def test_every_kind_of_cursor_is_read_back(table, cursor):
    table.create(SMALLEST_EXPORT, replace(SMALLEST_PART, cursor=cursor))
    assert table.get_part(EXPORT_ID, 1).cursor == cursor


def test_text_is_stored_as_it_is():
    items = TableData(lambda: 0.0)
    export = replace(SMALLEST_EXPORT, query={"cvid": "Größe", "page": 1.50})
    DynamoExportTable(DynamoDb(items), "exports").create(export, SMALLEST_PART)
    assert items.items[f"EXPORT#{EXPORT_ID}", "META"]["query"] == {"S": '{"cvid":"Größe","page":1.5}'}


def test_empty_and_zero_values_are_kept(table):
    table.create(
        replace(SMALLEST_EXPORT, fields=[], records=0),
        replace(SMALLEST_PART, expected_records=0, records=0, bytes=0, header=()),
    )
    export, part = table.get(EXPORT_ID), table.get_part(EXPORT_ID, 1)
    assert (export.query, export.fields, export.records) == ({}, [], 0)
    assert (part.expected_records, part.records, part.bytes, part.header) == (0, 0, 0, ())


def test_times_are_stored_as_strings_that_sort_and_expiry_as_epoch_seconds():
    items = TableData(lambda: 0.0)
    DynamoExportTable(DynamoDb(items), "exports").create(SMALLEST_EXPORT, SMALLEST_PART)
    for sk in ("META", "PART#00001"):
        assert items.items[f"EXPORT#{EXPORT_ID}", sk]["expires_at"] == {"N": "1795352400"}
    meta = items.items[f"EXPORT#{EXPORT_ID}", "META"]
    assert meta["requested_at"] == {"S": "2026-11-22T13:00:00.000Z"}
    assert meta["deadline_at"] == {"S": "2026-11-22T13:01:30.250Z"}
    assert "completed_at" not in meta


# --- items that version 0.1 wrote ---


def item_of(**values):
    """Return an item with these attributes."""
    return {name: TypeSerializer().serialize(value) for name, value in values.items()}


def test_export_written_by_the_previous_version_is_read():
    item = item_of(
        export_id=EXPORT_ID,
        account_id="acct-1",
        owner="user-1",
        module="Contacts",
        query=json.dumps(FULL_EXPORT.query),
        file_type="csv",
        api_version="v8",
        callback_base_url="https://x",
        requested_at="2026-11-22T13:00:00.000Z",
        deadline_at="2026-11-22T13:01:30.250Z",
        expires_at=1795352400,
        result_format="csv.gz",
        state="FAILED",
        source="records",
        page=3,
        generation=2,
        first_part=4,
        read_order="id",
        fields='["A", "B"]',
        completed_at="2026-11-22T13:01:30.250Z",
        gave_up_at="2026-11-22T13:01:30.250Z",
        records=7,
        failure='{"code": "CODE", "message": "message", "remedy": "remedy"}',
        fields_dropped='[{"field": "C", "reason": "reason"}, {"field": "D", "reason": "reason"}]',
        open="OPEN",
    )
    new = {"counted_before": None, "witness": None, "run_id": None, "cleaned_at": None, "sync": None}
    assert read_export(item) == replace(FULL_EXPORT, **new, credits=0)  # which that version did not have
    for name in ("completed_at", "gave_up_at", "records", "failure", "fields", "read_order"):
        del item[name]
    export = read_export(item | {"fields_dropped": {"S": "[]"}})
    assert (export.completed_at, export.failure, export.fields) == (None, None, None)
    assert (export.records, export.read_order, export.fields_dropped) == (None, None, ())


def test_part_written_by_the_previous_version_is_read():
    item = item_of(
        export_id=EXPORT_ID,
        part=2,
        updated_at="2026-11-22T13:00:00.000Z",
        state="STORED",
        page_token="t",
        cursor='{"since": "2026-11-22T13:00:00+00:00", "edge": ["1", "2"], "page_token": "t"}',
        attempts=1,
        strikes='{"X": 2}',
        dead_owners={"b", "c"},
        last_error='{"code": "X", "message": "x", "at": "2026-11-22T13:01:30.250Z"}',
        not_before="2026-11-22T13:01:30.250Z",
        lease_owner="a",
        lease_until="2026-11-22T13:01:30.250Z",
        queued_at="2026-11-22T13:01:30.250Z",
        failed_job_ids={"1", "2"},
        hinted_job_id="7",
        job_id="8",
        submitted_at="2026-11-22T13:01:30.250Z",
        expected_records=5,
        more_records=True,
        next_page_token="u",
        records=5,
        bytes=50,
        crc32="0000000a",
        header='["Id", "Last_Name"]',
        ids='{"count": 7, "first": "1", "last": "2", "lowest": "1", "highest": "2", "digest": "d"}',
        key="k",
        stored_at="2026-11-22T13:01:30.250Z",
        expires_at=1795352400,
    )
    assert read_part(item) == replace(FULL_PART, ready_at=None, one_response=None, index=None)


@pytest.mark.parametrize(
    ("stored", "cursor"),
    [
        ('{"page_token": "t", "read": 9}', Cursor(by_time=False, page_token="t", read=9)),
        ('{"since": "2026-11-22T13:00:00+00:00", "edge": []}', Cursor(by_time=True, since=BEGAN)),
        (
            '{"since": "2026-11-22T18:30:00+05:30", "edge": ["1"], "page_token": null}',
            Cursor(by_time=True, since=BEGAN, edge=("1",)),
        ),
    ],
)
def test_cursor_written_by_the_previous_version_is_read(stored, cursor):
    item = item_of(export_id=EXPORT_ID, part=1, updated_at="2026-11-22T13:00:00.000Z", state="PENDING")
    assert read_part(item | {"cursor": {"S": stored}}).cursor == cursor


@pytest.mark.parametrize(
    "stored", [{"strikes": {"N": "2"}, "crashes": {"N": "1"}}, {}], ids=["number", "none"]
)
def test_strikes_of_a_part_written_before_they_were_counted_by_code_are_forgotten(one_export, stored):
    item = one_export.items.items[f"EXPORT#{EXPORT_ID}", "PART#00001"]
    item.pop("strikes", None)
    item |= stored
    assert one_export.part().strikes == {}


# --- requests to DynamoDB ---


class PagesClient:
    """A boto3 client of DynamoDB that returns one item per page of a query."""

    def __init__(self, items):
        self._items = items
        self.requests = []

    def get_paginator(self, operation):
        assert operation == "query"
        return self

    def paginate(self, **request):
        self.requests.append(request)
        return ({"Items": [item]} for item in self._items)

    def get_item(self, **request):
        self.requests.append(request)
        return {"Item": self._items[0]}


@pytest.fixture
def three_parts(one_export):
    one_export.stored(1, "1", token="t")
    one_export.stored(2, "2", token="u")
    items = one_export.items.items
    client = PagesClient([items[f"EXPORT#{EXPORT_ID}", f"PART#0000{number}"] for number in (1, 2, 3)])
    return client, DynamoExportTable(client, "exports"), one_export.table.get_parts(one_export.export())


def test_parts_are_read_consistently_from_all_pages(three_parts, one_export):
    client, table, parts = three_parts
    assert table.get_parts(one_export.export()) == parts
    assert client.requests[0]["ConsistentRead"] is True


def test_part_is_read_consistently(three_parts):
    client, table, parts = three_parts
    assert table.get_part(EXPORT_ID, 1) == parts[0]
    assert client.requests[0]["ConsistentRead"] is True


def test_running_exports_are_read_from_all_pages():
    client = PagesClient([{"pk": {"S": f"EXPORT#{name}"}} for name in "abc"])
    assert list(DynamoExportTable(client, "exports").open_export_ids()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("reasons", "or_conflict", "raised"),
    [
        (["ConditionalCheckFailed", "None"], False, None),
        (["None", "ConditionalCheckFailed"], True, None),
        (["None", "TransactionConflict"], True, None),
        (["None", "TransactionConflict"], False, StateUnavailable),
        (["ThrottlingError", "None"], True, StateUnavailable),
        ([], False, ClientError),
    ],
    ids=str,
)
def test_cancelled_transaction_returns_false_only_if_a_condition_did_not_hold(reasons, or_conflict, raised):
    """Or, if the caller asks for it, in a conflict with another transaction."""

    class Client:
        def transact_write_items(self, **request):
            raise ClientError({"Error": {}, "CancellationReasons": [{"Code": one} for one in reasons]}, "x")

    table = Table(Client(), "exports")
    if raised:
        with pytest.raises(raised):
            table.transact(or_conflict=or_conflict)
    else:
        assert table.transact(or_conflict=or_conflict) is False
