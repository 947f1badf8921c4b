"""`python -m local`: up, invoke, token and demo. See docs/design.md."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from local.stack.errors import LocalStackError
from local.stack.processes import isolate_from_aws

STATE_FILE = Path(".local/stack.json")


def _origin(url: str) -> str:
    """An origin has no path; the slash that a browser adds is none."""
    return url.rstrip("/")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    isolate_from_aws()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _run(options)
    except LocalStackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwind once, in order; a second Ctrl-C must not stop the stopping."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _run(options: argparse.Namespace) -> int:
    # Imported here: `token` should not wait for what only `up` needs.
    if options.command == "up":
        from local.up import up  # noqa: PLC0415

        return up(options)
    if options.command == "demo":
        from local.demo.run import demo  # noqa: PLC0415

        return demo(options)
    from local.client import invoke, token  # noqa: PLC0415

    return token(options) if options.command == "token" else invoke(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The stack, without AWS.")
    commands = parser.add_subparsers(dest="command", required=True)

    up = commands.add_parser("up", help="deploy template.yaml locally and run it until Ctrl-C")
    _stack_options(up)
    up.add_argument("--port", type=int, default=0, help="port of the HTTP API; 0 is any free one")
    up.add_argument("--tick", type=float, metavar="SECONDS", help="fire every schedule at this interval")
    up.add_argument("--verbose", action="store_true", help="show the functions' logs")

    invoke = commands.add_parser("invoke", help="invoke one function, as `sam local invoke` does")
    invoke.add_argument("function", metavar="LogicalId")
    invoke.add_argument("--event", required=True, metavar="FILE", help="JSON; - reads standard input")
    _stack_options(invoke)

    token = commands.add_parser("token", help="print a JWT the running stack accepts")
    token.add_argument("--state-file", type=Path, default=STATE_FILE)
    token.add_argument("--account", required=True)
    token.add_argument("--owner", required=True)
    token.add_argument("--claim", action="append", default=[], metavar="NAME=VALUE", type=_pair)
    token.add_argument("--expires-in", type=int, default=12 * 3600, metavar="SECONDS")

    demo = commands.add_parser("demo", help="a guided run of a whole export, checked to the last record")
    demo.add_argument("--records", type=int, default=450_000)
    demo.add_argument("--zoho", metavar="URL", type=_origin, help="use this Zoho instead of the simulator")
    return parser


def _stack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state-file", type=Path, default=STATE_FILE)
    parser.add_argument(
        "--zoho", metavar="URL", type=_origin, help="use this Zoho instead of starting the simulator"
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="a template parameter",
    )
    parser.add_argument("--records", type=int, help="records in the simulator's modules")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
