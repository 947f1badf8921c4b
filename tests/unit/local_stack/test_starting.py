"""The progress of the demo's start."""

import io

import pytest
from rich.console import Console

from local.demo.starting import read_seconds, starting, time_left


@pytest.mark.parametrize(("content", "seconds"), [("2.5\n", 2.5), ("?", 6.0), (None, 6.0)])
def test_expected_duration_is_that_of_the_last_start(tmp_path, content, seconds):
    path = tmp_path / "seconds"
    if content is not None:
        path.write_text(content)
    assert read_seconds(path) == seconds


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.2, "about 3 s left"), (0.4, "almost there"), (-5.0, "almost there")]
)
def test_time_left_is_said_in_words(seconds, words):
    assert time_left(seconds) == words


def test_start_shows_its_steps_within_80_columns_and_keeps_its_duration(tmp_path):
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, color_system=None)
    with starting(console, tmp_path / "seconds") as report:
        report("translating template.yaml")
    assert "translating template.yaml" in written.getvalue()
    assert "…" not in written.getvalue()
    assert read_seconds(tmp_path / "seconds") < 6.0


def test_failed_start_does_not_change_the_expected_duration(tmp_path):
    path = tmp_path / "seconds"
    with pytest.raises(ValueError, match="no port"), starting(Console(file=io.StringIO()), path):
        raise ValueError("no port")
    assert not path.exists()
