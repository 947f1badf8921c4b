"""Syncs on real tables and results, both in memory, with a Zoho that has records, deletions and a clock."""

import csv
import io
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_export.aws.export_table import DynamoExportTable
from crm_export.aws.results_bucket import ResultsBucket
from crm_export.aws.sync_table import DynamoSyncTable
from crm_export.errors import ExportError, PagingBroken, StepPostponed, ZohoModuleNotSupported
from crm_export.exports.callbacks import KeyRing
from crm_export.exports.download import advance_part
from crm_export.exports.model import Caller, Export, ExportState
from crm_export.exports.pipeline import Limits, Pipeline, Zoho
from crm_export.exports.reconcile import reconcile
from crm_export.exports.request import StartRequest
from crm_export.exports.submit import submit_part
from crm_export.sync.chain import latest_key
from crm_export.sync.finish import RunEnds
from crm_export.sync.fold import fold, read_chain
from crm_export.sync.manage import describe_sync, put_sync, request_run
from crm_export.sync.model import Lag, Sync, SyncLimits, Syncs
from crm_export.sync.run import run_due
from crm_export.sync.schedule import start_due
from crm_export.system import System
from crm_export.telemetry import metrics
from crm_export.zoho.bulk_read import COMPLETED, Job
from crm_export.zoho.census import Count
from crm_export.zoho.changes import Deleted, Deletions, Probe
from crm_export.zoho.credits import spend
from crm_export.zoho.records import FieldNames, RecordPage
from simulation.dynamodb import DynamoDb, TableData
from simulation.s3 import S3, Bucket

CALLER = Caller("acct-1", "user-1")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MODULE = "Contacts"


class FakeZoho:
    """One module: `records` has the Modified_Time by id, `deleted` the time of each deletion.

    skew: how far its clock is ahead of ours. remaining: the credits that it reports. probe_fails,
    deletions_fail, fields_fail: raised instead of a response. after_rows: called when a result was read.
    """

    def __init__(self, now):
        self._now = now
        self.records: dict[int, datetime] = {}
        self.names = ["Modified_Time"]
        self.deleted: dict[int, datetime] = {}
        self.skew = timedelta()
        self.remaining: int | None = None
        self.probe_fails: Exception | None = None
        self.deletions_fail: Exception | None = None
        self.fields_fail: Exception | None = None
        self.has_bulk_read = self.lists_by_time = True
        self.after_rows = lambda: None
        self.probed: list[datetime | None] = []
        self.jobs: list[Any] = []

    def now(self):
        return (self._now() + self.skew).replace(microsecond=0)

    def put(self, *ids):
        """Create or modify records."""
        for record_id in ids:
            self.records[record_id] = self.now()
            self.deleted.pop(record_id, None)

    def delete(self, *ids):
        for record_id in ids:
            del self.records[record_id]
            self.deleted[record_id] = self.now()

    # --- changes ---

    def probe(self, version, module, since):
        self.probed.append(since)
        if self.probe_fails:
            raise self.probe_fails
        spend("GET", f"/crm/{version}/{module}")
        has_changes = any(since is None or at >= since for at in self.records.values())
        return Probe(self.now(), has_changes, self.remaining)

    def deletions(self, version, module, since):
        if self.deletions_fail:
            raise self.deletions_fail
        rows = [Deleted(str(i), at, "recycle") for i, at in sorted(self.deleted.items()) if at >= since]
        return Deletions(tuple(rows), 4, 2)

    # --- bulk_read ---

    def create_job(self, version, request):
        if not self.has_bulk_read:
            raise ZohoModuleNotSupported("No Bulk Read.")
        self.jobs.append(request)
        return str(len(self.jobs))

    def get_job(self, version, job_id):
        return Job(job_id, COMPLETED, MODULE, 1, len(self._rows(job_id)))

    @contextmanager
    def open_result(self, version, job_id):
        yield iter([_zip_of(job_id, ["Id", *self.names], self._rows(job_id))])
        self.after_rows()

    def _rows(self, job_id):
        begins = _begins(self.jobs[int(job_id) - 1].query.get("criteria"))
        return [
            [str(i), at.isoformat(), *("x" for _ in self.names[1:])]
            for i, at in sorted(self.records.items())
            if begins is None or at >= begins
        ]

    # --- records ---

    def field_names(self, version, module):
        return FieldNames(self.names, [])

    def check_times(self, version, module):
        if not self.lists_by_time:
            raise PagingBroken("no Modified_Time")

    def read_page(self, version, module, cvid, fields, cursor):
        if cursor.by_time and not self.lists_by_time:
            raise PagingBroken("no Modified_Time")
        return RecordPage(
            [
                {"id": str(record_id), "Modified_Time": at.isoformat()}
                for record_id, at in sorted(self.records.items())
                if cursor.since is None or at >= cursor.since
            ],
            None,
        )

    # --- census ---

    def count(self, version, module):
        return Count(len(self.records), self.now())

    def created_since(self, version, module, moment):
        return 0

    def deleted_since(self, version, module, moment):
        return [at for at in self.deleted.values() if at >= moment]

    def fields(self, version, module):
        if self.fields_fail:
            raise self.fields_fail
        return [{"api_name": name, "data_type": "text"} for name in self.names]


def _begins(criteria):
    if criteria is None:
        return None
    criterion = criteria["group"][-1] if "group" in criteria else criteria
    return datetime.fromisoformat(criterion["value"])


def _zip_of(job_id, header, rows):
    text, out = io.StringIO(newline=""), io.BytesIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{job_id}.csv", text.getvalue())
    return out.getvalue()


