"""One export and everything around it: its table in memory, and fakes of queues, S3 and Zoho."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

import pytest

import tests.support.hypothesis_profiles  # noqa: F401 (for the property tests)
from crm_export.aws.export_table import DynamoExportTable
from crm_export.errors import ObjectConflict, StepPostponed, ZohoNotFound
from crm_export.exports.callbacks import KeyRing
from crm_export.exports.download import advance_part
from crm_export.exports.model import Caller, Export, Failure, Part, Stored
from crm_export.exports.pipeline import Callback, Limits, Pipeline, Zoho
from crm_export.exports.reconcile import reconcile
from crm_export.exports.request import ExportRequest
from crm_export.exports.start import create_export
from crm_export.exports.submit import submit_part
from crm_export.results.record_ids import PartIds
from crm_export.system import System
from crm_export.telemetry import metrics
from crm_export.zoho.bulk_read import COMPLETED, Job
from crm_export.zoho.census import Count
from crm_export.zoho.records import FieldNames
from simulation.dynamodb import DynamoDb, TableData

EXPORT_ID = "20261122T130000Z-0123456789abcdef"
CALLER = Caller("acct-1", "user-1")
BEGAN = datetime(2026, 11, 22, 13, tzinfo=UTC)


class FakeQueue:
    """A queue: `sent` holds the parts that were sent and after which delay."""

    def __init__(self):
        self.sent: list[tuple[int, int]] = []
        self.groups: list[str] = []
        self.callbacks: list[Callback | None] = []

    def send(self, export_id, part, *, group, delay=0, callback=None):
        self.groups.append(group)
        self.callbacks.append(callback)
        self.sent.append((part, delay))

    @property
    def parts(self):
        return [part for part, _ in self.sent]


class FakeResults:
    """S3: `objects` has the content by key, `expected` the record count and the job of each result.

    `fails` is raised after a result was read, `before_it_appears` runs before an object is confirmed.
    """

    def __init__(self):
        self.objects: dict[str, Any] = {}
        self.manifests: dict[str, dict[str, Any]] = {}
        self.expected: list[tuple[int, str]] = []
        self.columns: list[list[str]] = []
        self.fails: Exception | None = None
        self.refuses_manifests: Exception | None = None
        self.before_it_appears = lambda: None

    def _appear(self, key, content, confirm):
        self.before_it_appears()
        confirm()
        if self.objects.setdefault(key, content) != content:
            raise ObjectConflict(f"{key} exists with other content.")

    def store_result(self, chunks, key, *, file_format, expected_records, job_id, confirm, index=False):
        content = b"".join(chunks)
        if self.fails:
            raise self.fails
        self._appear(key, content, confirm)
        self.expected.append((expected_records, job_id))
        return Stored(key, expected_records, len(content), f"{crc32(content):08x}", ("Id",))

    def store_records(self, pages, key, *, fields, file_format, confirm, index=False):
        records = [record["id"] for page in pages for record in page]
        self._appear(key, records, confirm)
        self.columns.append(fields)
        return Stored(key, len(records), 9, f"{crc32(repr(records).encode()):08x}", ("Id",))

    def read_ids(self, key):
        yield from self.objects[key]

    def remove_leftovers(self, folder, keep):
        for key in [key for key in self.objects if key.startswith(f"{folder}/part-") and key not in keep]:
            del self.objects[key]

    def read_manifest(self, key):
        if self.refuses_manifests:
            raise self.refuses_manifests
        return self.manifests.get(key)

    def write_manifest(self, key, manifest):
        if self.refuses_manifests:
            raise self.refuses_manifests
        return self.manifests.setdefault(key, manifest) is manifest


class FakeBus:
    """A bus of events: `sent` holds the detail-type and the detail of each; `fails` is raised instead."""

    def __init__(self):
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.fails: Exception | None = None

    def send(self, detail_type, detail):
        if self.fails:
            raise self.fails
        self.sent.append((detail_type, detail))


class FakeCensus:
    """Zoho's count, records created since, times of deletions, and fields; an exception is raised instead."""

    def __init__(self):
        self.records: Any = 0
        self.at = BEGAN
        self.created: Any = 0
        self.deleted: Any = []
        self.described: Any = []
        self.asked: list[Any] = []

    def count(self, version, module):
        self.asked.append(("count", version, module))
        return Count(_value_of(self.records), self.at)

    def created_since(self, version, module, moment):
        self.asked.append(("created", module, moment))
        return _value_of(self.created)

    def deleted_since(self, version, module, moment):
        self.asked.append(("deleted", module, moment))
        return [time for time in _value_of(self.deleted) if time >= moment]

    def fields(self, version, module):
        self.asked.append(("fields", version, module))
        return _value_of(self.described)


