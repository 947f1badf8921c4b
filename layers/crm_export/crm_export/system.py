"""Time, randomness and threads, as arguments: what the code needs from the machine it runs on.

Production uses the defaults. The simulation passes a virtual clock and a seeded random generator.
"""

import random
import secrets
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from os import register_at_fork
from queue import SimpleQueue
from threading import Event, Thread


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)


_idle: list[SimpleQueue[Callable[[], None]]] = []  # of threads that wait for work
register_at_fork(after_in_child=_idle.clear)  # a child has none of its parent's threads


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in this context (of its own), in a thread that does not keep the process alive.

    Threads are used again: each request to Zoho needs one, and a new one costs 0.3 ms.
    """
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        Thread(target=_work_off, args=(inbox,), daemon=True).start()
    inbox.put(partial(copy_context().run, work))


def _work_off(inbox: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        inbox.get()()
        _idle.append(inbox)


def repeat(seconds: float, work: Callable[[], bool]) -> Callable[[], None]:
    """Call `work` every so many seconds in a thread, until it returns False.

    Return a function that ends this, too.
    """
    stopped = Event()

    def run() -> None:
        while not stopped.wait(seconds) and work():
            pass

    start_thread(run)
    return stopped.set


@dataclass(frozen=True)
class System:
    """The machine. uniform(a, b): a random number in between; random_hex(n): 2n unguessable hex digits."""

    now: Callable[[], datetime] = utc_now
    epoch: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform
    random_hex: Callable[[int], str] = secrets.token_hex
    start_thread: Callable[[Callable[[], None]], None] = start_thread
    repeat: Callable[[float, Callable[[], bool]], Callable[[], None]] = repeat


MACHINE = System()
