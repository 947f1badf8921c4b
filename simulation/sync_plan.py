"""What a world of syncs plays: drawn from the seed, or given by a test that looks for one defect."""

from dataclasses import dataclass, field
from random import Random
from typing import Self

from simulation.faults import KINDS, SELDOM_ASKED

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
CREDIT_SHARE = 30  # percent, of the syncs
LOW_CREDITS = 10_000  # of a day: fewer than what syncs and users would spend
MODULES = ("Deals", "Leads", "Vendors", "Cases", "Notes")
# What happens in Zoho by itself, and how often in relation to the others.
LIFE = {
    "create": 3.0, "modify": 4.0, "mass update": 0.3, "delete": 2.0, "purge": 0.5,
    "restore": 1.0, "restore without a new time": 0.5, "forget": 0.4, "create without a time": 0.3,
    "drift": 1.0, "convert": 1.0, "new field": 0.1,
}  # fmt: skip
_RHYTHMS = ("15m", "1h", "3h", "6h", "6h", "6h", "12h", "12h", "12h", "1d", "1d", "1d")
_SECONDS = {"m": MINUTE, "h": HOUR, "d": DAY}
_LIES_OF_JOBS = {  # which nothing shows but a count that is lower: the chain is then as wrong as the job
    "job leaves out records", "result of the part before", "result with another column",
}  # fmt: skip


def seconds_of(span: str) -> float:
    """Return a span such as 15m or 6h in seconds."""
    return int(span[:-1]) * _SECONDS[span[-1]]


@dataclass(frozen=True)
class Plan:
    """What is played. Times are in seconds, overlap and lag in minutes.

    delays: after which a change becomes visible, one of them drawn for each; gap: between two changes; busy:
    how likely a change happens while a run reads. pause: how long the syncs are disabled, or 0. ghosts: how
    likely a restored record is still listed as deleted for some minutes. credits: of a day. offsets: the
    time at which the offset of Zoho's times changes, and to how many minutes.
    """

    modules: tuple[str, ...] = ("Deals",)
    accounts: int = 1
    every: str = "6h"
    full_every: str = "1d"
    seconds: float = 2 * DAY
    overlap: int = 15
    lag: int = 5
    delays: tuple[float, ...] = (0.0,)
    life: dict[str, float] = field(default_factory=LIFE.copy)
    gap: float = HOUR
    busy: float = 0.3
    skew: float = 0.0
    pause: float = 0.0
    ghosts: float = 0.0
    credits: int = 1_000_000
    offsets: tuple[tuple[float, float], ...] = ()
    all_fields: bool = True

    @property
    def longest_delay(self) -> float:
        """The delay up to which no change may be missed, in seconds."""
        return (self.overlap + self.lag) * MINUTE

    @classmethod
    def draw(cls, rng: Random) -> Self:
        """Draw a plan."""
        every = rng.choice(_RHYTHMS)
        seconds = min(max(seconds_of(every) * rng.choice((5, 10, 20)), DAY), 14 * DAY)
        overlap, lag = rng.choice(((15, 5), (15, 5), (15, 0), (1, 5), (0, 0)))
        longest = (overlap + lag) * MINUTE
        delays = rng.choice(((0.0,), (0.0, 20.0), (0.0, 0.9 * longest), (0.0, 0.5 * longest, 5 * longest)))
        low = rng.random() < 0.07
        return cls(
            modules=tuple(rng.sample(MODULES, rng.choice((1, 1, 1, 2, 3)))),
            accounts=1 if low else rng.choice((1, 1, 1, 2)),
            every=every,
            full_every=rng.choice(("1d", "2d", "7d", "never")),
            seconds=seconds,
            overlap=overlap,
            lag=lag,
            delays=tuple(delay for delay in delays if delay < longest or delay in {0.0, 5 * longest}),
            life={kind: share * rng.choice((0.0, 1.0, 1.0, 3.0)) for kind, share in LIFE.items()},
            gap=seconds / rng.choice((10, 30, 60)),
            busy=rng.choice((0.0, 0.2, 0.6)),
            skew=rng.choice((0.0, 0.0, 2.0, -2.0, 240.0, -240.0, 3600.0, -3600.0)),
            pause=rng.choice((0.0, 0.0, 0.0, 0.0, 3 * DAY, 58 * DAY, 70 * DAY)),
            ghosts=rng.choice((0.0, 0.5)),
            credits=rng.choice((2_000, 5_000)) if low else 1_000_000,
            offsets=rng.choice(
                ((), ((-400 * DAY, -300.0), (rng.uniform(0, seconds), -240.0)), ((-400 * DAY, 60.0),))
            ),
            all_fields=rng.random() < 0.7,
        )


def draw_rates(rng: Random) -> dict[str, float]:
    """Draw the kinds of faults of a world, and how often each occurs: a run makes about a hundred calls."""
    share = rng.choice((0.0, 0.0, 0.1, 0.3))
    rate = rng.choice((0.001, 0.005, 0.02))
    return {
        kind: max(rate, 0.05 * kind.startswith(SELDOM_ASKED)) * rng.choice((0.5, 1.0, 3.0))
        for kind in KINDS
        if rng.random() < share and kind not in _LIES_OF_JOBS
    }
