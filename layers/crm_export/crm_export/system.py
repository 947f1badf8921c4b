"""Time, randomness and threads, as arguments: what the code needs from the machine it runs on.

Production uses the defaults. The simulation passes a virtual clock and a seeded random generator.
"""

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Thread


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in a thread that does not keep the process alive."""
    Thread(target=work, daemon=True).start()


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


MACHINE = System()
