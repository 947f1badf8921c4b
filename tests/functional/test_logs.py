"""Which keys the log lines of the functions have."""

import json

import pytest

from crm_export.telemetry import logger


@pytest.fixture
def lines(caplog):
    """A function that returns all log lines of the functions so far, as they are printed."""
    caplog.set_level("INFO")
    return lambda: [
        json.loads(logger.registered_formatter.format(record))
        for record in caplog.records
        if record.name == logger.name
    ]


def test_every_line_about_an_export_names_it_its_account_and_the_request(small_jobs, lines):
    world = small_jobs
    export_id = world.start()
    (url,) = world.callback_urls()
    job = world.export(export_id)["parts"][0]["job_id"]
    world.callback(url, json.dumps({"data": [{"id": job}]}))
    assert world.finish(export_id)["state"] == "COMPLETED"
    messages = [line["message"] for line in lines()]
    assert {"export started", "job created", "callback received", "quiet part", "part stored",
            "export completed", "export announced"} <= set(messages)  # fmt: skip
    for line in lines():
        assert (line["export_id"], line["request_id"]) == (export_id, "request-1"), line
        if line["message"] != "callback received":  # the receiver may not read the table
            assert (line["account_id"], line["owner"]) == (world.account, world.owner), line
        if line["message"] in {"callback received", "part stored", "job created"}:
            assert line["part"] in {1, 2, 3}, line
            assert line["job_id"], line


def test_line_about_a_refused_request_names_the_caller_and_no_earlier_export(world, lines):
    world.start("deals")
    before = len(lines())
    world.http("ExportHandler", "GET", "/v1/e/zoho/export/invoices")
    (line,) = lines()[before:]
    assert (line["message"], line["code"]) == ("request failed", "TYPE_NOT_SUPPORTED")
    assert (line["account_id"], line["owner"], line["request_id"]) == (
        world.account,
        world.owner,
        "request-1",
    )
    assert not {"export_id", "part", "job_id"} & set(line)
