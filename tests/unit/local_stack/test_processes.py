"""Nothing the stack starts outlives it, however it ends; the state file tells the truth."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.__main__ import main
from local.stack.errors import StartError, StateError
from local.stack.logs import read_new_lines
from local.stack.processes import REPOSITORY, Child
from local.stack.state import State, read_state, running_state

pytestmark = pytest.mark.process

STATE = State(
    api_url="http://127.0.0.1:1",
    aws_endpoint_url="http://127.0.0.1:2",
    region="us-east-1",
    results_bucket="b",
    exports_table="t",
    zoho_url="http://127.0.0.1:3",
    token="x",
    queues={},
    functions={},
    outputs={},
    control_url="http://127.0.0.1:9/none",
    logs="/nowhere",
    pid=1,
)


def ended(pid: int) -> bool:
    for _ in range(100):
        found = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if not found.stdout.strip() or found.stdout.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from local.stack.processes import Child; "
        f"print(Child('local.stack.aws_server', log=Path({str(tmp_path / 'aws.log')!r})).pid, flush=True); "
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    assert ended(child)


def test_a_child_that_ends_at_once_is_told_with_what_it_said(tmp_path: Path) -> None:
    child = Child("no_such_module", log=tmp_path / "no.log")
    with pytest.raises(StartError, match="No module named no_such_module"):
        child.wait_for_url()
    child.stop()


def test_the_state_file_is_for_its_owner_only_and_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "stack.json"
    STATE.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_state(path) == STATE
    assert [item.name for item in path.parent.iterdir()] == ["stack.json"]


def test_a_stale_state_file_is_no_running_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    assert running_state(path) is None
    STATE.write(path)
    assert running_state(path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_file_that_is_not_a_state_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(content)
    with pytest.raises(StateError, match="not a state file"):
        read_state(path)


def test_only_whole_new_lines_of_a_log_are_read(tmp_path: Path) -> None:
    path, read = tmp_path / "f.log", {}
    assert read_new_lines(path, read) == []
    path.write_text("one\ntwo\nthr")
    assert read_new_lines(path, read) == ["one", "two"]
    path.write_text("one\ntwo\nthree\n")
    assert read_new_lines(path, read) == ["three"]


def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "local", *arguments],
        cwd=REPOSITORY,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["token", "--account", "a", "--owner", "o"], "there is no running stack behind"),
        (["invoke", "F", "--event", "-"], "is not JSON"),
        (["invoke", "F", "--event", "/nowhere.json"], "cannot be read"),
        (["up", "--zoho", "http://127.0.0.1:9", "--parameter", "Nope=1"], "there is no parameter Nope"),
    ],
)
def test_a_command_that_cannot_work_says_why_and_fails(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run(*arguments, "--state-file", str(tmp_path / "s.json"), stdin="{")
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_claim_without_a_value_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["token", "--account", "a", "--owner", "o", "--claim", "x"])
    assert "'x' is not NAME=VALUE" in capsys.readouterr().err


def test_the_state_file_has_the_fields_design_md_names(tmp_path: Path) -> None:
    STATE.write(tmp_path / "s.json")
    named = {"api_url", "aws_endpoint_url", "region", "results_bucket", "exports_table", "zoho_url", "token"}
    assert named | {"queues", "functions"} <= set(json.loads((tmp_path / "s.json").read_text()))
