"""`python -m zoho_simulator`: the simulator as a process of its own."""

import argparse
import json
import signal
import threading
from collections.abc import Sequence

from zoho_simulator.server import SimulatorConfig, start_simulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. The first line printed names the URL."""
    options = _parser().parse_args(arguments)
    config = SimulatorConfig()
    if options.records is not None:
        config.records = dict.fromkeys(config.records, options.records)
    config.records |= {name: int(count) for name, _, count in (m.partition("=") for m in options.module)}
    config.patch(dict(_setting(text) for text in options.set))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with start_simulator(config, options.host, options.port) as simulator:
        print(f"Zoho simulator on {simulator.url}", flush=True)
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zoho_simulator", description="A Zoho CRM to test against."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port (default)")
    parser.add_argument("--records", type=int, metavar="N", help="records in every module")
    parser.add_argument(
        "--module", action="append", default=[], metavar="NAME=N", help="records in one module, repeatable"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of SimulatorConfig"
    )
    return parser


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    raise SystemExit(main())
