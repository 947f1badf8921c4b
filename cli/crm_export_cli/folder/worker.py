"""Does the next steps of a folder's exports, in a few threads, until they have ended.

There are no messages: the table itself says which parts are due. So nothing is lost with a process, and
another one continues where it stopped.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Lock

from crm_export.errors import ExportError
from crm_export.exports.attempt import retry_delay
from crm_export.exports.download import advance_part
from crm_export.exports.model import ExportState, Part, PartState, Step, next_step
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.reconcile import reconcile
from crm_export.exports.submit import submit_part
from crm_export.telemetry import logger
from crm_export_cli.folder.errors import FolderFull
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.table import SqliteExportTable

_THREADS = 4
_LOOK_SECONDS = 1.0  # how often the table is looked at for what other processes did or left behind
_RECONCILE_SECONDS = 60.0
_LONGEST_POLL = 15.0
_MOST_CRASHES = 8

type _Key = tuple[str, int]


class Worker:
    """Works on some exports of a folder. `stop` ends its transfers; what they did is not lost."""

    def __init__(self, table: SqliteExportTable, processes: Processes) -> None:
        self._table = table
        self._processes = processes
        self._wake = Event()
        self._stopping = Event()
        self._lock = Lock()
        self._busy: set[_Key] = set()
        self._postponed: dict[_Key, datetime] = {}
        self._crashes: Counter[_Key] = Counter()
        self._fatal: BaseException | None = None

    def wake(self) -> None:
        """Look for due parts now."""
        self._wake.set()

    def keep_on(self) -> None:
        """Raise KeyboardInterrupt, in the thread of a transfer, if the command was interrupted."""
        if self._stopping.is_set():
            raise KeyboardInterrupt

    def run(self, pipeline: Pipeline, export_ids: list[str], look: Callable[[], None]) -> None:
        """Work until all exports have ended; call `look` at least once a second.

        Raises FolderFull, and what a step raised unforeseen again and again.
        """
        reconciled_at = float("-inf")
        self._stopping.clear()  # of an earlier call
        try:
            while self._start_due(pipeline, export_ids):
                self._wake.wait(_LOOK_SECONDS)
                self._wake.clear()
                if self._fatal is not None:
                    raise self._fatal
                if pipeline.system.monotonic() > reconciled_at + _RECONCILE_SECONDS:
                    reconcile(pipeline)  # fails exports that are past their deadline
                    reconciled_at = pipeline.system.monotonic()
                look()
            look()
        finally:
            self._stop(pipeline)

    def _stop(self, pipeline: Pipeline) -> None:
        """End the threads, as far as they notice; a process that ends takes the others with it."""
        self._stopping.set()
        give_up_at = pipeline.system.monotonic() + 2
        while self._busy and pipeline.system.monotonic() < give_up_at:
            pipeline.system.sleep(0.02)

    def _start_due(self, pipeline: Pipeline, export_ids: list[str]) -> bool:
        """Start a thread for each part that is due, and return True if some exports have not ended."""
        exports = [pipeline.table.get(export_id) for export_id in export_ids]
        running = [export for export in exports if export and export.state is ExportState.RUNNING]
        for export in running:
            for part, process in self._table.unfinished_parts(export):
                step, key = next_step(export, part), (part.export_id, part.part)
                is_ours = len(self._busy) < _THREADS and key not in self._busy
                if is_ours and step is not Step.NOTHING and self._is_due(pipeline.clock(), part, process):
                    self._start(pipeline, key, step)
        return bool(running)

    def _is_due(self, now: datetime, part: Part, process: str | None) -> bool:
        if process is not None and self._processes.is_alive(process) and (part.lease_until or now) > now:
            return False
        not_before = self._postponed.get((part.export_id, part.part), now)
        look_at = poll_at(part) if process is None else None  # its process died before it had looked
        return now >= max(not_before, part.not_before or now, look_at or now)

    def _start(self, pipeline: Pipeline, key: _Key, step: Step) -> None:
        def work() -> None:
            try:
                verb = submit_part if step.is_submitters else advance_part
                verb(pipeline, *key)
                self._crashes.pop(key, None)
            except ExportError as error:
                self._note(pipeline, key, error, in_table=step is not Step.COMPLETE)
            except KeyboardInterrupt:  # from `keep_on`
                pass
            except Exception as error:  # recorded in the part; the export fails after a few
                self._note_crash(pipeline, key, error)
            finally:
                with self._lock:
                    self._busy.discard(key)
                self._wake.set()

        with self._lock:
            self._busy.add(key)
        pipeline.system.start_thread(work)

    def _note(self, pipeline: Pipeline, key: _Key, error: ExportError, *, in_table: bool) -> None:
        """Postpone a part; in_table: the table has its pause, so look again soon."""
        cause = error.__cause__ if isinstance(error.__cause__, FolderFull) else error
        if isinstance(cause, FolderFull):
            self._fatal = cause
        elif error.retryable:
            delay = 0.5 if in_table else retry_delay(error, 1)
            self._postponed[key] = pipeline.after(delay)
            logger.info("part postponed", export_id=key[0], part=key[1], reason=error.message)
        else:
            logger.error("part ended", export_id=key[0], part=key[1], reason=error.message)

    def _note_crash(self, pipeline: Pipeline, key: _Key, error: Exception) -> None:
        logger.exception("step failed", export_id=key[0], part=key[1])
        self._crashes[key] += 1
        self._postponed[key] = pipeline.after(min(2.0 ** self._crashes[key], 60.0))
        if self._crashes[key] > _MOST_CRASHES:
            self._fatal = error


def poll_at(part: Part) -> datetime | None:
    """Return when to ask Zoho for a job's state again: after 1, 1, 2, 4, 8 and then every 15 seconds.

    It follows from the part itself, so all processes of a folder share it, and it is due after a long pause.
    """
    if part.state is not PartState.SUBMITTED or part.submitted_at is None:
        return None
    age = (part.updated_at - part.submitted_at).total_seconds()
    return part.updated_at + timedelta(seconds=min(max(age, 1.0), _LONGEST_POLL))
