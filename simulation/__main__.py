"""`python -m simulation [--syncs] [--seeds 10000] [--first 1] [--jobs 2] [--only KIND]`.

Or, for one seed, `python -m simulation [--syncs] --seed N [--trace]`.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from simulation.faults import KINDS
from simulation.sync_world import run_syncs
from simulation.world import Outcome, run

_CHUNK = 20


def _run_chunk(run_seed: Callable[[int], Outcome], seeds: range) -> list[Outcome]:
    return [run_seed(seed) for seed in seeds]


def _outcomes(first: int, count: int, jobs: int, run_seed: Callable[[int], Outcome]) -> Iterator[Outcome]:
    chunks = [
        range(start, min(start + _CHUNK, first + count)) for start in range(first, first + count, _CHUNK)
    ]
    if jobs == 1:
        for chunk in chunks:
            yield from _run_chunk(run_seed, chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(partial(_run_chunk, run_seed), chunks):
            yield from outcomes


def report(outcomes: list[Outcome], seconds: float) -> str:
    """Return a readable summary of a batch of runs."""
    injected, states = Counter[str](), Counter[str]()
    for outcome in outcomes:
        injected.update(outcome.injected)
        states.update(outcome.states)
    hours = sum(outcome.virtual_seconds for outcome in outcomes) / 3600
    lines = [f"  {injected[kind]:>9,}  {kind}" for kind in KINDS]
    ended = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    broken = [outcome for outcome in outcomes if outcome.broken]
    return "\n".join([
        f"{sum(injected.values()):,} faults injected:",
        *lines,
        f"{sum(states.values()):,} exports: {ended}",
        f"{sum(o.left_uploads for o in outcomes):,} multipart uploads left by dead functions "
        f"(S3's lifecycle rule); {sum(o.dead_letters for o in outcomes):,} messages in dead-letter queues",
        f"{len(outcomes):,} seeds, {hours:,.0f} virtual hours, {seconds:.1f} s: "
        f"{len(outcomes) / seconds:.0f} seeds/s",
        f"{len(broken):,} violations",
        *(f"  seed {outcome.seed}: {'; '.join(outcome.broken)}" for outcome in broken[:20]),
    ])  # fmt: skip


def _rates(given: list[str]) -> dict[str, float]:
    """Return the rate of each kind whose name begins as given: "S3", "table=0.5"; 0.1 if none is given."""
    rates: dict[str, float] = {}
    for text in given:
        start, _, rate = text.partition("=")
        kinds = [kind for kind in KINDS if kind.startswith(start)]
        if not kinds:
            raise SystemExit(f"--only {text}: no kind of fault begins so; the report lists all kinds.")
        rates |= dict.fromkeys(kinds, float(rate or 0.1))
    return rates


def main() -> int:
    """Run seeds and print a summary; return 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="number of seeds")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="number of processes")
    parser.add_argument("--only", action="append", metavar="KIND[=RATE]", help="only these faults")
    parser.add_argument(
        "--sqlite", action="store_true", help="the exports' state is in SQLite, as in a folder"
    )
    parser.add_argument("--syncs", action="store_true", help="worlds that keep modules current for days")
    parser.add_argument("--seed", type=int, help="run this seed only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every call")
    given = parser.parse_args()
    only = _rates(given.only) if given.only else None
    run_seed: Callable[..., Outcome] = partial(run, only=only, sqlite=given.sqlite)
    if given.syncs:
        run_seed = partial(run_syncs, only=only)
    began = time.monotonic()
    if given.seed is not None:
        outcomes = [run_seed(given.seed, write=partial(print, file=sys.stdout) if given.trace else None)]
        print(f"trace {outcomes[0].digest}")
    else:
        outcomes = list(_outcomes(given.first, given.seeds, given.jobs, run_seed))
    print(report(outcomes, time.monotonic() - began))
    broken = [outcome for outcome in outcomes if outcome.broken]
    if broken:
        print(
            f"Replay the first with: .venv/bin/python -m simulation {'--syncs ' * given.syncs}"
            f"--seed {broken[0].seed} --trace",
            file=sys.stderr,
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