class FakeZoho:
    """Zoho's jobs, results and pages, and the requests made; `meanwhile` runs before a response."""

    def __init__(self):
        self.jobs: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.created: list[Any] = []
        self.asked: list[str] = []
        self.refusals: list[Exception] = []
        self.meanwhile = lambda: None
        self.pages: list[Any] = []
        self.cursors: list[Any] = []
        self.metadata_read: list[tuple[str, str]] = []
        self.pages_read: list[Any] = []  # (version, module, cvid, fields)
        self.names: Any = (["Note_Title"], [])
        self.census = FakeCensus()
        self.changes: Any = None
        self.times: Any = None  # PagingBroken if a record has no Modified_Time

    def create_job(self, version, request):
        self.created.append(request)
        self.meanwhile()
        if self.refusals:
            raise self.refusals.pop(0)
        return f"new-{len(self.created)}"

    def _ask(self, job_id):
        self.asked.append(job_id)
        assert len(self.asked) < 50, "a step that never ends"

    def get_job(self, version, job_id):
        self._ask(job_id)
        self.meanwhile()
        return _value_of(self.jobs.get(job_id, ZohoNotFound("no such job")))

    @contextmanager
    def open_result(self, version, job_id):
        self._ask(job_id)
        yield iter(_value_of(self.results.get(job_id, [b"result of ", job_id.encode()])))

    def field_names(self, version, module):
        self.metadata_read.append((version, module))
        return FieldNames(*_value_of(self.names))

    def check_times(self, version, module):
        _value_of(self.times)

    def read_page(self, version, module, cvid, fields, cursor):
        self.cursors.append(cursor)
        self.pages_read.append((version, module, cvid, fields))
        page = _value_of(self.pages.pop(0))
        return page() if callable(page) else page


def _value_of(planned):
    if isinstance(planned, Exception):
        raise planned
    return planned


