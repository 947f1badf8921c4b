"""How many calls an export of five parts makes to the table and the queues."""

import json
from collections import Counter

import pytest

from crm_export.aws.download_budget import DynamoDownloadBudget
from crm_export.aws.export_table import DynamoExportTable
from crm_export.exports.callbacks import receive_callback, sign
from crm_export.exports.model import ExportState
from simulation.dynamodb import DynamoDb
from tests.unit.exports.conftest import OneExport, job

PARTS = 5


class CountingDynamoDb:
    """The simulation's DynamoDB, which counts its calls by operation."""

    exceptions = DynamoDb.exceptions

    def __init__(self, items):
        self._client = DynamoDb(items)
        self.calls: Counter[str] = Counter()

    def __getattr__(self, operation):
        self.calls["query" if operation == "get_paginator" else operation] += 1
        return getattr(self._client, operation)


@pytest.fixture
def calls():
    """Run an export of five parts as the functions do; return the calls to DynamoDB and the messages."""
    world = OneExport()
    client = CountingDynamoDb(world.items)
    world.table = DynamoExportTable(client, "exports")
    budget = DynamoDownloadBudget(client, "exports", PARTS)
    world.pipeline = world.replaced(table=world.table, budget=budget)
    world.start()
    for number in range(1, PARTS + 1):
        job_id = f"new-{number}"
        world.zoho.jobs[job_id] = job(job_id, 5, f"token-{number}" if number < PARTS else None)
        body = json.dumps({"data": [{"id": job_id}]}).encode()
        signature = sign(b"k" * 32, world.export_id, number)
        receive_callback(world.pipeline, world.export_id, str(number), signature, body)
        world.advance(number, world.download_queue.callbacks[-1])
        for part in world.submit_queue.parts[len(world.submit_queue.parts) - 1 :]:
            world.submit(part)
    made = Counter(client.calls)
    assert world.export().state is ExportState.COMPLETED
    return made + Counter(
        submit_messages=len(world.submit_queue.sent), download_messages=len(world.download_queue.sent)
    )


def test_export_of_five_parts_makes_few_calls(calls):
    assert calls == {
        "get_item": 11,
        "batch_get_item": 5,
        "query": 10,
        "update_item": 40,
        "put_item": 5,
        "transact_write_items": 5,
        "download_messages": 5,
    }
