"""Bulk Read jobs: their states over time, and which records they contain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from zoho_simulator.bulk.query import BulkQuery
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.builder import ID_BASE
from zoho_simulator.data.columns import Rows
from zoho_simulator.data.criteria import Criteria, select
from zoho_simulator.faults import JobFaults
from zoho_simulator.tokens import Call
from zoho_simulator.wire import Json

_SELECTIONS_KEPT = 8


@dataclass
class Job:
    """One job. Its times are set when it is created; its state depends on the clock."""

    id: str
    call: Call
    query: BulkQuery
    total: int  # records of the module when the export began: later ones do not shift the pages
    page_size: int
    created_at: float
    queued_at: float
    started_at: float
    ended_at: float
    callback_url: str | None = None
    faults: JobFaults = field(default_factory=JobFaults)
    callbacks: list[Json] = field(default_factory=list)  # attempts to deliver it
    next_page_token: str | None = None
    lock: Lock = field(default_factory=Lock, repr=False)

    def state(self, now: float) -> str:
        """Return ADDED, QUEUED, IN PROGRESS, COMPLETED or FAILURE."""
        if now >= self.ended_at:
            return self.faults.state or "COMPLETED"
        if now >= self.started_at:
            return "IN PROGRESS"
        return "QUEUED" if now >= self.queued_at else "ADDED"

    def without_faults(self) -> "Job":
        """Return the job as it would be without faults."""
        return replace(self, faults=JobFaults())

    def end(self, now: float) -> None:
        """Let the job end now, unless it has ended before."""
        self.queued_at = self.started_at = self.ended_at = min(now, self.ended_at)


@dataclass
class Jobs:
    """All jobs, and the selections of records that they share. Thread-safe."""

    _config: SimulatorConfig
    _clock: Callable[[], float]
    _lock: Lock = field(default_factory=Lock)
    _jobs: dict[str, Job] = field(default_factory=dict)
    _selecting: Lock = field(default_factory=Lock)  # another lock, because a selection may take seconds
    _selections: dict[tuple[int, int], tuple[Criteria, Rows]] = field(default_factory=dict)

    def add(
        self, query: BulkQuery, total: int, call: Call, callback_url: str | None, faults: JobFaults
    ) -> Job:
        """Create a job."""
        config = self._config
        with self._lock:
            now = self._clock()
            queued = now + config.added_seconds
            started = queued + config.queued_seconds
            ended = started + config.in_progress_seconds
            if faults.seconds is not None:
                queued, started, ended = now, now + faults.seconds / 2, now + faults.seconds
            size = config.ics_records_per_job if query.file_type == "ics" else config.records_per_job
            job_id = str(ID_BASE + 24_600_000_000 + len(self._jobs) * 2)
            self._jobs[job_id] = Job(
                job_id, call, query, total, size, now, queued, started, ended, callback_url, faults
            )
            return self._jobs[job_id]

    def find(self, job_id: str) -> Job | None:
        """Return the job with this id, or None."""
        return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Return every job, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def expire_results(self) -> int:
        """Let the results of all ended jobs expire, and return their number."""
        now = self._clock()
        ended = [job for job in self.all() if now >= job.ended_at]
        for job in ended:
            job.faults = replace(job.faults, expired=True)
        return len(ended)

    def rows(self, job: Job) -> tuple[Sequence[int], bool]:
        """Return the record numbers of a job, and whether more records follow.

        At least one row is left of those that the job is to leave out.
        """
        matching = self._matching(job)
        start = (job.query.page - 1) * job.page_size
        end = start + job.page_size
        rows = matching[start:end]
        return rows[max(0, min(job.faults.omitted_rows, len(rows) - 1)) :], len(matching) > end

    def _matching(self, job: Job) -> Rows:
        criteria, living = job.query.criteria, job.query.module.living(job.total)
        if criteria is None:
            return living
        # The pages of one export share the parsed criteria, so its identity finds the earlier selection.
        key = (id(criteria), job.total)
        with self._selecting:
            if key not in self._selections:
                self._selections[key] = (criteria, select(criteria, living))
                if len(self._selections) > _SELECTIONS_KEPT:
                    del self._selections[next(iter(self._selections))]
            return self._selections[key][1]
