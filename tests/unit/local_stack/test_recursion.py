"""A function runs at most 16 times in one chain of messages, unless its template allows loops."""

from dataclasses import replace
from pathlib import Path

import pytest

from local.runtime.recursion import RecursiveLoopError, trace_of
from tests.support.sam_project import worker_of

WORKER = worker_of(Path("/nowhere"))
OTHER = replace(WORKER, arn=f"{WORKER.arn}-other")


def test_seventeenth_invocation_of_a_chain_is_refused():
    header = trace_of(WORKER, [])
    for _ in range(15):
        header = trace_of(WORKER, [header])
    with pytest.raises(RecursiveLoopError, match="Worker ran 16 times"):
        trace_of(WORKER, [header])
    assert "Lineage=" in trace_of(replace(WORKER, allows_loops=True), [header])


def test_each_function_of_a_chain_has_its_own_count():
    header = ""
    for _ in range(16):
        header = trace_of(OTHER, [trace_of(WORKER, [header])])
    with pytest.raises(RecursiveLoopError):
        trace_of(WORKER, [header])


def test_chain_keeps_its_trace_and_a_new_message_starts_another():
    first = trace_of(WORKER, [])
    second = trace_of(WORKER, [first])
    assert first.split(";")[0] == second.split(";")[0] != trace_of(WORKER, []).split(";")[0]
    assert first.split(";")[1] != second.split(";")[1]
    assert second.endswith(":1")


def test_longest_chain_of_a_batch_counts():
    long = trace_of(WORKER, [trace_of(WORKER, [])])
    assert trace_of(WORKER, [trace_of(WORKER, []), long, "Root=1-2-3"]).endswith(":2")


@pytest.mark.parametrize("header", ["", "nonsense", "Root=1-2-3;Lineage=", "Root=1-2-3;Lineage=x|y:z"])
def test_header_without_counters_begins_at_none(header):
    assert trace_of(WORKER, [header]).endswith(":0")
