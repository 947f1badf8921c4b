"""Run the benchmarks, print their tables and write docs/benchmarks.md with its plots: `make bench`."""

import argparse
from collections.abc import Callable, Mapping
from importlib import import_module

from benchmarks.report import Report

# Module of this package → its section's place. Each has `run(quick: bool) -> Report`.
BENCHMARKS: tuple[str, ...] = ()


def benchmark(name: str) -> Callable[[bool], Report]:
    """Return the function `run` of a benchmark. Imported only when it runs."""
    run: Callable[[bool], Report] = import_module(f"benchmarks.{name}").run
    return run


def main(arguments: Mapping[str, str] | None = None) -> None:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds and small shapes")
    parser.parse_args()


if __name__ == "__main__":
    main()
