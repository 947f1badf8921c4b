"""How values of generated columns are drawn; used by modules.py."""

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from zoho_simulator import pools


def one_of(values: Sequence[Any]) -> Callable[[random.Random], Any]:
    """Any of the values."""
    return lambda rng: rng.choice(values)


def some_of(values: Sequence[Any]) -> Callable[[random.Random], Any]:
    """One to three of the values."""
    return lambda rng: rng.sample(values, rng.randint(1, 3))


def tags(rng: random.Random) -> list[dict[str, str]]:
    """Tags as the records API shows them."""
    chosen = rng.sample(range(len(pools.TAGS)), rng.randint(1, 2))
    return [
        {"name": pools.TAGS[n], "id": str(3_652_397_000_009_000_000 + n), "color_code": "#1DB9B4"}
        for n in chosen
    ]


def text(rng: random.Random) -> str:
    """One to five phrases, joined by spaces, commas and line breaks."""
    phrases = rng.sample(pools.PHRASES, rng.randint(1, 5))
    return "".join(p + rng.choice(pools.JOINTS) for p in phrases).rstrip()


def phone(rng: random.Random) -> str:
    """A telephone number."""
    return f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1_000_000, 9_999_999)}"


def day(rng: random.Random) -> str:
    """A date."""
    return str(date(2018, 1, 1) + timedelta(days=rng.randrange(3000)))


def moment(rng: random.Random) -> str:
    """A date and time with offset."""
    return f"{day(rng)}T{rng.randrange(24):02d}:{rng.choice(('00', '15', '30', '45'))}:00+05:30"


def money(rng: random.Random) -> float:
    """An amount with cents."""
    return round(rng.uniform(100, 2_000_000), 2)


def company(rng: random.Random) -> str:
    """A company's name."""
    return rng.choice(pools.COMPANIES) + rng.choice(pools.COMPANY_TAILS)
