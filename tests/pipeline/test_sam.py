"""A stack that containers can reach, and the files that `sam local` needs to call it, or a deployed stack."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from local.cloudformation.deploy import STACK_NAME
from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack, running_stack
from tests.pipeline.test_commands import run

HOST = "127.0.0.2"  # on Linux, all of 127.0.0.0/8 is this machine
_URL_HOST = re.compile(r"http://([\w.-]+)")


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux only")
@pytest.mark.allow_hosts(["127.0.0.1", HOST])
def test_every_url_of_a_stack_with_a_host_has_this_host(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--host", HOST) as stack:
        export_id = stack.start("deals")
        export = stack.wait(export_id)
        result = run("sam", "--state-file", str(tmp_path / "stack.json"))
        told = [
            json.dumps(export),
            json.dumps(stack.zoho("GET", "jobs")),
            json.dumps(stack.sqs.list_queues()["QueueUrls"]),
            (tmp_path / "stack.json").read_text().replace(stack.state.control_url, ""),
            (tmp_path / "sam/env.json").read_text(),
        ]
    assert result.stderr == ""
    assert export["state"] == "COMPLETED"
    assert [set(_URL_HOST.findall(text)) for text in told] == [{HOST}] * len(told)


def test_sam_writes_the_variables_that_the_functions_run_with(stack: RunningStack, tmp_path: Path) -> None:
    stack.state.write(tmp_path / "stack.json")
    result = run("sam", "--state-file", str(tmp_path / "stack.json"))
    assert result.returncode == 0, result.stderr
    assert "containers cannot reach the stack at 127.0.0.1" in result.stderr
    assert yaml.safe_load((tmp_path / "sam/template.yaml").read_text())["Resources"]
    values = json.loads((tmp_path / "sam/env.json").read_text())
    assert values.keys() == stack.state.functions.keys()
    for name, variables in values.items():
        running = stack.lambda_client().get_function_configuration(FunctionName=name)["Environment"]
        assert running["Variables"].items() <= variables.items()
        assert variables["AWS_ENDPOINT_URL"] == stack.state.aws_endpoint_url


@pytest.mark.parametrize(("name", "code"), [(STACK_NAME, 0), ("no-such-stack", 1)])
def test_sam_reads_a_deployed_stack_with_the_caller_s_settings(
    stack: RunningStack, tmp_path: Path, name: str, code: int
) -> None:
    """Here moto is the AWS on which the stack is deployed."""
    caller = {
        "AWS_ENDPOINT_URL": stack.state.aws_endpoint_url,
        "AWS_DEFAULT_REGION": stack.state.region,
        "AWS_ACCESS_KEY_ID": "caller",
        "AWS_SECRET_ACCESS_KEY": "caller",
    }
    command = [sys.executable, "-m", "local", "sam", "--aws", name, "--state-file", str(tmp_path / "s.json")]
    result = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | caller, capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    if code:
        assert f"error: the stack {name} cannot be read: " in result.stderr
        return
    values = json.loads((tmp_path / "sam/env.json").read_text())
    assert values.keys() == stack.state.functions.keys()
    assert values["ResultDownloader"]["RESULTS_BUCKET"] == stack.state.results_bucket
    assert "AWS_ENDPOINT_URL" not in values["ResultDownloader"]
    assert f"--aws {name} " in result.stdout
