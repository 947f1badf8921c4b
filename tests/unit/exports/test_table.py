"""Requests to DynamoDB: each names its table, and numbers are sent as numbers."""

import pytest

from crm_export.aws.table import Table, attribute, key, size_of


class RecordingClient:
    """A boto3 client of DynamoDB that keeps the last request."""

    class exceptions:
        class ConditionalCheckFailedException(Exception):
            pass

    def __getattr__(self, operation):
        return lambda **request: self.__dict__.update(request=request) or {}


@pytest.mark.parametrize(
    "call",
    [
        lambda table: table.get(key("p", "s")),
        lambda table: table.query_page("pk = :pk", {}, pk="p"),
        lambda table: table.put(key("p", "s"), "attribute_not_exists(pk)"),
        lambda table: table.update(key("p", "s"), "SET a = :n1", "attribute_exists(pk)"),
    ],
    ids=["get", "query", "put", "update"],
)
def test_request_names_its_table(call):
    client = RecordingClient()
    call(Table(client, "exports"))
    assert client.request["TableName"] == "exports"


def test_item_is_read_consistently():
    client = RecordingClient()
    assert Table(client, "exports").get(key("p", "s")) is None
    assert client.request["ConsistentRead"] is True


def test_float_is_sent_as_a_number():
    assert attribute(1.5) == {"N": "1.5"}


@pytest.mark.parametrize(
    ("value", "size"),
    [("", 0), ("abc", 3), ("я", 2), ("😀", 4), (True, 1), (None, 1), (12345, 4), ({"ab", "я"}, 4)],
)
def test_size_counts_the_bytes_of_names_and_values(value, size):
    assert size_of({"name": attribute(value), "имя": attribute("x")}) == 4 + size + 6 + 1