@dataclass
class OneExport:
    """One export, the verbs that work on it, and the fakes."""

    now: datetime = BEGAN
    export_id: str = EXPORT_ID
    submit_queue: FakeQueue = field(default_factory=FakeQueue)
    download_queue: FakeQueue = field(default_factory=FakeQueue)
    results: FakeResults = field(default_factory=FakeResults)
    events: FakeBus = field(default_factory=FakeBus)
    zoho: FakeZoho = field(default_factory=FakeZoho)
    wait: int = 0  # seconds that the download budget makes a part wait
    items: TableData = field(default_factory=lambda: TableData(lambda: 0.0))
    repeated: list[Callable[[], bool]] = field(default_factory=list)  # called every 15 seconds

    def __post_init__(self):
        self.table = DynamoExportTable(DynamoDb(self.items), "exports")
        self.pipeline = Pipeline(
            table=self.table,
            submit_queue=self.submit_queue,
            download_queue=self.download_queue,
            zoho=lambda account_id, owner: Zoho(
                self.zoho, self.zoho, self.zoho.census, self.zoho.changes, lambda version: None
            ),
            results=self.results,
            events=self.events,
            results_bucket="results",
            budget=self,
            callback_keys=KeyRing(lambda: ("k" * 32, None)),
            callback_base_url="https://x",
            link=lambda key: f"https://s3.example/{key}",
            system=System(now=lambda: self.now, sleep=self.let_pass, repeat=self._repeat),
            limits=Limits(),
        )

    def replaced(self, **members):
        return replace(self.pipeline, **members)

    def limit(self, **limits):
        self.pipeline = replace(self.pipeline, limits=Limits(**limits))

    def let_pass(self, seconds):
        """Let time pass; what is repeated every 15 seconds runs meanwhile."""
        while seconds > 0 and self.repeated:
            self.now += timedelta(seconds=min(seconds, 15))
            if seconds >= 15:
                self.repeated = [work for work in self.repeated if work()]
            seconds -= 15
        self.now += timedelta(seconds=max(seconds, 0))

    def _repeat(self, seconds, work):
        assert seconds == 15
        self.repeated.append(work)
        return lambda: self.repeated.remove(work) if work in self.repeated else None

    def at(self, seconds):
        return self.now + timedelta(seconds=seconds)

    def create(self, export_id=EXPORT_ID, **changes):
        """Write the export with one PENDING part, in place of the earlier export."""
        export = Export(
            export_id=export_id,
            account_id=CALLER.account_id,
            owner=CALLER.owner,
            module=changes.pop("module", "Contacts"),
            query=changes.pop("query", {}),
            file_type="csv",
            api_version=changes.pop("api_version", "v8"),
            callback_base_url="https://x",
            requested_at=self.now,
            deadline_at=self.now + timedelta(hours=24),
            expires_at=self.now + timedelta(days=30),
        )
        self.table.create(replace(export, **changes), Part(export_id, 1, self.now))
        return self.export()

    def export(self):
        return self.table.get(self.export_id)

    def part(self, number=1):
        return self.table.get_part(self.export_id, number)

    def claim(self, owner, seconds, number=1):
        """Lease a part as another worker does."""
        assert self.table.claim(self.part(number), owner, self.now, self.at(seconds))

    def submitted(self, number=1, job_id="1"):
        assert self.table.mark_submitted(self.part(number), job_id, self.now)

    def ready(self, number=1, job_id="1", count=5, token=None):
        """Let a part's job be done; with a token more records follow."""
        self.submitted(number, job_id)
        assert self.table.mark_ready(self.export(), self.part(number), job(job_id, count, token), self.now)

    def stored(self, number=1, job_id="1", count=5, token=None, key=None):
        self.ready(number, job_id, count, token)
        key = key or self.export().part_key(number)
        self.results.objects[key] = b"x"
        lowest, highest = 100 * number + 1, 100 * number + 99
        ids = PartIds(count, lowest, highest, lowest, highest, "d")
        stored = Stored(key, count, 10 * count, f"{number:08x}", ("Id",), ids)
        assert self.table.mark_stored(self.part(number), stored, self.now)

    def restart(self, first):
        assert self.table.restart(self.export(), Part(self.export_id, first, self.now))

    def fail(self):
        assert self.table.fail(self.export(), None, Failure("X", "x", ""), self.now)

    def start(self, request=None):
        """Start another export, which takes the place of this one."""
        request = request or ExportRequest("Contacts", {}, "csv")
        export = create_export(self.pipeline, CALLER, request, "https://x")
        self.export_id = export.export_id
        return export

    def submit(self, number=1):
        with _cause():
            submit_part(self.pipeline, self.export_id, number)

    def advance(self, number=1, callback=None):
        with _cause():
            advance_part(self.pipeline, self.export_id, number, callback)

    def take(self, account_id, now):
        """DownloadBudget."""
        return self.wait

    def reconcile(self):
        return reconcile(self.pipeline)


@contextmanager
def _cause():
    """Raise the error that postponed a step."""
    try:
        yield
    except StepPostponed as postponed:
        raise postponed.__cause__ from None


def job(job_id, count=5, token=None, state=COMPLETED, **more):
    """Return a job as Zoho describes it; with a token more records follow, found by page if it is empty."""
    more_records = token is not None
    return Job(job_id, state, "Contacts", 1, count, more_records, next_page_token=token or None, **more)


@pytest.fixture
def one_export():
    """A RUNNING export of Contacts with one PENDING part."""
    one_export = OneExport()
    one_export.create()
    return one_export


@pytest.fixture
def metric_names():
    """A function that returns the names of the metrics counted since the test began."""
    metrics().metric_set.clear()
    return lambda: set(metrics().metric_set)
