"""What is shown of exports while they run."""

import io
import re

import pytest
from rich.console import Console

from crm_export_cli.progress import Lines, Speed, TimeLeft, about, show_table, size_of, transfer, waiting


def view(state="RUNNING", records=0, parts=(), **more):
    export = {"export_id": "e", "module": "Contacts", "state": state}
    return {**export, "records": records, "parts": list(parts), **more}


def part(
    number=1, state="SUBMITTED", waiting_for="ZOHO_JOB", until=None, *, size=None, records=None, expected=None
):
    return {
        "part": number, "state": state, "waiting_for": waiting_for, "waiting_until": until, "bytes": size,
        "records": records, "expected_records": expected,
    }  # fmt: skip


STORED = part(1, "STORED", "OTHER_PARTS", size=5_000_000)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([part()], "waiting for Zoho to prepare part 1"),
        ([STORED, part(2, "PENDING", "JOB_CREATION")], "waiting for Zoho to accept a job"),
        ([STORED, part(2, "READY", "DOWNLOAD")], "waiting to download part 2"),
        ([part(1, "STORING", None), part(2)], ""),
        (
            [part(1, "PENDING", "ZOHO_UNAVAILABLE", "2026-11-22T13:00:05.000Z")],
            "waiting after ZOHO_UNAVAILABLE until 13:00:05 UTC",
        ),
        ([STORED], ""),
    ],
)
def test_running_export_says_what_it_waits_for(parts, words):
    assert waiting(view(parts=parts)) == words
    assert waiting(view(state="COMPLETED", parts=parts)) == ""


def test_size_includes_what_is_in_transfer():
    assert size_of(view(parts=[STORED, part(2)], bytes_in_transfer=7)) == 5_000_007


def test_speed_is_that_of_the_last_seconds():
    now = [0.0]
    speed = Speed(lambda: now[0])
    assert speed.of(0) == 0.0
    now[0] = 5.0
    assert speed.of(50) == 10.0
    now[0] = 14.0
    assert speed.of(140) == 10.0
    now[0] = 30.0
    assert speed.of(140) == 0.0


def times_left(*seen):
    """Return the estimates of an export that is shown at these times, as (seconds, view)."""
    now = [0.0]
    time_left, estimates = TimeLeft(lambda: now[0]), []
    for now[0], shown in seen:
        estimates.append(time_left.of(shown))
    return estimates


def counted(records, **more):
    return view(records=records, parts=[part()], expected_records=1000, **more)


def test_time_left_follows_from_the_rate_and_counts_down_between_two_parts():
    assert times_left(
        (0, counted(0)), (50, counted(0)), (100, counted(250)), (160, counted(250)), (200, counted(750))
    ) == [None, None, 300, 240, pytest.approx(200 / 3)]


def test_time_left_counts_only_what_was_stored_while_the_command_runs():
    assert times_left((0, counted(500)), (10, counted(600)))[1] == 40


def test_time_left_is_not_shown_when_it_is_over_or_unknown():
    assert times_left((0, counted(0)), (10, counted(500)), (21, counted(500)))[2] is None
    assert times_left((0, counted(0)), (10, counted(1001)))[1] is None
    assert times_left((0, view(parts=[part()])), (10, view(records=5, parts=[part()])))[1] is None
    assert times_left((0, counted(0)), (10, counted(900)), (11, counted(900, state="FAILED")))[2] is None


def test_time_left_begins_again_with_a_restarted_export():
    seen = [(0, counted(0)), (10, counted(500)), (20, counted(0)), (30, counted(100))]
    assert times_left(*seen)[2:] == [None, 90]


def test_time_left_follows_from_the_parts_if_zoho_has_prepared_the_last_one():
    first, last = part(1, "STORED", records=100, expected=100), part(2, "READY", expected=50)
    seen = [(0, view(parts=[part(1, "READY", expected=100)])), (10, view(records=100, parts=[first, last]))]
    assert times_left(*seen)[1] == 5
    open_end = view(records=100, parts=[first, part(2)], expected_records=None)
    assert times_left(seen[0], (10, open_end))[1] is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.1, ", about 10 s left"),
        (50, ", about 50 s left"),
        (51, ", about 1 min left"),
        (3541, ", about 1 h 00 min left"),
        (7800, ", about 2 h 10 min left"),
    ],
)
def test_time_left_is_rounded(seconds, words):
    assert about(seconds) == words


def test_plain_line_has_the_time_left_which_alone_is_no_change(capsys):
    now = [0.0]
    show = Lines(lambda: now[0])
    for now[0], records in ((0, 0), (10, 250), (20, 250), (30, 500)):
        show([counted(records)])
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("part 1")[2] for line in lines] == [
        "", ", about 30 s left", ", about 30 s left"
    ]  # fmt: skip


def test_plain_lines_come_on_changes_and_at_most_every_five_seconds(capsys):
    now = [0.0]
    show = Lines(lambda: now[0])

    def printed(at, *views):
        now[0] = at
        show(list(views))
        return capsys.readouterr().err

    first = "Contacts, part 0 of 1+, 0 records, 0.0 MB, waiting for Zoho to prepare part 1\n"
    assert printed(0, view(parts=[part()])) == first
    assert printed(4.9, view(parts=[STORED, part(2)], records=9)) == ""
    second = "Contacts, part 1 of 2+, 9 records, 5.0 MB, waiting for Zoho to prepare part 2\n"
    assert printed(5, view(parts=[STORED, part(2)], records=9)) == second
    assert printed(60, view(parts=[STORED, part(2)], records=9)) == ""
    end = "Contacts, part 1 of 1, 9 records, 5.0 MB, completed\n"
    assert printed(61, view("COMPLETED", 9, [STORED])) == end


@pytest.mark.parametrize("width", [60, 80, 120])
def test_live_table_fits_into_the_terminal(width):
    console = Console(width=width, file=io.StringIO())
    long = part(1, "PENDING", "ZOHO_UNAVAILABLE", "2026-11-22T13:00:05.000Z")
    now = [0.0]
    time_left = TimeLeft(lambda: now[0])
    for now[0], records in ((0, 0), (10_000, 1_234_567)):
        shown = view(parts=[long], records=records, expected_records=9_999_999)
        table = show_table([shown], Speed(), time_left)
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    assert "19 h 40 min" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "Ctrl-C is safe" in text


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_terminal_gets_no_colours_with_no_color(capsys, monkeypatch, no_color, is_coloured):
    for name, value in {"NO_COLOR": no_color, "FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    with transfer() as show:
        show(1, 2)
    written = capsys.readouterr().err
    assert "Downloading" in written
    assert bool(re.search(r"\x1b\[[0-9;]*(?:3[0-7]|38)[;m]", written)) is is_coloured
