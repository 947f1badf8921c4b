"""The other commands: invoke and token against a running stack or none, and the demo."""

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


def test_token_prints_one_the_api_accepts(stack: RunningStack, state_file: str) -> None:
    printed = run(
        "token", "--state-file", state_file, "--account", "acct-1", "--owner", "user-1"
    ).stdout.strip()
    assert stack.call("GET", "/v1/e/zoho/export/contacts?page=1&limit=1", printed).status_code == 200
    other = run("token", "--state-file", state_file, "--account", "x", "--owner", "y", "--claim", "aud=z")
    assert stack.call("GET", "/v1/e/zoho/export/contacts", other.stdout.strip()).status_code == 401


def test_invoke_uses_the_running_stack(state_file: str) -> None:
    result = run("invoke", "ExportReconciler", "--event", "-", "--state-file", state_file, stdin="{}")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"pushed": 0}
    assert "REPORT RequestId: " in result.stderr


def test_invoke_fails_when_the_function_does(state_file: str) -> None:
    result = run("invoke", "ExportHandler", "--event", "-", "--state-file", state_file, stdin="[]")
    assert result.returncode == 1
    assert "errorType" in json.loads(result.stdout)
    unknown = run("invoke", "Nobody", "--event", "-", "--state-file", state_file, stdin="{}")
    assert unknown.returncode == 1
    assert "there is no function Nobody; there are BulkReadSubmitter, " in unknown.stderr


def test_invoke_starts_a_stack_where_none_is_running(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.json")
    result = run("invoke", "ExportReconciler", "--event", "-", "--state-file", missing, stdin="{}")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"pushed": 0}


def test_the_demo_checks_itself_and_needs_no_terminal() -> None:
    result = run("demo", "--records", "700")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "700 of 700" in result.stdout
    assert "COMPLETED" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.rstrip().endswith("checks passed.")
