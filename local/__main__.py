"""`python -m local`: up, invoke, token, logs, sam, event and demo. See docs/design.md."""

import argparse
import ipaddress
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from local.host.http import HOST
from local.host.processes import STATE_FILE, LocalStackError, isolate_from_aws

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    if not getattr(options, "aws", None):  # a deployed stack needs the caller's credentials
        isolate_from_aws()
    for number in _STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        return _run(options)
    except LocalStackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Stop once, in order: a second Ctrl-C must not interrupt the clean-up."""
    for other in _STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _run(options: argparse.Namespace) -> int:
    if options.command == "demo":
        from local.demo.run import demo  # noqa: PLC0415 - only the demo needs rich

        return demo(options)
    if options.command in ("sam", "event"):
        from local.sam.events import event  # noqa: PLC0415 - as below
        from local.sam.project import sam  # noqa: PLC0415

        return sam(options) if options.command == "sam" else event(options)
    if options.command == "logs":
        from local.logs import logs  # noqa: PLC0415 - as above: only this command needs it

        return logs(options)
    from local import commands  # noqa: PLC0415 - a usage error should not wait for boto3

    return {"up": commands.up, "invoke": commands.invoke, "token": commands.token}[options.command](options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Run template.yaml without AWS.")
    commands = parser.add_subparsers(dest="command", required=True)
    zoho, state, stack = _common_options()

    up = commands.add_parser("up", parents=[stack], help="deploy template.yaml locally, until Ctrl-C")
    up.add_argument("--port", type=int, default=0, help="port of the HTTP API (default: any free port)")
    up.add_argument(
        "--host",
        type=_address,
        default=HOST,
        metavar="ADDRESS",
        help="listen on this IPv4 address, for containers",
    )
    up.add_argument("--tick", type=float, metavar="SECONDS", help="fire every schedule at this interval")

    invoke = commands.add_parser("invoke", parents=[stack], help="invoke one function")
    invoke.add_argument("function", metavar="LogicalId")
    invoke.add_argument("--event", required=True, metavar="FILE", help="JSON; - reads standard input")

    token = commands.add_parser("token", parents=[state], help="print a JWT that the running stack accepts")
    token.add_argument("--account", default="acct-1", help="default: %(default)s")
    token.add_argument("--owner", default="user-1", help="default: %(default)s")
    token.add_argument("--claim", action="append", default=[], metavar="NAME=VALUE", type=_pair)
    token.add_argument("--expires-in", type=int, default=12 * 3600, metavar="SECONDS")

    source = argparse.ArgumentParser(add_help=False, parents=[state])
    source.add_argument(
        "--aws", metavar="STACK", help="of this deployed stack instead of the running local one"
    )
    commands.add_parser("sam", parents=[source], help="write a template and variables for `sam local`")
    event = commands.add_parser("event", parents=[source], help="print a file of events/ for a real export")
    event.add_argument("name", metavar="NAME", help="for example callback_receiver.completed")
    event.add_argument(
        "--export", default="latest", metavar="ID", help="default: the account's latest export"
    )
    event.add_argument("--account", default="acct-1")
    event.add_argument("--owner", default="user-1")
    logs = commands.add_parser("logs", parents=[state], help="print the functions' logs")
    logs.add_argument("--export", metavar="ID", help="only lines about this export")
    logs.add_argument("--follow", action="store_true", help="go on until Ctrl-C")

    demo = commands.add_parser("demo", parents=[zoho], help="run an export step by step and verify it")
    demo.add_argument("--records", type=_count, default=450_000)
    return parser


def _common_options() -> list[argparse.ArgumentParser]:
    """Return parsers of the options that commands share: for Zoho, the state file, and a new stack."""
    zoho, state = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    zoho.add_argument("--zoho", metavar="URL", type=_origin, help="use this Zoho instead of the simulator")
    state.add_argument("--state-file", type=Path, default=STATE_FILE)
    stack = argparse.ArgumentParser(add_help=False, parents=[zoho, state])
    stack.add_argument(
        "--parameter", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="for the template"
    )
    stack.add_argument("--records", type=_count, help="records in the simulator's modules")
    return [zoho, state, stack]


def _origin(url: str) -> str:
    """Return the origin in `url`: without the slash that a browser adds."""
    return url.rstrip("/")


def _address(argument: str) -> str:
    """Return an IPv4 address. Clients get it in URLs, so 0.0.0.0 is refused."""
    try:
        address = ipaddress.IPv4Address(argument)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{argument!r} is not an IPv4 address") from error
    if address.is_unspecified:
        raise argparse.ArgumentTypeError(
            f"{argument} cannot be part of a URL; name one address of this machine"
        )
    return argument


def _count(argument: str) -> int:
    if not argument.isdecimal():
        raise argparse.ArgumentTypeError(f"{argument!r} is not a number of records")
    return int(argument)


def _pair(argument: str) -> tuple[str, str]:
    name, equals, value = argument.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{argument!r} is not NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
