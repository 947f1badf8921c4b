"""One invocation of a function: what goes in, what comes out, and Lambda's REPORT line about it."""

import json
import math
import secrets
import time
import uuid
from dataclasses import dataclass, field

MAX_ANSWER_BYTES = 6 * 1024 * 1024 + 100


def _trace_id() -> str:
    # Sampled=0: the X-Ray SDK then sends nothing.
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"


@dataclass(frozen=True)
class Invocation:
    """An event on its way to a function."""

    event: bytes
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=_trace_id)


@dataclass(frozen=True)
class Report:
    """The figures of one invocation. Memory is the peak of the environment so far, as Lambda has it."""

    function: str
    request_id: str
    duration_ms: float
    memory_mb: int
    max_memory_mb: int | None = None
    init_ms: float | None = None
    status: str = ""

    @property
    def billed_ms(self) -> int:
        """Milliseconds billed: the initialisation counts."""
        return math.ceil(self.duration_ms + (self.init_ms or 0))

    def line(self) -> str:
        """Return the line as Lambda writes it to the log."""
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {self.billed_ms} ms",
            f"Memory Size: {self.memory_mb} MB",
        ]
        if self.max_memory_mb is not None:
            parts.append(f"Max Memory Used: {self.max_memory_mb} MB")
        if self.init_ms is not None:
            parts.append(f"Init Duration: {self.init_ms:.2f} ms")
        if self.status:
            parts.append(f"Status: {self.status}")
        return "\t".join(parts)


@dataclass(frozen=True)
class Outcome:
    """What an invocation came to: the function's JSON, or with `failed` Lambda's error object."""

    payload: bytes
    report: Report
    failed: bool = False


def error_payload(error_type: str, message: str) -> bytes:
    """Return the error object of an invocation that the runtime itself had no answer to."""
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()
