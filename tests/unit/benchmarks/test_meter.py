"""Counts of AWS calls in the units that AWS bills."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.meter import Meter, item_bytes, items_by_key, metrics_in


def call(meter: Meter, service: str, operation: str, params: dict[str, Any], parsed: dict[str, Any]) -> None:
    """Report a call to the meter as botocore does."""
    context: dict[str, Any] = {}
    model = SimpleNamespace(name=operation, service_model=SimpleNamespace(service_name=service))
    meter._remember(params=params, context=context)
    meter._count(model=model, parsed=parsed, context=context)


def key(sk: str) -> dict[str, Any]:
    return {"pk": {"S": "EXPORT#1"}, "sk": {"S": sk}}


@pytest.fixture
def meter() -> Meter:
    return Meter()


def test_calls_outside_counting_are_not_counted(meter: Meter):
    call(meter, "sqs", "SendMessage", {}, {})
    assert meter.units({})["dynamodb_write_unit"] == 0
    assert not meter.operations


def test_deleting_is_free_in_s3_and_reading_has_its_own_price(meter: Meter):
    with meter.counting():
        for operation in ("UploadPart", "PutObject", "ListObjectsV2", "HeadObject", "AbortMultipartUpload"):
            call(meter, "s3", operation, {}, {})
    units = meter.units({})
    assert (units["s3_write"], units["s3_read"]) == (3, 1)


def test_reads_count_by_4_kb_and_half_if_eventually_consistent(meter: Meter):
    item = {"text": {"S": "x" * 5000}}
    with meter.counting():
        call(meter, "dynamodb", "GetItem", {"ConsistentRead": True}, {"Item": item})
        call(meter, "dynamodb", "GetItem", {}, {})
        call(meter, "dynamodb", "Query", {}, {"Items": [item, item]})
    assert meter.units({})["dynamodb_read_unit"] == 2 + 0.5 + 1.5


def test_writes_count_by_kb_twice_in_transactions_and_again_for_the_index(meter: Meter):
    large = {**key("PART#00001"), "text": {"S": "x" * 1500}}
    with meter.counting():
        call(meter, "dynamodb", "UpdateItem", {"Key": key("PART#00001")}, {})
        transaction = [{"Update": {"Key": key("META")}}, {"Put": {"Item": large}}]
        call(meter, "dynamodb", "TransactWriteItems", {"TransactItems": transaction}, {})
    items = items_by_key([large, {**key("META"), "state": {"S": "RUNNING"}}])
    assert meter.units(items)["dynamodb_write_unit"] == 2 + (2 + 1) + 4


def test_item_size_is_names_and_values():
    assert item_bytes({"name": {"S": "abc"}, "n": {"N": "12"}}) == len("nameabcn") + len('"12"')


def test_metrics_are_found_among_other_lines_of_a_log():
    line = (
        '{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"N","Dimensions":[["service"]],'
        '"Metrics":[{"Name":"A"},{"Name":"B"}]}]},"A":[1],"B":[2]}'
    )
    assert len(metrics_in(f'{{"level":"INFO"}}\n{line}\n{line}\n')) == 2