@dataclass
class FakeQueue:
    """A queue: `parts` and `syncs` that were sent, those with their delay."""

    parts: list[tuple[str, int]] = field(default_factory=list)
    syncs: list[tuple[str, str, int]] = field(default_factory=list)
    meanwhile: Any = lambda: None

    def send(self, export_id, part, *, group, delay=0, callback=None):
        self.parts.append((export_id, part))

    def send_sync(self, account_id, module, *, delay=0):
        self.syncs.append((account_id, module, delay))
        self.meanwhile()


class Client(DynamoDb):
    """DynamoDB. before: by operation, what is called once, before the next call."""

    def __init__(self, items):
        super().__init__(items)
        self.before: dict[str, Any] = {}

    def transact_write_items(self, **request):
        self.before.pop("transact_write_items", lambda: None)()
        return super().transact_write_items(**request)

    def put_item(self, **request):
        self.before.pop("put_item", lambda: None)()
        return super().put_item(**request)


class NoEvents:
    """A bus of events that nobody listens to."""

    def send(self, detail_type, detail):
        pass


class World:
    """The verbs of syncs and what they need; `now` is our clock."""

    def __init__(self):
        self.now = NOON
        self.items = TableData(lambda: 0.0)
        self.client = Client(self.items)
        self.exports = DynamoExportTable(self.client, "exports")
        self.table = DynamoSyncTable(self.client, "exports")
        self.bucket = Bucket()
        self.results = ResultsBucket(S3(self.bucket), "results")
        self.zoho = FakeZoho(lambda: self.now)
        self.submit_queue, self.download_queue = FakeQueue(), FakeQueue()
        self.limits = SyncLimits()
        self.pipeline = Pipeline(
            table=self.exports,
            submit_queue=self.submit_queue,
            download_queue=self.download_queue,
            zoho=lambda account_id, owner: Zoho(
                self.zoho, self.zoho, self.zoho, self.zoho, lambda version: [MODULE]
            ),
            results=self.results,
            events=NoEvents(),
            budget=self,
            runs=RunEnds(self.table, Lag()),
            callback_keys=KeyRing(lambda: ("k" * 32, None)),
            callback_base_url="https://x",
            system=System(
                now=lambda: self.now,
                monotonic=self._seconds,
                sleep=lambda seconds: self.let_pass(seconds=seconds),
                repeat=lambda seconds, work: lambda: None,
            ),
            limits=Limits(),
        )

    @property
    def syncs(self):
        return Syncs(self.pipeline, self.table, self.limits)

    def _seconds(self):
        return self.now.timestamp()

    def take(self, account_id, now):
        """DownloadBudget."""
        return 0

    def let_pass(self, **span):
        self.now += timedelta(**span)

    def limit(self, **limits):
        self.pipeline = replace(self.pipeline, limits=Limits(**limits))

    # --- verbs ---

    def put(self, **body):
        """PUT the sync of Contacts; return it."""
        return put_sync(self.syncs, CALLER, StartRequest("contacts", lambda: body, "https://x"))[0]

    def tick(self):
        return start_due(self.syncs)

    def deliver(self):
        """Deliver the messages about syncs."""
        messages, self.submit_queue.syncs = self.submit_queue.syncs, []
        for account_id, module, _ in messages:
            run_due(self.syncs, account_id, module)

    def request(self, kind="changes"):
        return request_run(self.syncs, CALLER, "contacts", {"kind": kind})

    def finish(self, export: Export) -> Export:
        """Do all steps of an export; return it. Raises what postponed a step."""
        number = 1
        while True:
            try:
                submit_part(self.pipeline, export.export_id, number)
                advance_part(self.pipeline, export.export_id, number)
            except StepPostponed as postponed:
                raise postponed.__cause__ from None
            export = self.export(export.export_id)
            if export.state is not ExportState.RUNNING or export.first_part == number:
                return export
            number = export.first_part

    def run(self, kind="changes"):
        """Run once, from request to end; return the manifest."""
        export = self.finish(self.request(kind))
        assert export.state is ExportState.COMPLETED, export
        return self.results.read_manifest(export.manifest_key)

    def reconcile(self):
        return reconcile(self.pipeline)

    def until_ended(self, export, **pause):
        """Try a run again and again, as the queues do; return it when it has ended."""
        for _ in range(100):
            try:
                return self.finish(export)
            except ExportError:
                self.let_pass(**(pause or {"minutes": 30}))
                self.reconcile()
                if self.export(export.export_id).state is not ExportState.RUNNING:
                    break
        return self.export(export.export_id)

    # --- state ---

    def export(self, export_id):
        return self.exports.get(export_id)

    def sync(self, module=MODULE) -> Sync:
        return self.table.get(CALLER.account_id, module)

    def change(self, **members):
        """Write the sync as another worker does."""
        assert self.table.write(self.sync().next(**members))
        return self.sync()

    def shown(self):
        return describe_sync(self.syncs, self.sync())

    def latest(self):
        found = self.results.read_latest(latest_key(CALLER.account_id, MODULE))
        return found and found[0]

    def folded(self):
        """Return the ids of the chain that latest.json lists."""
        return {int(row[0]) for row in fold(self.results, read_chain(self.results, "acct-1", MODULE)).rows}


@pytest.fixture
def world():
    """A Zoho with three contacts of the day before, and no sync."""
    world = World()
    world.zoho.records = dict.fromkeys((1, 2, 3), NOON - timedelta(days=1))
    return world


@pytest.fixture
def synced(world):
    """The contacts and a sync with one run, which is full; an hour has passed."""
    world.put(every="1h", full_every="7d")
    world.run()
    world.let_pass(hours=1)
    return world


@pytest.fixture
def metric_names():
    """A function that returns the names of the metrics counted since the test began."""
    metrics().metric_set.clear()
    return lambda: set(metrics().metric_set)
