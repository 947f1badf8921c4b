"""`local logs`: lines of JSON become lines that a person can read."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from local.host.processes import LocalStackError
from local.logs import Entry, formatted, in_order, logs, mentions, read_entries

LINE = {
    "level": "ERROR",
    "location": "_store:1",
    "message": "export failed",
    "timestamp": "2026-11-26 14:40:45,988+0000",
    "service": "result-downloader",
    "cold_start": True,
    "function_name": "stack-ResultDownloader-1",
    "function_request_id": "ac5526ce-a37a-4bc4-9293-269c4a641411",
    "export_id": "E1",
    "part": 1,
    "reason": "Zoho said no.",
}


def lines(*entries: object) -> list[tuple[str, str]]:
    return [("ResultDownloader", item if isinstance(item, str) else json.dumps(item)) for item in entries]


def test_entry_has_time_function_level_message_and_pairs():
    (entry,) = read_entries(lines(LINE))
    time, rest = formatted(entry, None, False).split(maxsplit=1)
    assert time.endswith(":45.988")
    assert " ".join(rest.split()) == (
        'ResultDownloader ERROR export failed export_id=E1 part=1 reason="Zoho said no." '
        "request_id=ac5526ce-a37a-4bc4-9293-269c4a641411"
    )


def test_no_line_is_wider_than_the_terminal():
    entries = read_entries(lines({**LINE, "message": "word " * 30, "reason": "word " * 30}))
    text = formatted(entries[0], 80, False)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) > 4


def test_colours_are_for_terminals_only():
    (entry,) = read_entries(lines(LINE))
    assert "\x1b" not in formatted(entry, 80, False)
    assert formatted(entry, 80, True).startswith("\x1b[31m")


def test_metrics_and_successes_are_left_out_and_failures_are_not():
    failed = "REPORT RequestId: r\tDuration: 5.00 ms\tStatus: timeout"
    found = read_entries(
        lines(
            "START RequestId: r Version: $LATEST",
            {"_aws": {}, "Failed": [1]},
            LINE,
            "Traceback (most recent call last):",
            "END RequestId: r",
            "REPORT RequestId: r\tDuration: 5.00 ms",
            failed,
        )
    )
    assert [entry.message for entry in found] == [
        "export failed",
        "Traceback (most recent call last):",
        failed.replace("\t", "  "),
    ]
    assert [entry.level for entry in found] == ["ERROR", "", "ERROR"]
    assert {entry.moment for entry in found} == {LINE["timestamp"]}


def test_traceback_of_an_exception_is_printed():
    (entry,) = read_entries(lines({**LINE, "exception": "Traceback\n  File x\nValueError: no"}))
    assert formatted(entry, 80, False).endswith("ValueError: no")
    assert "Traceback" in formatted(entry, 80, False)


def test_entries_of_all_functions_are_in_the_order_of_time():
    early, late = Entry("A", "late", "2026-11-26 14:40:46"), Entry("B", "early", "2026-11-26 14:40:45")
    assert in_order([early, late]) == [late, early]


@pytest.mark.parametrize(("export_id", "found"), [("E1", True), ("E2", False)])
def test_entry_is_about_the_export_that_it_names(export_id, found):
    (entry,) = read_entries(lines(LINE))
    assert mentions(entry, export_id) is found


def options(state_file: Path, export: str | None = None) -> Namespace:
    return Namespace(state_file=state_file, export=export, follow=False)


def test_command_prints_the_lines_of_one_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "logs-mine"
    folder.mkdir()
    other = {**LINE, "export_id": "E2", "message": "another"}
    (folder / "ResultDownloader.log").write_text("".join(f"{json.dumps(item)}\n" for item in (LINE, other)))
    assert logs(options(tmp_path / "mine.json", "E1")) == 0
    assert "export failed" in (output := capsys.readouterr().out)
    assert "another" not in output
    assert logs(options(tmp_path / "mine.json")) == 0
    assert "another" in capsys.readouterr().out


def test_command_without_logs_says_where_it_looked(tmp_path: Path):
    with pytest.raises(LocalStackError, match=f"no logs in {tmp_path / 'logs'}"):
        logs(options(tmp_path / "stack.json"))
