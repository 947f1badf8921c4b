"""The state file of a running stack, and a malformed option."""

import json
from pathlib import Path

import pytest

from local.__main__ import main
from local.host.processes import LocalStackError
from local.state import State, read_state, running_state

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


def test_state_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "stack.json"
    STATE.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_state(path) == STATE
    assert [item.name for item in path.parent.iterdir()] == ["stack.json"]


def test_state_file_has_the_fields_that_design_md_names(tmp_path: Path) -> None:
    STATE.write(tmp_path / "s.json")
    named = {"api_url", "aws_endpoint_url", "region", "results_bucket", "exports_table", "zoho_url", "token"}
    assert named | {"queues", "functions"} <= set(json.loads((tmp_path / "s.json").read_text()))


def test_stale_state_file_is_not_a_running_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    assert running_state(path) is None
    STATE.write(path)
    assert running_state(path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_malformed_state_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(content)
    with pytest.raises(LocalStackError, match="not a state file"):
        read_state(path)


def test_claim_without_a_value_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["token", "--account", "a", "--owner", "o", "--claim", "x"])
    assert "'x' is not NAME=VALUE" in capsys.readouterr().err
