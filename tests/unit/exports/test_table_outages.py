"""While DynamoDB fails, every method of Table raises StateUnavailable; its refusals pass unchanged."""

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from crm_export.aws.table import Table, key
from crm_export.errors import StateUnavailable
from simulation.calls import refusal

CALLS = {
    "get": lambda table: table.get(key("p", "s")),
    "query": lambda table: list(table.query("pk = :pk", {}, pk="p")),
    "query page": lambda table: table.query_page("pk = :pk", {}, pk="p"),
    "put": lambda table: table.put(key("p", "s"), "attribute_not_exists(pk)"),
    "update": lambda table: table.update(key("p", "s"), "SET a = :n1", "attribute_exists(pk)"),
    "transact": lambda table: table.transact({"Put": {"Item": key("p", "s")}}),
}


class FailingClient:
    """A boto3 client of DynamoDB each of whose calls raises an error."""

    class exceptions:
        class ConditionalCheckFailedException(Exception):
            pass

    def __init__(self, error):
        self._error = error

    def __getattr__(self, operation):
        def fail(*_, **__):
            raise self._error

        return fail

    def get_paginator(self, operation):
        return self


def table_that_raises(error):
    return Table(FailingClient(error), "exports")


def cancelled(*reasons):
    return refusal(
        "TransactionCanceledException",
        "TransactWriteItems",
        CancellationReasons=[{"Code": reason} for reason in reasons],
    )


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "outage",
    [
        refusal("ThrottlingException", "DynamoDB"),
        refusal("InternalError", "DynamoDB"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
    ],
    ids=["throttled", "5xx", "no response"],
)
def test_table_that_fails_is_unavailable(call, outage):
    with pytest.raises(StateUnavailable, match="DynamoDB is unavailable"):
        call(table_that_raises(outage))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_refusal_of_dynamodb_is_not_an_outage(call):
    with pytest.raises(ClientError, match="AccessDenied"):
        call(table_that_raises(refusal("AccessDenied", "DynamoDB")))


@pytest.mark.parametrize(
    "reason", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"]
)
def test_transaction_that_an_outage_cancels_says_nothing_about_its_conditions(reason):
    with pytest.raises(StateUnavailable):
        CALLS["transact"](table_that_raises(cancelled("None", reason)))


def test_transaction_whose_condition_does_not_hold_returns_false():
    assert CALLS["transact"](table_that_raises(cancelled("None", "ConditionalCheckFailed"))) is False
