"""Child processes end with the stack, and report why they did not start."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.host.processes import REPOSITORY, Child, LocalStackError
from tests.support.processes import still_running


def test_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from local.host.processes import Child; "
        f"print(Child('zoho_simulator', log=Path({str(tmp_path / 'zoho.log')!r})).pid, flush=True); "
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    assert still_running([child]) == set()


def test_child_that_exits_at_once_is_reported_with_its_output(tmp_path: Path) -> None:
    child = Child("no_such_module", log=tmp_path / "no.log")
    with pytest.raises(LocalStackError, match="No module named no_such_module"):
        child.wait_for_url()
    child.stop()
