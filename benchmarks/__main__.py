"""Run the benchmarks, print their tables and write docs/benchmarks.md with its plots: `make bench`.

A quick pass, or a run of some benchmarks only, writes .local/bench/benchmarks.md instead.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.render import print_report, write_page
from benchmarks.report import Report
from benchmarks.servers import ROOT

# The sections of the page, in order: modules of this package with `run(quick: bool) -> Report`.
BENCHMARKS: tuple[str, ...] = (
    "landing",
    "page",
    "coldstart",
    "module",
    "flood",
    "flood_model",
    "cost",
)
_PAGE, _ROUGH_PAGE = ROOT / "docs" / "benchmarks.md", ROOT / ".local" / "bench" / "benchmarks.md"
_INTRODUCTION = """\
# Benchmarks

How this project compares with the alternatives people would use, and with the physical limit. `make bench`
writes this page, with the figures of one run on one machine. Compare rows with each other, not with the
figures of another machine.
"""
_OUTRO = """\
## How to repeat it

`make bench` installs what it needs into `.venv`, generates its data into `.local/bench/` (once), and runs for
some 20 minutes on two idle cores. `make bench QUICK=1` is a pass of a few minutes with small files, to see
that all rows work. `make bench BENCH=landing` runs one section. Both write `.local/bench/benchmarks.md` and
leave this page alone. `make bench AGAINST=FOLDER` adds our landing rows as another checkout has them, in the
same rounds.

No check passes or fails by a duration: these are figures to compare, not tests.

## What is not measured

- AWS itself. Lambda has other cores (arm64), S3 answers later than loopback does, and both vary.
- Zoho. Its servers take seconds for a job and send results at their own speed. CPU seconds do not depend on
  that.
- Managed services. Only their list prices are shown.
"""


def benchmark(name: str) -> Callable[..., Report]:
    """Return the function `run` of a benchmark. Imported only when it runs."""
    run: Callable[..., Report] = import_module(f"benchmarks.{name}").run
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the chosen benchmarks, print each as soon as it is ready, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds and small files")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(BENCHMARKS)}")
    parser.add_argument("--against", type=Path, help="add our landing rows of another checkout")
    parser.add_argument("--rounds", type=int, help="rounds of each landing row, other than usual")
    parser.add_argument("--page", type=Path, help="where to write the page")
    options = parser.parse_args(arguments)
    chosen = options.only.split(",") if options.only else BENCHMARKS
    if unknown := set(chosen) - set(BENCHMARKS):
        parser.error(f"{', '.join(sorted(unknown))}: no such benchmark; choose from {', '.join(BENCHMARKS)}.")
    facts = {**machine.facts(), "Load before": machine.load()}
    more = {"landing": {"against": options.against, "rounds": options.rounds}}
    reports = [_run(name, options.quick, more.get(name, {})) for name in chosen]
    facts["Load after"] = machine.load()
    page = options.page or (_ROUGH_PAGE if options.quick or options.only else _PAGE)
    rough = "\n**This was a quick pass: the figures are rough.**\n" if options.quick else ""
    write_page(page, _INTRODUCTION + rough, facts, reports, _OUTRO)
    print(f"Written: {page}")


def _run(name: str, quick: bool, more: Mapping[str, Any]) -> Report:
    report = benchmark(name)(quick, **more)
    print_report(report)
    return report


if __name__ == "__main__":
    main()
