"""`python -m zoho_simulator`: the simulator as a process."""

import argparse
import json
import signal
import time
from collections.abc import Sequence
from datetime import date, datetime

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.builder import OFFSET, first_day_before
from zoho_simulator.http.server import start_simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. The first line printed names the URL."""
    options = _parser().parse_args(arguments)
    config = SimulatorConfig()
    if options.records is not None:
        config.records = dict.fromkeys(config.records, options.records)
    config.records |= dict(options.module)
    config.first_day = str(first_day_before(options.today, max(config.records.values())))
    config.patch(dict(_setting(argument) for argument in options.set))
    received: list[int] = []  # no Event: set() within wait() blocks, and a handler can interrupt wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: received.append(number))
    with start_simulator(config, options.host, options.port) as simulator:
        print(f"Zoho simulator on {simulator.url}", flush=True)
        while not received:
            time.sleep(0.1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zoho_simulator", description="Serve a simulated Zoho CRM organisation."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 (default) takes any free port")
    add("--records", type=_count, metavar="N", help="records in every module")
    add(
        "--module",
        type=_module,
        action="append",
        default=[],
        metavar="NAME=N",
        help="records in one module; repeatable",
    )
    add(
        "--today",
        type=date.fromisoformat,
        default=datetime.now(OFFSET).date(),
        metavar="YYYY-MM-DD",
        help="the day before which all records were modified (default: today in India)",
    )
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of SimulatorConfig")
    return parser


def _count(argument: str) -> int:
    if not argument.isdecimal():
        raise argparse.ArgumentTypeError(f"{argument!r} is not a number of records")
    return int(argument)


def _module(argument: str) -> tuple[str, int]:
    name, _, count = argument.partition("=")
    return name, _count(count)


def _setting(argument: str) -> tuple[str, object]:
    name, _, value = argument.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    raise SystemExit(main())
