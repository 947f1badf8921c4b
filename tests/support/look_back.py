"""Checks at the end of the whole run: no secrets in log lines, and the functions' AWS calls.

Each process records what its own tests did, so the checks work with any number of workers (pytest-xdist),
in any order and for any part of the suite. The controller collects the records and reports each check as a
test.
"""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

SECRETS = {
    "a refresh or access token": r"1000\.(?!LOCAL\b)[0-9A-Za-z]{2,}[0-9A-Za-z._-]+",
    "a client secret": r"local-secret|s3cret|client_secret=",
    "an Authorization header": r"Zoho-oauthtoken|Bearer ",
    "a JWT": r"eyJ[A-Za-z0-9_-]{10,}\.",
    "the signature of a callback URL": r"/callback/[^/ ]+/\d+/[0-9a-f]{64}",
    "a signature of AWS": r"X-Amz-Signature=",
    "personal data": r"[\w.]+@(?:\w+\.)*example(?:\.com)?\b",
}
# Permissions that no functional test uses, as (function, Sid, action): why the function needs them.
NEVER_USED: dict[tuple[str, str, str], str] = {}
FOREIGN_LOGS = {"aws.log", "zoho.log"}  # written by moto and by the Zoho simulator
_STANDARD_ATTRIBUTES = set(vars(logging.makeLogRecord({})))


def secrets_in(lines: Iterable[str], source: str) -> Iterator[str]:
    """Yield a problem for each kind of secret in each line; `source` says where the lines come from."""
    for line in lines:
        for kind, pattern in SECRETS.items():
            if re.search(pattern, line):
                yield f"{kind} in a log line of {source}: {line[:300]}"


class SecretFinder(logging.Handler):
    """Searches every log record as it would be written: message, extra keys and exception."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES}
        text = f"{record.name}: {self.format(record)} {extra}"
        self.problems += secrets_in(text.splitlines(), os.environ.get("PYTEST_CURRENT_TEST", "the run"))

    def search_files(self, folder: Path) -> None:
        """Search the log files of our own processes below `folder`."""
        for path in folder.rglob("*.log"):
            if path.name not in FOREIGN_LOGS:
                self.problems += secrets_in(path.read_text(errors="replace").splitlines(), path.name)


class LookBack:
    """The pytest plugin, registered as "look_back".

    `record` holds lists of strings and tuples, which xdist can send to the controller. The functional tests
    add `refused` (a problem for each call that no permission allows), `granted` and `used` (permissions).
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.functional = config.rootpath / "tests" / "functional"
        self.is_worker = hasattr(config, "workerinput")
        self.finder = SecretFinder()
        self.record: defaultdict[str, list[Any]] = defaultdict(list)
        self.passed: set[str] = set()
        self.has_run = False
        logging.getLogger().addHandler(self.finder)

    def pytest_unconfigure(self) -> None:
        logging.getLogger().removeHandler(self.finder)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.record["functional"] += [item.nodeid for item in session.items if self._is_functional(item)]

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.record["deselected"] += [item.nodeid for item in items if self._is_functional(item)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.has_run = True
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the record of a worker that has ended."""
        for name, values in getattr(node, "workeroutput", {}).get("look_back", {}).items():
            self.record[name] += values

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.record["secrets"] += [*self.finder.problems, *_disabled_loggers()]
        if self.is_worker:
            self.config.workeroutput["look_back"] = dict(self.record)  # type: ignore[attr-defined]
        elif self.has_run:
            self._report(session, "no_secret_in_any_log_line", self.record["secrets"])
            self._report(session, "every_aws_call_is_allowed", self.record["refused"])
            skipped = self._why_permissions_are_not_checked()
            unused = [] if skipped else self._unused_permissions()
            self._report(session, "every_permission_is_used", unused, skipped)

    def _unused_permissions(self) -> list[str]:
        # Other services use keys of KMS for a function, so its own calls do not show it.
        granted = {item for item in self.record["granted"] if not item[2].startswith("kms:")}
        unused = granted - set(self.record["used"])
        if self.record["functional"] and not self.record["granted"]:
            return ["The functional tests recorded no permissions."]
        needed = {item for item in unused if item[:3] in NEVER_USED}
        return [f"Nothing uses the permission {item}." for item in sorted(unused - needed)] + [
            f"The permission {item} is used: remove it from NEVER_USED."
            for item in NEVER_USED
            if item not in {item[:3] for item in needed}
        ]

    def _why_permissions_are_not_checked(self) -> str:
        collected = set(self.record["functional"])
        files = {nodeid.partition("::")[0].rpartition("/")[2] for nodeid in collected}
        if self.record["deselected"] or any("::" in argument for argument in self.config.args):
            return "Only a part of the functional tests was selected."
        if missing := {path.name for path in self.functional.glob("test_*.py")} - files:
            return f"{len(missing)} files of functional tests were not collected."
        if failed := collected - self.passed:
            return f"{len(failed)} functional tests did not pass."
        return ""

    def _is_functional(self, item: pytest.Item) -> bool:
        return item.path.parent == self.functional

    def _report(self, session: pytest.Session, name: str, problems: list[str], skipped: str = "") -> None:
        file = "tests/support/look_back.py"
        report = pytest.TestReport(
            nodeid=f"{file}::{name}",
            location=(file, 0, name),
            keywords={},
            outcome="failed" if problems else "skipped" if skipped else "passed",
            longrepr=(file, 0, f"Skipped: {skipped}") if skipped else "\n".join(problems),
            when="call",
        )
        self.config.hook.pytest_runtest_logreport(report=report)
        if problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def search_log_files(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search the log files below the run's temporary folder.

    Set up first, so torn down last: the processes that write the files have ended by then.
    """
    yield
    look_back_of(pytestconfig).finder.search_files(tmp_path_factory.getbasetemp())


def _disabled_loggers() -> list[str]:
    loggers = [item for item in logging.root.manager.loggerDict.values() if isinstance(item, logging.Logger)]
    return [
        f"A test disabled the logger {item.name}, so its lines were not searched."
        for item in loggers
        if item.disabled
    ]


def look_back_of(config: pytest.Config) -> LookBack:
    """Return the plugin of this run."""
    plugin = config.pluginmanager.get_plugin("look_back")
    assert isinstance(plugin, LookBack)
    return plugin
