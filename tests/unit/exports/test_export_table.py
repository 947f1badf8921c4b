"""What is asked of DynamoDB: every page of an answer, the state as it is now, and no error passed over."""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from crm_export.aws.export_table import DynamoExportStore, Table
from crm_export.exports.model import Part
from tests.unit.exports.conftest import EXPORT_ID


class Pages:
    """A boto3 client of DynamoDB that answers each query with an item a page."""

    def __init__(self, items):
        self._items = items
        self.asked = []

    def get_paginator(self, operation):
        assert operation == "query"
        return self

    def paginate(self, **request):
        self.asked.append(request)
        return ({"Items": [item]} for item in self._items)

    def get_item(self, **request):
        self.asked.append(request)
        return {"Item": self._items[0]}


def test_the_parts_of_all_pages_are_read_as_they_are_now(pipeline):
    export = pipeline.create()
    parts = [Part(EXPORT_ID, number, pipeline.now) for number in (1, 2, 3)]
    client = Pages([pipeline.table.part_item(part, 1) for part in parts])
    assert DynamoExportStore(client, "exports").get_parts(export) == parts
    assert client.asked[0]["ConsistentRead"] is True


def test_a_part_is_read_as_it_is_now(pipeline):
    part = Part(EXPORT_ID, 1, pipeline.now)
    client = Pages([pipeline.table.part_item(part, 1)])
    assert DynamoExportStore(client, "exports").get_part(EXPORT_ID, 1) == part
    assert client.asked[0]["ConsistentRead"] is True


def test_the_open_exports_of_all_pages_are_found():
    client = Pages([{"pk": {"S": f"EXPORT#{name}"}} for name in "abc"])
    assert list(DynamoExportStore(client, "exports").running_export_ids()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (["ConditionalCheckFailed", "None"], True),
        (["None", "ConditionalCheckFailed"], True),
        (["ThrottlingError"], False),
        ([], False),
    ],
)
def test_only_a_condition_that_does_not_hold_is_an_answer(reasons, told):
    class Client:
        def transact_write_items(self, **request):
            raise ClientError({"Error": {}, "CancellationReasons": [{"Code": one} for one in reasons]}, "x")

    table = Table(Client(), "exports")
    if told:
        assert table.transact([]) is False
    else:
        with pytest.raises(ClientError):
            table.transact([])


def test_what_is_empty_or_zero_is_kept(pipeline):
    export = pipeline.create(query={}, fields=[])
    assert (export.query, export.fields) == ({}, [])
    pipeline.stored(count=0)
    part = pipeline.part()
    assert (part.records, part.expected_records, part.more_records) == (0, 0, False)
    assert replace(part, failed_job_ids=frozenset()) == part


def test_of_a_part_written_before_there_were_strikes_all_attempts_were(pipeline):
    pipeline.create()
    assert pipeline.table.claim(pipeline.part(), "a", pipeline.now, pipeline.now)
    item = pipeline.table.items[f"EXPORT#{EXPORT_ID}", "PART#00001"]
    del item["strikes"]
    item["attempts"] = {"N": "2"}
    pipeline.table.release(pipeline.part(), "a", pipeline.now, not_before=pipeline.now, strike=True)
    assert (pipeline.part().attempts, pipeline.part().strikes) == (3, 3)
