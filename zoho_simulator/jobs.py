"""Bulk Read jobs: their states over time and which records they hold."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zoho_simulator.builder import ID_BASE
from zoho_simulator.bulk_query import BulkQuery
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.criteria import Criteria, select

_FAILED = {
    "status": "error",
    "code": "INTERNAL_SERVER_ERROR",
    "message": "Internal server error occurred.",
    "details": {},
}


@dataclass
class JobFaults:
    """Scripted mischief with one job; scripted as faults.py says."""

    state: str = ""  # end in this state; one other than COMPLETED or FAILURE is never left
    error: dict[str, Any] = field(default_factory=lambda: dict(_FAILED))
    count_delta: int = 0  # what the status answer says more (or less) than there is
    missing_rows: int = 0  # rows the file lacks
    corrupt_crc: bool = False
    expired: bool = False
    entry_name: str = ""  # another name for the entry in the ZIP


@dataclass
class Job:
    """One job. Its moments are fixed when it is created; the state follows from the clock."""

    id: str
    user: str
    version: str
    query: BulkQuery
    total: int  # records of the module when the export began: later ones do not move the pages
    page_size: int
    created_at: float
    queued_at: float
    started_at: float
    ended_at: float
    callback_url: str | None = None
    faults: JobFaults = field(default_factory=JobFaults)
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    next_page_token: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def state(self, now: float) -> str:
        """ADDED, QUEUED, IN PROGRESS, COMPLETED or FAILURE."""
        if now < self.queued_at:
            reached = "ADDED"
        elif now < self.started_at:
            reached = "QUEUED"
        elif now < self.ended_at:
            reached = "IN PROGRESS"
        else:
            return self.faults.state or "COMPLETED"
        return reached

    def end_now(self, now: float) -> None:
        """Let the job be over at this moment."""
        self.queued_at = self.started_at = self.ended_at = min(now, self.ended_at)


class Jobs:
    """All jobs of the simulator and the selections they share. Safe to use from any thread."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._busy_until = 0.0
        self._selecting = threading.Lock()  # apart, as a selection may take seconds
        self._selections: OrderedDict[tuple[Any, ...], tuple[Criteria, Sequence[int]]] = OrderedDict()

    def add(
        self,
        query: BulkQuery,
        total: int,
        *,
        user: str,
        version: str,
        callback_url: str | None,
        faults: JobFaults,
    ) -> Job:
        """A new job, with its timetable. With `serial_jobs` it starts when the one before has ended."""
        config = self._config
        with self._lock:
            now = config.clock()
            queued = now + config.added_seconds
            started = queued + config.queued_seconds
            if config.serial_jobs:
                started = max(started, self._busy_until)
            ended = started + config.in_progress_seconds
            self._busy_until = max(self._busy_until, ended)
            size = config.ics_records_per_job if query.file_type == "ics" else config.records_per_job
            job_id = str(ID_BASE + 24_600_000_000 + len(self._jobs) * 2)
            job = Job(
                job_id, user, version, query, total, size, now, queued, started, ended, callback_url, faults
            )
            self._jobs[job_id] = job
            return job

    def find(self, job_id: str) -> Job | None:
        """The job with this id."""
        with self._lock:
            return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Every job, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def expire_results(self) -> int:
        """Let the results of the jobs that have ended be gone. Answers how many these are."""
        now = self._config.clock()
        ended = [job for job in self.all() if now >= job.ended_at]
        for job in ended:
            job.faults = replace(job.faults, expired=True)
        return len(ended)

    def rows(self, job: Job) -> tuple[Sequence[int], bool]:
        """The record numbers of a job and whether more come after it."""
        matching = self._matching(job)
        start = (job.query.page - 1) * job.page_size
        end = start + job.page_size
        return matching[start:end], len(matching) > end

    def _matching(self, job: Job) -> Sequence[int]:
        criteria, living = job.query.criteria, job.query.module.living(job.total)
        if criteria is None:
            return living
        # Pages of one export share the parsed criteria, so identity finds what was selected before.
        key = (id(criteria), job.total)
        with self._selecting:
            if key not in self._selections:
                self._selections[key] = (criteria, select(criteria, living))
                if len(self._selections) > 8:
                    self._selections.popitem(last=False)
            return self._selections[key][1]
