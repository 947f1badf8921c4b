"""Starts the processes that the stack needs: AWS (moto) and Zoho's simulator. Called by `stack`.

It imports little, so that they start first: what the stack itself imports takes a third of a second.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local.host.http import HOST
from local.host.processes import REPOSITORY, Child

# So long, eventually consistent reads of the table do not see a write.
LAG_SECONDS = 0.5


@dataclass(frozen=True)
class StackOptions:
    """How to start a stack; `host` is an IPv4 address. `quiet`: no queue is polled and no schedule fires.

    `report` is called with each step of the start, in at most 40 characters.
    """

    logs: Path
    template: Path = REPOSITORY / "template.yaml"
    port: int = 0
    host: str = HOST
    zoho_url: str | None = None
    records: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    tick: float | None = None
    quiet: bool = False
    report: Callable[[str], None] = lambda _step: None


@dataclass(frozen=True)
class Servers:
    """The processes, which may not be ready yet. `zoho` is None if the stack uses another Zoho."""

    moto: Child
    zoho: Child | None
    started: float


@contextmanager
def running_servers(options: StackOptions) -> Iterator[Servers]:
    """Start the processes, and stop them at the end of the context or on any error."""
    started = time.monotonic()
    options.report("starting AWS (moto) and Zoho's simulator")
    options.logs.mkdir(parents=True, exist_ok=True)
    for log in options.logs.glob("*.log"):
        log.unlink()
    with ExitStack() as undo:

        def start(module: str, *arguments: str, log: str) -> Child:
            child = Child(module, ["--host", options.host, *arguments], log=options.logs / log)
            undo.callback(child.stop)
            return child

        moto = start("local.host.aws", "--lag", str(LAG_SECONDS), log="aws.log")
        records = [] if options.records is None else ["--records", str(options.records)]
        zoho = None if options.zoho_url else start("zoho_simulator", *records, log="zoho.log")
        yield Servers(moto, zoho, started)
