"""Threads of the machine, which are used again."""

import os
import subprocess
import sys
from contextvars import ContextVar
from queue import SimpleQueue
from threading import Event, current_thread

import pytest

from crm_export import system
from crm_export.system import start_thread

_value = ContextVar("value", default="none")


@pytest.fixture(autouse=True)
def no_idle_threads():
    system._idle.clear()


def run(work):
    """Run work in a thread and return its result."""
    results = SimpleQueue()
    start_thread(lambda: results.put(work()))
    return results.get(timeout=10)


def wait_until_idle(threads):
    for _ in range(10_000):
        if len(system._idle) == threads:
            return
        os.sched_yield()
    pytest.fail(f"{len(system._idle)} threads are idle, not {threads}")


def test_idle_thread_gets_the_next_work():
    first = run(current_thread)
    wait_until_idle(1)
    assert run(current_thread) is first


def test_work_does_not_wait_for_a_thread_that_is_busy():
    end = Event()
    start_thread(lambda: end.wait(10))
    assert run(lambda: "done") == "done"
    end.set()
    wait_until_idle(2)


def test_work_runs_in_the_context_of_its_start_and_changes_it_for_nobody():
    def read_and_set():
        found = _value.get()
        _value.set("of the thread")
        return found

    token = _value.set("of the caller")
    assert run(read_and_set) == "of the caller"
    wait_until_idle(1)
    assert _value.get() == "of the caller"
    _value.reset(token)
    assert run(read_and_set) == "none"


FORK = """
import os
from queue import SimpleQueue
from crm_export import system

def run():
    results = SimpleQueue()
    system.start_thread(lambda: results.put("done"))
    return results.get(timeout=10)

run()
while not system._idle:
    os.sched_yield()
if os.fork() == 0:
    print(run(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.process
def test_forked_process_has_threads_of_its_own():
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, check=True)
    assert found.stdout == b"done\n"
