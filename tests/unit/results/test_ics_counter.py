"""IcsCounter counts events as if the whole file had been unfolded first, whatever the chunks are."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_export.errors import CorruptZip
from crm_export.results.counters import IcsCounter
from tests.support.zips import cut

_LINES = st.sampled_from(
    [b"BEGIN:VEVENT", b"END:VEVENT", b"begin:vevent", b"End:VEvent", b"SUMMARY:BEGIN:VEVENT", b"BEGIN:VALARM"]
    + [b"BEGIN:VE", b" VENT", b"\tVENT", b" BEGIN:VEVENT", b" ", b"", b"\xc3", b" \xa4", b"END:VEV", b" ENT"]
    + [b"X" * 31, b"X" * 32, b"X" * 40, b"BEGIN:VEVENT" + b" " * 30, b"BEGIN:VEVENT\r", b"BEGIN:VEVENT;X=1"]
)
_ENDS = st.sampled_from([b"\r\n", b"\n", b""])
EVENT = b"BEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Lunch\r\nEND:VEVENT\r\n"


def count(data: bytes, size: int):
    counter = IcsCounter()
    for chunk in cut(data, size):
        counter.feed(chunk)
    return counter.finish()


def naive(data: bytes) -> int | None:
    """Return the number of events, or None unless BEGIN and END alternate."""
    physical = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    lines = re.sub(rb"\n[ \t]", b"", b"\n".join(physical)).upper().split(b"\n")
    marks = [line for line in lines if line in (b"BEGIN:VEVENT", b"END:VEVENT")]
    alternate = marks == [b"BEGIN:VEVENT", b"END:VEVENT"] * (len(marks) // 2)
    return len(marks) // 2 if alternate else None


@given(st.lists(st.tuples(_LINES, _ENDS), max_size=12), st.integers(1, 9))
@example([(b" BEGIN:VEVENT", b"\n"), (b"END:VEVENT", b"\n")], 1)
@example([(b"", b"\n"), (b" BEGIN:VEVENT", b"\n"), (b"END:VEVENT", b"")], 1)
@example([(b"BEGIN:VEVENT\r", b"\r\n"), (b" ", b"")], 4)
@example([(b"BEGIN:VE", b"\r\n"), (b" VENT", b"\n"), (b"END:VEVENT", b"")], 3)
def test_ics_counter_agrees_with_unfolding_the_whole_file(lines, size):
    data = b"".join(line + end for line, end in lines)
    expected = naive(data)
    if expected is None:
        with pytest.raises(CorruptZip):
            count(data, size)
    else:
        assert count(data, size) == (expected, ())


@given(st.lists(st.sampled_from([*b"\r\n\t BEGIN:VEVENT\0\xff"]), max_size=60).map(bytes), st.integers(1, 9))
def test_ics_counter_counts_any_bytes_independently_of_chunks_or_refuses_them(data, size):
    for begin, end in ((b"", b""), (b"\nBEGIN:VEVENT\n", b"\nEND:VEVENT")):
        whole = begin + data + end
        try:
            expected = count(whole, len(whole) or 1)
        except CorruptZip:
            with pytest.raises(CorruptZip):
                count(whole, size)
        else:
            assert count(whole, size) == expected == (naive(whole), ())


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"", 0),
        (b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n", 0),
        (b"BEGIN:VCALENDAR\r\n" + EVENT * 3 + b"END:VCALENDAR\r\n", 3),
        (EVENT.lower().replace(b"\r", b"") * 2, 2),
        (b"BEGIN:VEVENT\nDESCRIPTION:see\n BEGIN:VEVENT\nBEGIN:VALARM\nEND:VALARM\nEND:VEVENT", 1),
        (b"BEGIN:V\r\n EVENT\r\nEND:VEVEN\r\n\tT", 1),
        (b"BEGIN:VEVENT\r\nATTACH:" + b"A" * 10_000 + b"\r\nEND:VEVENT\r\n", 1),
    ],
)
def test_ics_counter_counts_whole_content_lines(data, events, size):
    assert count(data, size) == (events, ())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (EVENT + EVENT[:-4], "ends within its event 2"),
        (b"BEGIN:VEVENT\r\n" + EVENT, "Event 1 of the calendar does not end before"),
        (EVENT + b"END:VEVENT", "After event 1, the calendar ends an event that did not begin"),
    ],
)
def test_ics_counter_refuses_events_whose_begin_and_end_do_not_alternate(data, message):
    with pytest.raises(CorruptZip, match=message):
        count(data, 4)


def test_ics_counter_with_an_endless_line_keeps_few_bytes():
    counter = IcsCounter()
    for _ in range(100):
        counter.feed(b"BEGIN:VEVENT" * 1_000)
    assert max(len(value) for value in vars(counter).values() if isinstance(value, bytes)) < 100
    assert counter.finish() == (0, ())
