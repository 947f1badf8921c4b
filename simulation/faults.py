"""Which faults a seed injects, how often, and until when; what was injected, by kind and by part."""

from collections import Counter, defaultdict
from random import Random

from simulation.scheduler import Scheduler, current

# What may go wrong, by place. An export must survive each of them, unless there are too many on one part.
KINDS = (
    # a Lambda
    "function killed before a call",
    "function killed after a call",
    "function killed at its time limit",  # never drawn: follows from others
    "function stalled",  # it waits long for one call
    "function frozen",  # it does nothing at all, not even renew its lease
    "function's clock wrong",
    "tick missing",
    "tick twice",
    # DynamoDB
    "table write repeated, its response lost",
    "table write done, its response lost for good",
    "table throttled",
    "table unreachable",
    "index behind the table",
    # SQS
    "message sent twice, its response lost",
    "message sent, its response lost for good",
    "message not sent",
    "message delivered twice",
    "message late",
    # EventBridge
    "event sent twice, its response lost",
    "event sent, its response lost for good",
    "event not sent",
    "event refused by the bus",
    # S3
    "object written twice, its response lost",
    "object written, its response lost for good",
    "S3 refuses",
    "S3 denies access",
    "abort refused",
    # the callback
    "callback never",
    "callback early",
    "callback three times",
    "callback late",
    "callback names another job",
    "callback forged",
    "callback names no job",
    # Zoho
    "Zoho 429",
    "Zoho 429 with Retry-After",
    "Zoho 500",
    "Zoho's gateway returns HTML",
    "Zoho rejects the token",
    "Zoho gives no tokens",
    "Zoho times out",
    "Zoho times out after it acted",
    "Zoho closes a kept connection",
    "Zoho quotes our request",
    "job not found",
    "job without a count",
    "job details of another job",
    "job details in other words",
    "job ends in FAILURE",
    "job deleted",
    "job takes hours",
    "job never ends",
    "job leaves out records",
    "count lags",
    "more records but no next page",
    "more records but an earlier page",
    "page lists a record twice",
    "page without info",
    "result breaks off",
    "result truncated",
    "result with a byte changed",
    "result with a wrong CRC",
    "result with a wrong count",
    "result of another job",
    "result repeats a record",  # in place of another, so that the count is right
    "result of the part before",
    "result with another column",
    "result not found",
    "result expired",  # if this or the next kind is on, Zoho may keep results, or page tokens, for minutes
    "page token expired",
    # the client of our API
    "POST sent again",
    "export cancelled",
    "export cancelled twice",
)
_RATES = (0.01, 0.03, 0.1, 0.3)
# The highest rates of faults that end exports or would leave other faults no chance to show.
_RARE = {
    "function frozen": 0.02,
    "function stalled": 0.1,
    "S3 denies access": 0.1,
    "table write repeated, its response lost": 0.2,
    "table write done, its response lost for good": 0.1,
    "table throttled": 0.1,
    "table unreachable": 0.05,
    "function's clock wrong": 0.1,
    "job takes hours": 0.1,
    "job never ends": 0.02,
    "job leaves out records": 0.3,
    "more records but no next page": 0.15,
    "more records but an earlier page": 0.2,
    "callback forged": 0.3,
}
# Drawn once for a part or less often, so their rates are higher.
SELDOM_ASKED, _LEAST_RATE = (
    ("callback", "job ", "more records", "tick", "POST", "result ", "event ", "export "),
    0.15,
)
_HOURS = (0.5, 2.0, 8.0)


class Faults:
    """Draws faults. Only a few kinds are on in one run, so that each has its chance to show."""

    def __init__(self, rng: Random, scheduler: Scheduler, only: dict[str, float] | None = None) -> None:
        self._rng = rng
        self._scheduler = scheduler
        share = rng.choice((0.0, 0.1, 0.3, 0.6))
        rate = rng.choice(_RATES)
        self._rates = {
            kind: min(
                max(rate, _LEAST_RATE * kind.startswith(SELDOM_ASKED)) * rng.choice((0.5, 1.0, 3.0)),
                _RARE.get(kind, 0.5),
            )
            for kind in KINDS
            if rng.random() < share
        }
        self._rates = self._rates if only is None else only
        self.calm_from = rng.choice(_HOURS) * 3600 if self._rates else 0.0
        self.injected: Counter[str] = Counter()
        self.of_part: defaultdict[tuple[str, int] | None, Counter[str]] = defaultdict(Counter)

    def happens(self, kind: str, target: tuple[str, int] | None = None) -> bool:
        """Return True if this fault happens now, and count it for the part it hits."""
        if not self.planned(kind):
            return False
        self.note(kind, target)
        return True

    def planned(self, kind: str) -> bool:
        """Return True if this fault is to happen. The caller has to `note` it once it has happened."""
        rate = self._rates.get(kind, 0.0)
        assert kind in KINDS, kind
        return rate > 0 and self._scheduler.now < self.calm_from and self._rng.random() < rate

    @property
    def injects(self) -> bool:
        """True if any kind may occur in this run."""
        return bool(self._rates)

    def are_on(self, kind: str) -> bool:
        """Return True if this kind may occur in this run."""
        return kind in self._rates

    def note(self, kind: str, target: tuple[str, int] | None = None) -> None:
        """Count a fault."""
        task = current.get()
        self.injected[kind] += 1
        self.of_part[target or (task.target if task else None)][kind] += 1

    def against(self, part: tuple[str, int] | None, kinds: tuple[str, ...]) -> int:
        """Return the number of faults that hit a part and whose kind begins with one of `kinds`."""
        return sum(count for kind, count in self.of_part[part].items() if kind.startswith(kinds))
