"""Lambda's detection of recursive loops: trace headers count how often a function ran in a chain of messages.

The SDK passes a function's trace header on with each message that the function sends. Lambda adds how often
each function ran before: `Root=...;Parent=...;Sampled=0;Lineage=a87bd80c:1|68fd508a:5`. A newer format of the
lineage is not documented. https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
"""

import hashlib
from collections.abc import Iterable

from local.cloudformation.resources import Function
from local.runtime.runtime_api import new_trace_id

MAX_INVOCATIONS = 16


class RecursiveLoopError(Exception):
    """The function already ran 16 times in the chain that the message belongs to, and may not run again."""


def trace_of(function: Function, headers: Iterable[str]) -> str:
    """Return the trace id for an invocation of `function` by messages with these trace headers.

    Of several messages, the one whose chain has the most invocations counts. Raises RecursiveLoopError.
    """
    ident = hashlib.sha256(function.arn.encode()).hexdigest()[:8]
    chains = [(header, _lineage(header)) for header in headers]
    header, lineage = max(chains, key=lambda chain: chain[1].get(ident, -1), default=("", {}))
    before = lineage.get(ident, -1) + 1
    if before >= MAX_INVOCATIONS and not function.allows_loops:
        raise RecursiveLoopError(
            f"{function.logical_id} ran {before} times in one chain of messages; RecursiveLoop is Terminate"
        )
    root = header.split(";")[0] if header.startswith("Root=") else ""
    counts = "|".join(f"{name}:{count}" for name, count in (lineage | {ident: before}).items())
    return f"{new_trace_id(root)};Lineage={counts}"


def _lineage(header: str) -> dict[str, int]:
    """Return the counters in a trace header, by function."""
    lineage = next((part[8:] for part in header.split(";") if part.startswith("Lineage=")), "")
    counters = (item.partition(":") for item in lineage.split("|") if item)
    return {name: int(count) for name, _, count in counters if count.isdigit()}
