"""What is shown of exports while they run."""

import io
import re

import pytest
from rich.console import Console

from crm_export_cli.progress import Lines, Speed, show_table, size_of, transfer, waiting


def view(state="RUNNING", records=0, parts=(), **more):
    export = {"export_id": "e", "module": "Contacts", "state": state}
    return {**export, "records": records, "parts": list(parts), **more}


def part(number=1, state="SUBMITTED", waiting_for="ZOHO_JOB", until=None, size=None):
    return {
        "part": number, "state": state, "waiting_for": waiting_for, "waiting_until": until, "bytes": size
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
    with console.capture() as captured:
        console.print(show_table([view(parts=[long], records=1_234_567)], Speed()))
    text = captured.get()
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
