"""What the benchmark of a page sends and counts."""

import json

import pytest

from benchmarks.page import measure
from benchmarks.zoho_server import page


@pytest.mark.parametrize(("kind", "fields"), [("narrow", 20), ("wide", 60)])
def test_page_has_200_records_of_as_many_fields_as_its_kind(kind, fields):
    body = json.loads(page(kind))
    assert body["info"]["count"] == len(body["data"]) == 200
    assert {len(record) for record in body["data"]} == {fields}


def test_rows_take_turns_and_each_is_measured_equally_often():
    order = []
    rows = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    assert set(measure(rows, rounds=2)) == {"a", "b"}
    assert "".join(order) == "ab" + ("a" * 10 + "b" * 10) * 2
