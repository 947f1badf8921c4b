"""Which processes of a folder are alive."""

import subprocess
import sys

import pytest

from crm_export_cli.folder.locks import Processes


def test_process_is_alive_until_it_is_closed(tmp_path):
    with Processes(tmp_path) as first, Processes(tmp_path) as second:
        assert first.is_alive(first.own)
        assert first.is_alive(second.own)
        assert second.is_alive(first.own)
        second.close()
        assert not first.is_alive(second.own)
        assert not second.is_alive(second.own)
    assert list(tmp_path.iterdir()) == []


def test_unknown_process_is_dead(tmp_path):
    with Processes(tmp_path) as processes:
        assert not processes.is_alive("0123456789abcdef")


@pytest.mark.process
def test_killed_process_is_dead_at_once_and_its_file_is_swept(tmp_path):
    program = (
        "import sys, pathlib; from crm_export_cli.folder.locks import Processes; "
        "print(Processes(pathlib.Path(sys.argv[1])).own, flush=True); sys.stdin.read()"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child,
        Processes(tmp_path) as processes,
    ):
        other = child.stdout.readline().strip()
        assert processes.is_alive(other)
        child.kill()
        child.wait()
        with Processes(tmp_path):
            assert [path.stem for path in tmp_path.iterdir()].count(other) == 0
        assert not processes.is_alive(other)
