"""Scripted faults: which request (or callback) is met, and what happens to it instead.

A rule is JSON: {"method": "POST", "path": "<regex>", "nth": 2 or [1, 3], "times": 1, <actions>}.
Actions: status, body, headers (answer this, the request is not processed unless "process" is true); delay
(seconds before the answer); cut_after (body bytes, then the connection closes); drop ("before" or "after"
the request is processed); job (JobFaults of the job this request creates); error (one of Zoho's codes in
error_codes.py: its status and body, with the parts of `details`); change ({"Contacts": {"modify": 3}}: what
changes.py does to records once this request has its answer). With "target": "callback" the path is searched
in the callback URL, and the actions are delay, drop (true) and duplicate (extra copies).
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from zoho_simulator.changes import check_change
from zoho_simulator.error_codes import documented_error
from zoho_simulator.jobs import JobFaults


@dataclass
class Fault:
    """One rule with its counters."""

    target: Literal["request", "callback"] = "request"
    method: str = ""
    path: str = ""
    nth: list[int] = field(default_factory=list)
    times: int = 0  # how often it acts; 0: as often as it matches
    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    process: bool = False
    delay: float = 0.0
    cut_after: int | None = None
    drop: Literal["", "before", "after"] = ""
    duplicate: int = 0
    job: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    used: int = 0

    def matches(self, target: str, method: str, path: str) -> bool:
        """Whether the rule is about this request, counters aside."""
        return self.target == target and self.method in ("", method) and bool(re.search(self.path, path))


class Faults:
    """The rules in force; the first that acts wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def add(self, document: Mapping[str, Any]) -> Fault:
        """Add a rule. Raises ValueError if it makes no sense."""
        fault = parse_fault(document)
        with self._lock:
            self._rules.append(fault)
        return fault

    def take(self, target: str, method: str, path: str) -> Fault | None:
        """The rule that acts on this request, if any. Counts."""
        acting = None
        with self._lock:
            for rule in self._rules:
                if not rule.matches(target, method, path):
                    continue
                rule.seen += 1
                due = not rule.nth or rule.seen in rule.nth
                if acting is None and due and not (rule.times and rule.used >= rule.times):
                    rule.used += 1
                    acting = rule
        return acting

    def list(self) -> list[dict[str, Any]]:
        """The rules with their counters."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()


def parse_fault(document: Mapping[str, Any]) -> Fault:
    """A rule from its JSON. Raises ValueError naming what is wrong."""
    values = dict(document)
    unknown = values.keys() - {f.name for f in fields(Fault)} | values.keys() & {"seen", "used"}
    if unknown:
        raise ValueError(f"no such key in a fault: {sorted(unknown)}")
    nth = values.get("nth", [])
    values["nth"] = [nth] if isinstance(nth, int) else list(nth)
    if values.get("drop") is True:
        values["drop"] = "before"
    if values.get("drop", "") not in ("", "before", "after", False):
        raise ValueError("drop must be true, before or after")
    if values.get("target", "request") not in ("request", "callback"):
        raise ValueError("target must be request or callback")
    values["drop"] = values.get("drop") or ""
    try:
        re.compile(values.get("path", ""))
    except re.error as error:
        raise ValueError(f"path is no regular expression: {error}") from None
    job_faults(values.get("job", {}))
    for module, change in values.get("change", {}).items():
        check_change(module, change)
    return Fault(**values, **_scripted_error(values))


def _scripted_error(values: Mapping[str, Any]) -> dict[str, Any]:
    if not values.get("error"):
        return {}
    if values.keys() & {"status", "body"}:
        raise ValueError("a fault has either error or status and body")
    error = documented_error(values["error"], values.get("details"))
    return {"status": error.status, "body": error.body()}


def job_faults(document: Mapping[str, Any]) -> JobFaults:
    """JobFaults from JSON. Raises ValueError for a key it does not have."""
    unknown = document.keys() - {f.name for f in fields(JobFaults)}
    if unknown:
        raise ValueError(f"no such key in a job fault: {sorted(unknown)}")
    return JobFaults(**document)
