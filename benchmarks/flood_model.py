"""Many exports requested at once, on the virtual clock of the simulation: what limits them besides a CPU.

The real handlers run against the simulation's AWS and Zoho, without faults. Lambda runs as many functions
at a time as the template allows. So this shows waiting, not CPU time: `benchmarks.flood` is its counterpart
with processes and sockets.
"""

from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import Any

from benchmarks.report import Plot, Report, table_of
from crm_export.exports.model import Export, ExportState
from simulation.functions import DOWNLOADS_PER_MINUTE
from simulation.output import kept_output
from simulation.world import TICK_SECONDS, World

LOADS, QUICK_LOADS = (1, 10, 100, 1000), (1, 10, 100)
_SEED = 4  # it draws Zoho's version
_MODULE = "contacts"
_MOST = 1_000_000
_TEXT = """\
The real handlers run in the simulation, without faults: a job takes 6 s and its callback 0.2 s, a call of AWS
10 to 40 ms, a call of Zoho 0.3 to 1.3 s, and each export has one part. So these are seconds of waiting, not
of CPU.
"""
_NOTE = """\
Every export that was accepted is COMPLETED; 429 counts the requests beyond `MaxOpenExports`, which is checked
before an export is created, so that a burst at one moment can pass it. One account is limited by Zoho, which
allows an organisation ten downloads a minute. With many accounts `WorkersPerQueue` (default 10) is the limit;
raise it, and `AccountConcurrency` with it, if so many exports are requested at once.
"""
_JOB_SECONDS = 6.0
_CALLBACK_SECONDS = 0.2  # after the end of a job


@dataclass(frozen=True)
class Setting:
    """How many accounts share the exports, and `WorkersPerQueue`."""

    name: str
    accounts: int
    workers: int


SETTINGS = (
    Setting("one account, 10 workers", 1, 10),
    Setting("20 accounts, 10 workers", 20, 10),
    Setting("1,000 accounts, 10 workers", 1000, 10),
    Setting("1,000 accounts, 100 workers", 1000, 100),
)


class _Flood(World):
    """A world in which `load` clients send a POST at the same moment."""

    def __init__(self, setting: Setting, load: int) -> None:
        super().__init__(_SEED, None, only={}, most_invocations=_MOST)
        self.calls.most = _MOST  # a tick with hundreds of open exports
        self._accounts, self._load = setting.accounts, load
        self.refused = 0
        self.zoho.zoho_faults.job_seconds = (_JOB_SECONDS,)
        # The simulation has one organisation: let it allow what one organisation for each account would.
        self.zoho.config.downloads_per_minute = DOWNLOADS_PER_MINUTE * setting.accounts
        self.zoho.config.concurrency *= setting.accounts
        for queue in self.queues.values():
            queue.resize(setting.workers)

    def run_flood(self) -> list[Export]:
        """Return the exports once nothing happens any more. Raises RuntimeError if anything was lost."""
        for number in range(self._load):
            self._to_post += 1
            self.scheduler.at(0.0, partial(self._send, number))
        self.scheduler.at(TICK_SECONDS, self._tick)
        with kept_output():
            self.scheduler.run(10 * 86_400.0)
        exports = list(self.invariants.exports())
        lost = [export for export in exports if export.state is not ExportState.COMPLETED]
        if (
            self.scheduler.failure
            or self.invariants.broken
            or lost
            or len(exports) + self.refused != self._load
        ):
            raise RuntimeError(f"{lost[:1]} {self.invariants.broken[:1]} {self.scheduler.failure}")
        return exports

    def _call_back(self, url: str, body: bytes, delay: float | None = None, tries: int = 3) -> None:
        super()._call_back(url, body, _CALLBACK_SECONDS if delay is None else delay, tries)

    def _send(self, number: int) -> None:
        def done(response: Any) -> None:
            self._to_post -= 1
            self.refused += response is None

        path, account = f"/v1/e/zoho/bulk-read/{_MODULE}", f"acct-{number % self._accounts}"
        self.functions.post(path, {}, f"key-{number}", done, account)


def row(setting: Setting, load: int) -> dict[str, Any]:
    """Return the outcome of one flood. Raises RuntimeError if an export was lost."""
    flood = _Flood(setting, load)
    exports = flood.run_flood()
    ended = [flood.invariants.ended_at[export.export_id] for export in exports]
    cuts = quantiles(ended * 2, n=20, method="inclusive")  # twice, because it wants two values
    return {
        "setting": setting.name,
        "exports at once": load,
        "COMPLETED": len(exports),
        "429": flood.refused,
        "p50 s": round(cuts[9]),
        "p95 s": round(cuts[18]),
    }


def run(quick: bool) -> Report:
    """Return how the time to COMPLETED grows with the exports requested at once."""
    loads = QUICK_LOADS if quick else LOADS
    by_setting = {setting.name: [row(setting, load) for load in loads] for setting in SETTINGS}
    plot = Plot(
        "flood-model",
        "Seconds from the request to COMPLETED, 95th percentile",
        [str(load) for load in loads],
        {name: [point["p95 s"] for point in points] for name, points in by_setting.items()},
        x_title="exports requested at once",
        y_title="seconds",
        kind="log",
    )
    rows = [point for points in by_setting.values() for point in points]
    return Report(
        "Floods, on the virtual clock", [table_of("Time to COMPLETED", rows, _NOTE)], [plot], text=_TEXT
    )
