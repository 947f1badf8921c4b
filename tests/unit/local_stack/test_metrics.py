"""Metrics: those that functions write to their logs, and those that AWS's services put."""

import json
from pathlib import Path

import pytest

from local.monitoring.metrics import emf_data, invocation_data, request_data
from local.runtime.log_files import LogFiles
from local.runtime.runtime_api import Report

EMF = {
    "_aws": {
        "Timestamp": 1795703976489,
        "CloudWatchMetrics": [
            {
                "Namespace": "N",
                "Dimensions": [["service"]],
                "Metrics": [{"Name": "Stored", "Unit": "Bytes"}, {"Name": "Failed"}],
            }
        ],
    },
    "service": "s",
    "Stored": [1.0, 2.5],
    "Failed": 1,
}


def test_log_line_in_emf_has_its_metrics():
    data = list(emf_data(json.dumps(EMF)))
    assert [(item.name, item.value, item.unit) for item in data] == [
        ("Stored", 1.0, "Bytes"),
        ("Stored", 2.5, "Bytes"),
        ("Failed", 1, "None"),
    ]
    assert {(item.namespace, item.moment) for item in data} == {("N", 1795703976.489)}
    assert data[0].entry()["Dimensions"] == [{"Name": "service", "Value": "s"}]


@pytest.mark.parametrize(
    "line", ["", "plain", '{"message": "x"}', '{"_aws": 1}', '"_aws"', '{"_aws": {"Timestamp": 1}}']
)
def test_other_log_line_has_none(line):
    assert list(emf_data(line)) == []


@pytest.mark.parametrize(("status", "errors"), [("", 0), ("error", 1), ("timeout", 1)])
def test_invocation_counts_as_an_error_if_it_failed(status, errors):
    report = Report("Worker", "r", 12.5, 128, status=status)
    data = {(item.name, *item.dimensions.items()): item.value for item in invocation_data(report, "name", 3)}
    of = ("FunctionName", "name")
    assert (data["Errors", of], data["Duration", of], data["Throttles", of]) == (errors, 12.5, 0)
    assert data[("ClaimedAccountConcurrency",)] == 3


@pytest.mark.parametrize(("status", "counts"), [(200, (0, 0)), (404, (1, 0)), (500, (0, 1)), (503, (0, 1))])
def test_response_counts_by_its_status(status, counts):
    data = {item.name: item.value for item in request_data("api", status, 4.0)}
    assert (data["4xx"], data["5xx"]) == counts
    assert (data["Count"], data["Latency"]) == (1, 4.0)


def test_log_files_are_read_as_they_grow(tmp_path: Path):
    files = LogFiles(tmp_path)
    (tmp_path / "aws.log").write_text("moto on http://127.0.0.1:1\n")
    (tmp_path / "Worker.log").write_text("one\ntw")
    assert list(files.new_lines()) == [("Worker", "one")]
    with (tmp_path / "Worker.log").open("a") as log:
        log.write("o\nthree\n")
    assert list(files.new_lines()) == [("Worker", "two"), ("Worker", "three")]
    assert list(files.new_lines()) == []
