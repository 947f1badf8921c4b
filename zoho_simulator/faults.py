"""Scripted faults: a rule matches requests (or callbacks) and says what happens to them.

A rule is JSON: {"method": "POST", "path": "<regex>", "nth": 2 or [1, 3], "times": 1, <actions>}. Actions:
status, body, headers: send this response; the request is processed only if "process" is true.
error, details: send one of Zoho's documented errors (errors.py) with these details.
quote: "plain", "percent" or "json": the error's message quotes the request's headers and body, encoded so.
delay: wait that many seconds before the response.
cut_after: close the connection after that many bytes of the body.
drop: "before" or "after" the request is processed, close the connection without a response.
job: what happens to the job that this request creates (JobFaults).
change: change records once this request has its response, for example {"Contacts": {"modify": 3}}
(data/changes.py).
With "target": "callback" the path is searched in the callback URL, and the actions are delay, drop (true)
and duplicate (extra copies).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from typing import Any, Literal
from urllib.parse import quote

from zoho_simulator.data.changes import check_change
from zoho_simulator.errors import ZohoError, documented_error
from zoho_simulator.wire import Json, Request, Response


@dataclass(frozen=True)
class JobFaults:
    """Deviations of one job."""

    state: str = ""  # end in this state; a state other than COMPLETED or FAILURE lasts
    seconds: float | None = None  # until it ends, instead of the settings' three times
    is_early: bool = False  # ends at once and calls back before the response, as callback_mode `early`
    error: Json = field(default_factory=lambda: ZohoError("INTERNAL_SERVER_ERROR").body())
    count_delta: int = 0  # added to the count that the job details report
    missing_rows: int = 0  # rows that the file lacks
    omitted_rows: int = 0  # first rows that the job leaves out, of its file and of its count
    corrupt_crc: bool = False
    expired: bool = False
    details: Json = field(default_factory=dict)  # a merge patch (RFC 7396) of the job details; null removes


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
    quote: Literal["", "plain", "percent", "json"] = ""
    duplicate: int = 0
    job: Json = field(default_factory=dict)
    error: str = ""
    details: Json = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)
    seen: int = 0
    used: int = 0

    def matches(self, target: str, method: str, path: str) -> bool:
        """Return True if the rule is about this request; its counters are not checked."""
        return self.target == target and self.method in ("", method) and bool(re.search(self.path, path))


_NO_FAULT = Fault()


@dataclass
class Faults:
    """The rules in force; the first that acts wins. A simulation overrides `take` to draw its own faults."""

    _lock: Lock = field(default_factory=Lock)
    _rules: list[Fault] = field(default_factory=list)

    def add(self, document: Mapping[str, Any]) -> None:
        """Add a rule. Raises ValueError for a malformed one."""
        fault = parse_fault(document)
        with self._lock:
            self._rules.append(fault)

    def take(self, target: str, method: str, path: str) -> Fault:
        """Count a request (or callback) and return the rule that acts on it, or a rule without actions."""
        acting = None
        with self._lock:
            for rule in self._rules:
                if not rule.matches(target, method, path):
                    continue
                rule.seen += 1
                is_due = not rule.nth or rule.seen in rule.nth
                if acting is None and is_due and not (rule.times and rule.used >= rule.times):
                    rule.used += 1
                    acting = rule
        return acting or _NO_FAULT

    def list(self) -> list[Json]:
        """Return the rules with their counters."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()


def parse_fault(document: Mapping[str, Any]) -> Fault:
    """Return a rule from its JSON. Raises ValueError that names the mistake."""
    values = dict(document)
    _refuse_unknown(values, Fault, "seen", "used")
    nth = values.get("nth", [])
    values["nth"] = [nth] if isinstance(nth, int) else list(nth)
    values["drop"] = "before" if values.get("drop") is True else values.get("drop") or ""
    if values["drop"] not in ("", "before", "after"):
        raise ValueError(f"drop must be true, before or after, not {values['drop']!r}.")
    if values.get("quote", "") not in ("", "plain", "percent", "json"):
        raise ValueError(f"quote must be plain, percent or json, not {values['quote']!r}.")
    if values.get("target", "request") not in ("request", "callback"):
        raise ValueError(f"target must be request or callback, not {values['target']!r}.")
    try:
        re.compile(values.get("path", ""))
    except re.error as error:
        raise ValueError(f"path is not a regular expression: {error}.") from None
    parse_job_faults(values.get("job", {}))
    for module, change in values.get("change", {}).items():
        check_change(module, change)
    if values.get("error"):
        if values.keys() & {"status", "body"}:
            raise ValueError("A fault takes either error, or status and body.")
        scripted = documented_error(values["error"], values.get("details"))
        values |= {"status": scripted.status, "body": scripted.body()}
    return Fault(**values)


def parse_job_faults(document: Mapping[str, Any]) -> JobFaults:
    """Return JobFaults from JSON. Raises ValueError for an unknown key."""
    _refuse_unknown(document, JobFaults)
    return JobFaults(**document)


def quote_request(request: Request, response: Response, encoding: str) -> None:
    """Let an error's message quote the request that it refuses; other responses stay as they are."""
    try:
        body = json.loads(response.body) if isinstance(response.body, bytes) else None
    except ValueError:
        return
    if not isinstance(body, dict) or "message" not in body:
        return
    quoted = f"{request.method} {request.path} {dict(request.headers)} {request.body.decode()}"
    if encoding != "plain":
        quoted = quote(quoted, safe="") if encoding == "percent" else json.dumps(quoted)
    response.body = json.dumps({**body, "message": f"{body['message']} in {quoted}"}).encode()


def _refuse_unknown(document: Mapping[str, Any], kind: type[Fault | JobFaults], *reserved: str) -> None:
    allowed = {f.name for f in fields(kind)} - set(reserved)
    if unknown := sorted(document.keys() - allowed):
        raise ValueError(f"{kind.__name__} has no key {unknown[0]!r}; allowed: {sorted(allowed)}.")
