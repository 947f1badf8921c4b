"""The commands: invoke and token with and without a running stack, their errors, and the demo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local.host.processes import REPOSITORY
from tests.pipeline.conftest import RunningStack


def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run `python -m local`."""
    command = [sys.executable, "-m", "local", *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def state_file(stack: RunningStack, tmp_path: Path) -> str:
    """A copy of the running stack's state file."""
    stack.state.write(tmp_path / "stack.json")
    return str(tmp_path / "stack.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["token", "--account", "a", "--owner", "o"], "no running stack has the state file"),
        (["invoke", "F", "--event", "-"], "is not JSON"),
        (["invoke", "F", "--event", "/nowhere.json"], "cannot be read"),
        (["up", "--zoho", "http://127.0.0.1:9", "--parameter", "Nope=1"], "there is no parameter Nope"),
    ],
)
def test_command_that_cannot_work_fails_with_the_reason(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run(*arguments, "--state-file", str(tmp_path / "s.json"), stdin="{")
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_token_prints_a_token_that_the_api_accepts(stack: RunningStack, state_file: str) -> None:
    printed = run("token", "--state-file", state_file, "--account", "acct-1", "--owner", "user-1").stdout
    assert stack.call("GET", "/v1/e/zoho/export/contacts?page=1&limit=1", printed.strip()).status_code == 200
    other = run("token", "--state-file", state_file, "--account", "x", "--owner", "y", "--claim", "aud=z")
    assert stack.call("GET", "/v1/e/zoho/export/contacts", other.stdout.strip()).status_code == 401


def test_invoke_uses_the_running_stack(state_file: str) -> None:
    result = run("invoke", "ExportReconciler", "--event", "-", "--state-file", state_file, stdin="{}")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"pushed": 0, "syncs": 0}
    assert "REPORT RequestId: " in result.stderr


def test_invoke_fails_when_the_function_fails(state_file: str) -> None:
    result = run("invoke", "ExportHandler", "--event", "-", "--state-file", state_file, stdin="[]")
    assert result.returncode == 1
    assert "errorType" in json.loads(result.stdout)
    unknown = run("invoke", "Nobody", "--event", "-", "--state-file", state_file, stdin="{}")
    assert unknown.returncode == 1
    assert "there is no function Nobody; there are BulkReadSubmitter, " in unknown.stderr


def test_invoke_starts_a_stack_if_none_is_running(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.json")
    result = run("invoke", "ExportReconciler", "--event", "-", "--state-file", missing, stdin="{}")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"pushed": 0, "syncs": 0}


def test_demo_verifies_its_exports_without_a_terminal() -> None:
    result = run("demo", "--records", "700")
    assert result.returncode == 0, result.stdout + result.stderr
    for shown in ("700 of 700", "COMPLETED", "422", "requested twice, started once", "250 of 250"):
        assert shown in result.stdout
    assert "FAIL" not in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.rstrip().endswith("checks passed.")
