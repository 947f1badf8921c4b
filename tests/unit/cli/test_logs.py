"""`crm-export logs` of a stack: CloudWatch Logs by the operator's permission, or the local stack's files."""

import json

import pytest

from crm_export_cli.exits import CliError
from crm_export_cli.main import main
from crm_export_cli.stack.functions import deployed_stack
from crm_export_cli.stack.logs import stack_lines
from tests.support.operator_aws import OperatorAws


def line(moment, message, **more):
    return json.dumps(
        {"timestamp": f"2026-11-26 10:00:0{moment}", "level": "INFO", "message": message, **more}
    )


def test_lines_of_all_functions_are_sorted_and_without_those_of_lambda():
    aws = OperatorAws(missing=["ParquetWriterLogGroup"])
    aws.logs = {
        "ResultDownloader": [line(2, "part stored", export_id="e-1"), "REPORT RequestId: x"],
        "BulkReadSubmitter": [line(1, "export started", export_id="e-1"), '{"_aws": {}, "message": "m"}'],
    }
    found = stack_lines(deployed_stack("zoho-crm-export", aws.client), 1000.5, "e-1")
    assert [one["message"] for one in found] == ["export started", "part stored"]
    assert {(request["startTime"], request["filterPattern"]) for request in aws.log_requests} == {
        (1_000_500, '"e-1"')
    }


def test_refused_permission_is_an_error_with_a_remedy():
    stack = deployed_stack("zoho-crm-export", OperatorAws(refuses=["logs:FilterLogEvents"]).client)
    with pytest.raises(CliError, match="AWS refuses FilterLogEvents") as raised:
        stack_lines(stack, 0, None)
    assert "Operators" in raised.value.remedy


@pytest.fixture
def local_stack(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/ExportReconciler.log").write_text(
        f"{line(1, 'tick')}\n{line(2, 'x', export_id='e-2')}\n"
    )
    state = {
        "functions": {},
        "queues": {},
        "results_bucket": "b",
        "api_url": "",
        "region": "r",
        "logs": str(tmp_path / "logs"),
    }
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(state | {"control_url": "http://x", "aws_endpoint_url": "http://x"}))
    return ["--local", "--state-file", str(path)]


def test_log_of_the_local_stack_is_read_from_its_files(local_stack, capsys):
    assert main(["logs", "--export", "e-2", "--json", *local_stack]) == 0
    (only,) = json.loads(capsys.readouterr().out)["lines"]
    assert only["message"] == "x"
    assert main(["logs", *local_stack]) == 0
    assert "tick" in capsys.readouterr().out


def test_stack_cannot_be_followed(local_stack, capsys):
    assert main(["logs", "--follow", *local_stack]) == 2
    assert "aws logs tail" in capsys.readouterr().err
