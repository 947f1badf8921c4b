"""The steps of an export one by one: the store over a table in memory, queues, S3 and Zoho as told."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import tests.support.hypothesis_profiles  # noqa: F401 (for the property tests)
from crm_export.aws.export_table import DynamoExportStore
from crm_export.errors import ZohoNotFound
from crm_export.exports.download import DownloadServices, advance_part
from crm_export.exports.model import Export, Part, timestamp
from crm_export.exports.reconcile import ReconcileServices, reconcile
from crm_export.exports.submit import SubmitServices, submit_part
from crm_export.zoho.bulk_read import COMPLETED, Job
from simulation.dynamodb import DynamoDb, TableData

EXPORT_ID = "20261122T130000Z-0123456789abcdef"
_BEGAN = datetime(2026, 11, 22, 13, tzinfo=UTC)


class Queue:
    """A queue: the parts that were sent to it, and after which delay."""

    def __init__(self):
        self.sent: list[tuple[int, int]] = []

    def send(self, export_id, part, *, delay=0):
        self.sent.append((part, delay))

    @property
    def parts(self):
        return [part for part, _ in self.sent]


class Results:
    """S3: `objects` are keys and what was written."""

    def __init__(self):
        self.objects: dict[str, Any] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.expected: list[Any] = []
        self.fails: Exception | None = None

    def store(self, chunks, key, *, file_type, expected_records, entry_name):
        content = b"".join(chunks)
        if self.fails:
            raise self.fails
        self.objects[key] = content
        self.expected.append(expected_records)
        return {"records": expected_records, "bytes": len(content), "crc32": "0000000a", "header": ["Id"]}

    def store_records(self, pages, key, *, fields, file_type):
        records = [record["id"] for page in pages for record in page]
        self.objects[key] = records
        return {"records": len(records), "bytes": 9, "crc32": "0000000b", "header": ["Id"]}

    def ids(self, key):
        yield from self.objects[key]

    def delete_others(self, folder, keep):
        gone = [key for key in self.objects if key.startswith(f"{folder}/part-") and key not in keep]
        for key in gone:
            del self.objects[key]
        return len(gone)

    def put_manifest(self, key, manifest):
        self.manifests.setdefault(key, manifest)


class Zoho:
    """Zoho: its jobs, their results, and all that was asked of it; `meanwhile` happens before it answers."""

    def __init__(self):
        self.jobs: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.created: list[Any] = []
        self.asked: list[str] = []
        self.refusals: list[Exception] = []
        self.meanwhile = lambda: None
        self.pages: list[Any] = []
        self.cursors: list[Any] = []
        self.names: Any = (["Note_Title"], [])

    def create_job(self, version, request):
        self.created.append(request)
        self.meanwhile()
        if self.refusals:
            raise self.refusals.pop(0)
        return f"new-{len(self.created)}"

    def _ask(self, job_id):
        self.asked.append(job_id)
        assert len(self.asked) < 50, "a step that goes on and on"

    def get_job(self, version, job_id):
        self._ask(job_id)
        self.meanwhile()
        found = self.jobs.get(job_id, ZohoNotFound("no such job"))
        if isinstance(found, Exception):
            raise found
        return found

    @contextmanager
    def open_result(self, version, job_id):
        self._ask(job_id)
        found = self.results.get(job_id, [b"result of ", job_id.encode()])
        if isinstance(found, Exception):
            raise found
        yield iter(found)

    def field_names(self, version, module):
        if isinstance(self.names, Exception):
            raise self.names
        return self.names

    def page(self, version, module, query, fields, cursor):
        self.cursors.append(cursor)
        found = self.pages.pop(0)
        if isinstance(found, Exception):
            raise found
        return found() if callable(found) else found


@dataclass
class Pipeline:
    """One export, and everything it meets."""

    now: datetime = _BEGAN
    export_id: str = EXPORT_ID
    submit_queue: Queue = field(default_factory=Queue)
    download_queue: Queue = field(default_factory=Queue)
    results: Results = field(default_factory=Results)
    zoho: Zoho = field(default_factory=Zoho)
    wait: int = 0
    table: TableData = field(default_factory=lambda: TableData(lambda: 0.0))

    def __post_init__(self):
        self.store = DynamoExportStore(DynamoDb(self.table), "exports")

    def clock(self):
        return self.now

    def let_pass(self, seconds):
        self.now += timedelta(seconds=seconds)

    @property
    def moment(self):
        return timestamp(self.now)

    def create(self, export_id=EXPORT_ID, **changes):
        export = Export(
            export_id=export_id,
            account_id="acct-1",
            owner="user-1",
            module=changes.pop("module", "Contacts"),
            query=changes.pop("query", {}),
            file_type="csv",
            api_version=changes.pop("api_version", "v8"),
            callback_base_url="https://x",
            requested_at=self.moment,
            deadline_at=timestamp(self.now + timedelta(hours=24)),
            expires_at=2_000_000_000,
        )
        self.store.create(replace(export, **changes), Part(export_id, 1, self.moment))
        return self.export()

    def export(self):
        return self.store.get(self.export_id)

    def part(self, number=1):
        return self.store.get_part(self.export_id, number)

    def submitted(self, number=1, job_id="1"):
        assert self.store.mark_submitted(self.part(number), job_id, self.moment)

    def ready(self, number=1, job_id="1", count=5, token=None):
        """A part whose job is done; with a token more records follow."""
        self.submitted(number, job_id)
        assert self.store.mark_ready(self.part(number), job(job_id, count, token), self.moment)

    def stored(self, number=1, job_id="1", count=5, token=None, key=None):
        self.ready(number, job_id, count, token)
        key = key or self.export().part_key(number)
        self.results.objects[key] = b"x"
        facts = {
            "records": count,
            "bytes": 10 * count,
            "crc32": f"{number:08x}",
            "header": ["Id"],
            "key": key,
        }
        assert self.store.mark_stored(self.part(number), facts, self.moment)

    def begin_anew(self, first):
        assert self.store.restart(self.export(), Part(self.export_id, first, self.moment))

    def fail(self):
        failure = {"code": "X", "message": "x", "remedy": ""}
        assert self.store.fail(self.export(), None, failure, self.moment)

    def advance(self, number=1):
        services = DownloadServices(
            store=self.store,
            submit_queue=self.submit_queue,
            download_queue=self.download_queue,
            bulk_read=lambda account_id, owner: self.zoho,
            records=lambda account_id, owner: self.zoho,
            results=self.results,
            budget=self,
            clock=self.clock,
            job_deadline=timedelta(hours=3),
        )
        advance_part(services, self.export_id, number)

    def take(self, account_id, now):
        """DownloadBudget."""
        return self.wait

    def submit(self, number=1):
        services = SubmitServices(
            store=self.store,
            submit_queue=self.submit_queue,
            download_queue=self.download_queue,
            bulk_read=lambda account_id, owner: self.zoho,
            records=lambda account_id, owner: self.zoho,
            callback_url=lambda export, part: f"https://x/{part}",
            clock=self.clock,
        )
        submit_part(services, self.export_id, number)

    def reconcile(self):
        return reconcile(
            ReconcileServices(self.store, self.submit_queue, self.download_queue, self.clock, 300)
        )


def job(job_id, count=5, token=None, state=COMPLETED, **more):
    """A job as Zoho tells of it; with a token more records follow."""
    return Job(
        job_id, state, "Contacts", 1, count, more_records=token is not None, next_page_token=token, **more
    )


@pytest.fixture
def pipeline():
    return Pipeline()
