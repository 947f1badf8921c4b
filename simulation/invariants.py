"""What must hold after every write, and at the end of a run. `broken` lists what does not hold."""

import csv
import gzip
import io
import json
import zlib
from typing import Any

from crm_export.aws.export_table import read_export, read_part
from crm_export.exports.model import RECORDS, Export, ExportState, Part, PartState
from crm_export.zoho.catalog import has_page_token
from simulation.dynamodb import Key, TableData
from simulation.events import EventBridge
from simulation.expressions import Item
from simulation.faults import Faults
from simulation.s3 import Bucket
from simulation.scheduler import EPOCH, Scheduler
from simulation.zoho import JobRecord, Zoho

_NO_EXCUSE_OF_THE_WITNESS = {"job leaves out records", "count lags"}
_NOT_YET = 3600 - 1000  # so old is a job or result, on any clock, before it counts as gone
_ONWARDS = {
    "PENDING": {"PENDING", "SUBMITTED", "STORED", "FAILED"},  # STORED: read through the records API
    "SUBMITTED": {"SUBMITTED", "PENDING", "READY", "FAILED"},
    "READY": {"READY", "STORED", "FAILED"},
    "STORED": {"STORED"},
    "FAILED": {"FAILED"},
    "RUNNING": {"RUNNING", "COMPLETED", "FAILED", "CANCELLED"},
    "COMPLETED": {"COMPLETED"},
    "CANCELLED": {"CANCELLED"},
}


class Invariants:
    """Checks every change to table and bucket."""

    def __init__(
        self, scheduler: Scheduler, faults: Faults, table: TableData, bucket: Bucket, zoho: Zoho,
        events: EventBridge,
    ) -> None:  # fmt: skip
        self._scheduler = scheduler
        self._faults = faults
        self._table = table
        self._bucket = bucket
        self._zoho = zoho
        self._events = events
        self.broken: list[str] = []
        self.ended_at: dict[str, float] = {}
        self.keys: set[str] = set()  # the Idempotency-Keys of all POSTs; empty: they have none
        table.changed = self._table_changed
        bucket.changed = self._bucket_changed

    def violated(self, what: str) -> None:
        """Record a violation and stop the run."""
        self.broken.append(what)
        self._scheduler.stopped = True

    def _hold(self, holds: bool, what: str) -> bool:
        if not holds:
            self.violated(what)
        return holds

    # --- after every write ---

    def _table_changed(self, key: Key, old: Item | None, new: Item) -> None:
        if not key[0].startswith("EXPORT#"):
            return
        before, state = (old or new)["state"]["S"], new["state"]["S"]
        self._hold(state in _ONWARDS[before], f"{key} went from {before} to {state}")
        if key[1] != "META":
            if state == "STORED" and before != "STORED":
                self._stored(read_part(new))
                self._is_new(read_part(new))
            return
        self._hold(state != "RUNNING" or "open" in new, f"{key} is {state} and not in the index")
        if "open" not in new:
            self._announced(read_export(new))
        if old is None and self.keys:
            wanted = [export for export in self.exports() if export.state is not ExportState.FAILED]
            self._hold(
                len(wanted) <= len(self.keys), f"{len(wanted)} exports not FAILED for {len(self.keys)} keys"
            )
        if state == "CANCELLED":
            self._cancelled(read_export(new))
        if state != "RUNNING" and before == "RUNNING":
            self._ended(read_export(new))

    def _ended(self, export: Export) -> None:
        self.ended_at[export.export_id] = self._scheduler.now
        if export.state is ExportState.FAILED:
            self._failed(export)
        there = export.manifest_key in self._bucket.objects
        if export.state is ExportState.COMPLETED and self._hold(
            there, f"{export.export_id} COMPLETED, no manifest"
        ):
            self._manifest(export)

    def _cancelled(self, export: Export) -> None:
        """Check that a cancelled export has no manifest, and no object once it is cleaned up."""
        there = {key for key in self._bucket.objects if key.startswith(f"{export.folder}/")}
        self._hold(export.manifest_key not in there, f"{export.export_id} CANCELLED, with a manifest")
        self._hold(
            export.cleaned_at is None or not there, f"{export.export_id} is cleaned up and has {there}"
        )

    def _announced(self, export: Export) -> None:
        """Check that the end of an export was announced, and as nothing else than it is."""
        events = [event for event in self._events.sent if event[1]["export_id"] == export.export_id]
        if export.state is ExportState.COMPLETED:
            kind, facts = "Export Completed", {"records": export.records, "manifest_key": export.manifest_key}
        elif export.state is ExportState.CANCELLED:
            kind, facts = "Export Cancelled", {"state": "CANCELLED"}
            self._hold(export.cleaned_at is not None, f"{export.export_id} is announced, not cleaned up")
        else:
            kind, facts = "Export Failed", vars(export.failure)
        same = [name == kind and detail.items() >= facts.items() for name, detail in events]
        self._hold(bool(same) and all(same), f"{export.export_id} is {export.state}, announced: {events}")

    def _bucket_changed(self, key: str) -> None:
        export_id = key.partition("export_id=")[2].partition("/")[0]
        item = self._table.items.get((f"EXPORT#{export_id}", "META"))
        if not self._hold(item is not None, f"{key} belongs to no export"):
            return
        export = read_export(item or {})
        if export.state is ExportState.CANCELLED:
            self._cancelled(export)
            return
        if export.manifest_key in self._bucket.objects:
            self._holds_only_its_parts(export)
        if key == export.manifest_key:
            self._manifest(export)
            return
        for part in self.parts(export_id):
            if part.key == key and part.state is PartState.STORED:
                self._stored(part)

    def _holds_only_its_parts(self, export: Export) -> None:
        """Check that the folder of a manifest holds the objects that it names, and no others."""
        named = {export.manifest_key, *self.named(json.loads(self._bucket.objects[export.manifest_key]))}
        there = {key for key in self._bucket.objects if key.startswith(f"{export.folder}/")}
        self._hold(there == named, f"{export.export_id}: its folder and its manifest differ: {there ^ named}")

    def named(self, manifest: dict[str, Any]) -> set[str]:
        """Return the keys of the objects that a manifest names."""
        return {part["key"] for part in manifest["parts"]}

    def parts(self, export_id: str, *, current: bool = True) -> list[Part]:
        """Return the parts of an export's last generation, or of all, in order."""
        found = [
            item
            for (pk, sk), item in self._table.items.items()
            if pk == f"EXPORT#{export_id}" and sk != "META"
        ]
        parts = sorted((read_part(item) for item in found), key=lambda part: part.part)
        first = read_export(self._table.items[f"EXPORT#{export_id}", "META"]).first_part if current else 1
        return [part for part in parts if part.part >= first]

    def exports(self) -> list[Export]:
        """Return all exports."""
        return [read_export(item) for (_, sk), item in self._table.items.items() if sk == "META"]

    def _stored(self, part: Part) -> None:
        """Check that count, CRC and bytes are those of the job, and that the job was created for this part.

        A worker whose lease was taken over may write the object again, with the same content.
        """
        what = f"part {part.part} of {part.export_id}"
        if part.job_id is None:
            self._read(part, what)
            return
        job = self._zoho.jobs.get(str(part.job_id))
        if job is None:
            self.violated(f"{what} is STORED of job {part.job_id}, which Zoho does not know")
            return
        content = self._bucket.objects.get(str(part.key))
        if content is None and self._is_cancelled(part):
            return
        if not job.rows and content == b"":  # Zoho sent no file, and there are no records to lose
            return
        gone = content is None and part not in self.parts(part.export_id)  # of an earlier generation
        if self._faults.against((part.export_id, part.part), _ONLY_OTHER_PARTS_SHOW):
            return
        self._hold(
            gone or self._plain(str(part.key)) == job.content,
            f"{what}: its object is not what job {job.id} read",
        )
        self._hold(
            part.records == len(job.rows), f"{what}: {part.records} records, Zoho read {len(job.rows)}"
        )
        self._hold(
            gone or part.bytes == len(content or b""),
            f"{what}: its object has not {part.bytes} bytes",
        )
        self._hold(part.crc32 == f"{zlib.crc32(job.content):08x}", f"{what}: its CRC is not Zoho's")
        self._hold(part.header == job.header, f"{what}: its header is {part.header}")
        self._is_the_same(job, part, what)

    def _read(self, part: Part, what: str) -> None:
        """Check that the object of a part read through the records API is what the part describes."""
        content = self._bucket.objects.get(str(part.key))
        if content is None and (part not in self.parts(part.export_id) or self._is_cancelled(part)):
            return  # of an earlier generation
        rows = self._rows(str(part.key))
        plain = self._plain(str(part.key))
        self._hold(part.records == len(rows), f"{what}: {part.records} records, its object has {len(rows)}")
        self._hold(part.crc32 == f"{zlib.crc32(plain):08x}", f"{what}: its object has another CRC")
        self._hold(part.bytes == len(content or b""), f"{what}: its object has not {part.bytes} bytes")

    def _is_cancelled(self, part: Part) -> bool:
        item = self._table.items[f"EXPORT#{part.export_id}", "META"]
        return read_export(item).state is ExportState.CANCELLED

    def _is_the_same(self, job: JobRecord, part: Part, what: str) -> None:
        """Check that the job is the part's own, or one of the same query that was created since the POST."""
        export = read_export(self._table.items[f"EXPORT#{part.export_id}", "META"])
        query = export.query if export.sync is None else export.job_query
        wanted = {name: value for name, value in query.items() if name in {"fields", "criteria"}}
        since = export.requested_at.timestamp() - 1000
        same = job.part == (part.export_id, part.part) or (
            job.module == export.module
            and job.query.keys() == wanted.keys()  # v2 writes criteria in words of its own
            and job.query.get("fields") == wanted.get("fields")
            and part.page_token is None
            and job.page == export.page_of(part.part)
            and job.job.created_at >= since
        )
        self._hold(same, f"{what} is STORED of a job of {job.part}")

    def _manifest(self, export: Export) -> None:
        """Check that the manifest and its objects contain every record of the query exactly once."""
        what, parts = f"manifest of {export.export_id}", self.parts(export.export_id)
        sealed = export.state is ExportState.COMPLETED or (
            export.state is ExportState.RUNNING and export.completed_at is not None
        )
        self._hold(sealed, f"{what} is there and the export is {export.state}")
        if not self._hold(
            all(part.state is PartState.STORED for part in parts),
            f"{what} is there before all parts are stored",
        ):
            return
        manifest = json.loads(self._bucket.objects[export.manifest_key])
        rows = [row for part in manifest["parts"] for row in self._rows(part["key"])]
        self._hold(manifest["records"] == len(rows), f"{what} counts {manifest['records']} records")
        self._witnessed(export, parts, manifest["witness"], what)
        if export.source == RECORDS:
            self._all_read(export, parts, rows, what)
            if manifest["snapshot"]:
                self._is_state(export, parts, rows, what)
            return
        self._of_jobs(export, parts, rows, what, is_snapshot=manifest["snapshot"])

    def _of_jobs(
        self, export: Export, parts: list[Part], rows: list[tuple[str, ...]], what: str, *, is_snapshot: bool
    ) -> None:
        """Check that the records are those that the jobs of the parts have read."""
        jobs = [self._zoho.jobs[str(part.job_id)] for part in parts]
        self._hold(jobs[0].module == export.module, f"{what}: job of {jobs[0].module}")
        self._hold(len({part.header for part in parts}) == 1, f"{what}: its parts have different columns")
        if not is_snapshot:
            numbered = len(parts) > 1 and not has_page_token(export.api_version)
            self._hold(numbered, f"{what} says no snapshot, and it is one")
            position = (parts[0].header or ()).index("Id")
            ids = [row[position] for row in rows]
            self._hold(len(ids) == len(set(ids)), f"{what}: a record is there twice")
            return
        first, expected = jobs[0].first, jobs[0].first.all_rows
        complete = sorted(rows) == sorted(expected)
        self._hold(all(job.first is first for job in jobs), f"{what}: its parts are of several snapshots")
        self._hold(complete, f"{what}: {len(rows)} records, the query has {len(expected)}, or others")

    def _witnessed(
        self, export: Export, parts: list[Part], witness: dict[str, Any] | None, what: str
    ) -> None:
        """Check that the witness claims a gap only if records are missing, and always if nothing else moved.

        Without a fault that keeps Zoho's count from us, the verdict is known.
        """
        some = self.is_partial(export)
        if not self._hold((witness is None) == bool(some), f"{what} has the witness {witness}") or some:
            return
        verdict = (witness or {})["verdict"]
        jobs = [self._zoho.jobs[str(part.job_id)] for part in parts if part.job_id]
        omitted = sum(job.omitted for job in jobs)
        self._hold(omitted > 0 or verdict != "gap", f"{what} claims a gap, and there is none: {witness}")
        if export.source == RECORDS or self._zoho.has_changed(export.module):
            return
        right = {"gap"} if omitted else {"exact"}
        excused = self._faults.injected.keys() - _NO_EXCUSE_OF_THE_WITNESS
        self._hold(
            verdict in right | ({"unknown"} if excused else set()),
            f"{what}: {omitted} records are missing, and its witness is {witness}",
        )

    def is_partial(self, export: Export) -> bool:
        """Return True for an export that is not of the whole module: it has no witness."""
        return "criteria" in export.query

    def _all_read(self, export: Export, parts: list[Part], rows: list[tuple[str, ...]], what: str) -> None:
        """Check that all records that existed all the time are there, once, as they were at some time."""
        header = parts[0].header or ()
        ids = [row[0] for row in rows]
        needed = self._zoho.records_since(export.module, export.requested_at.timestamp() - 1000)
        self._hold(len(ids) == len(set(ids)), f"{what}: a record is there twice")
        self._hold(needed <= set(ids), f"{what}: {sorted(needed - set(ids))} are not there")
        if "Modified_Time" in header:
            modified = header.index("Modified_Time")
            known = all((row[0], row[modified]) in self._zoho.versions for row in rows)
            self._hold(known, f"{what}: a record is there in a version that never existed")
        else:
            self._hold(not needed, f"{what}: its header is {header}")

    def _is_state(self, export: Export, parts: list[Part], rows: list[tuple[str, ...]], what: str) -> None:
        """Check that the records are those that the module had at one moment."""
        header = parts[0].header or ()
        if "Modified_Time" in header:
            modified = header.index("Modified_Time")
            state = frozenset((row[0], row[modified]) for row in rows)
            known = (export.module, state) in self._zoho.states
            self._hold(known, f"{what} says snapshot, and the module never had these records")

    def _is_new(self, part: Part) -> None:
        """Check that two parts never share an object."""
        keys = [other.key for other in self.parts(part.export_id, current=False) if other.key]
        self._hold(len(keys) == len(set(keys)), f"part {part.part} of {part.export_id}: its key is another's")

    def _rows(self, key: str) -> list[tuple[str, ...]]:
        return [
            tuple(row) for row in list(csv.reader(io.StringIO(self._plain(key).decode(), newline="")))[1:]
        ]

    def _plain(self, key: str) -> bytes:
        content = self._bucket.objects.get(key, b"")
        return gzip.decompress(content) if key.endswith(".gz") else content

    def _failed(self, export: Export) -> None:
        failure = export.failure
        if failure is None or not all(vars(failure).values()):
            self.violated(f"{export.export_id} FAILED with an incomplete failure: {failure}")
            return
        self._hold(
            export.manifest_key not in self._bucket.objects, f"{export.export_id} FAILED, with a manifest"
        )
        parts = self.parts(export.export_id, current=False)
        age = self._scheduler.now + EPOCH.timestamp() - export.requested_at.timestamp()
        self._hold(
            failure.code != "ZOHO_NOT_FOUND" or age > _NOT_YET,
            f"{export.export_id} FAILED with ZOHO_NOT_FOUND after {age:.0f} s",
        )
        excused = any(self._excuse(failure.code, part) for part in parts) or self._restarts_used_up(
            export, parts
        )
        self._hold(excused, f"{export.export_id} FAILED with {failure}, and the faults do not excuse it")

    def _restarts_used_up(self, export: Export, parts: list[Part]) -> bool:
        """Return True if faults that restart an export hit it in all of its generations."""
        code = export.failure and export.failure.code
        count = sum(self._faults.against((part.export_id, part.part), _RESTARTING) for part in parts)
        return export.generation == 3 and count >= 3 and code in _OF_RESTARTS

    def _has_broken_paging(self, part: Part) -> bool:
        """Return True if the part's job, which may have been created for another export, says so."""
        job = self._zoho.jobs.get(str(part.job_id))
        return job is not None and (job.hides_next_page or job.repeats_page_token != "")

    def _excuse(self, code: str, part: Part) -> bool:
        """Return True if a part met so many faults that its export may fail with this code."""
        target = (part.export_id, part.part)
        jobs = self._zoho.jobs_of[target]

        def faults(*kinds: str) -> int:
            # A POST works on part 1 before anybody knows its export.
            unknown = self._faults.against(None, kinds) if part.part == 1 else 0
            return self._faults.against(target, kinds) + unknown

        results = faults("result ", "job not found", "page without info")
        # One of the failed jobs may be another part's.
        failed = sum(job.ends_in_failure for job in jobs) + len(part.failed_job_ids)
        before = self._faults.against((part.export_id, part.part - 1), ("function killed", "function frozen"))
        died = faults("function killed", "function frozen") + before
        excuses = {
            "ZOHO_JOB_FAILED": failed + faults("job not found", "job never ends", "job without a count") >= 3,
            "WORKER_DIED": died >= 8,
            "ZOHO_NOT_FOUND": faults("job not found", "result not found") >= 1 and results >= 3,
            "PAGING_BROKEN": faults("more records but") >= 1 or self._has_broken_paging(part),
            "ZOHO_RESPONSE_INVALID": faults("job without a count") >= 5,
            "DEADLINE_EXCEEDED": faults("job never ends") >= 1,
            "JOB_OVERDUE": faults("job never ends") >= 1 and len(part.failed_job_ids) >= 2,
            "RESULT_UNSUPPORTED": results >= 3,
            "PARTS_OVERLAP": faults("result of the part before") >= 1,
            "RECORD_REPEATED": faults("result repeats a record") >= 8,
            "STORAGE_REFUSED": faults("S3 denies access") >= 8,
        }
        return excuses.get(code, code in _OF_RESULTS and results >= 8)

    # --- at rest ---

    def at_rest(self) -> None:
        """Check that all exports have ended and nothing is left behind."""
        for export in self.exports():
            if self._hold(export.state is not ExportState.RUNNING, f"{export.export_id} never ended"):
                self._bounded(export)
                self._announced(export)
                is_open = "open" in self._table.items[f"EXPORT#{export.export_id}", "META"]
                self._hold(not is_open, f"{export.export_id} is still in the index of open exports")
        for number, upload in self._bucket.uploads.items():
            self._hold(upload.excused or upload.task.dead, f"{number} of {upload.key} was left behind")

    def _bounded(self, export: Export) -> None:
        """Check that the faults explain the number of jobs and downloads and the time of the end."""
        for part in self.parts(export.export_id):
            target = (part.export_id, part.part)
            jobs, excuses = self._zoho.jobs_of[target], sum(self._faults.of_part[target].values())
            shared = sum(self._faults.of_part[None].values()) if part.part == 1 else 0
            allowed = 1 + excuses + shared
            before = self._faults.against((part.export_id, part.part - 1), _WHILE_SUBMITTING)
            self._hold(
                len(jobs) <= allowed + before, f"{target}: {len(jobs)} jobs, {excuses} and {before} faults"
            )
            downloads = sum(job.downloads for job in jobs)
            self._hold(downloads <= allowed, f"{target}: {downloads} downloads, {excuses} faults")
        deadline = (export.deadline_at - EPOCH).total_seconds()
        latest = max(deadline, self._faults.calm_from) + 900
        ended = self.ended_at[export.export_id]
        self._hold(ended <= latest, f"{export.export_id} ended {ended - latest:.0f} s too late")

    def no_secret_in(self, secrets: set[str], logs: list[str], queues: list[str]) -> None:
        """Check that secrets are nowhere but in the token's own item."""
        items = [repr(item) for (pk, _), item in self._table.items.items() if not pk.startswith("TOKEN#")]
        events = [repr(event) for event in self._events.sent]
        objects = [self._plain(key).decode(errors="replace") for key in self._bucket.objects]
        for place, texts in {
            "table": items,
            "S3": objects,
            "logs": logs,
            "queues": queues,
            "events": events,
        }.items():
            everything = "\n".join(texts)
            for secret in secrets:
                self._hold(secret not in everything, f"a secret is in the {place}: {secret[:6]}…")


_OF_RESTARTS = {"ZOHO_PAGE_TOKEN_EXPIRED", "ZOHO_NOT_FOUND", "HEADERS_DIFFER", "OBJECT_CONFLICT"}
_RESTARTING = (
    "page token expired", "result expired", "result not found", "job not found", "result with another column",
    # An attempt stored records that have changed since, and could not record them.
    "function killed", "function frozen", "table ", "object written",
)  # fmt: skip
# Faults that a part alone does not show.
_ONLY_OTHER_PARTS_SHOW = ("result of the part before", "result with another column")
# The downloader of the part before creates a part's job, and its faults count for the part before.
_WHILE_SUBMITTING = ("function ", "table ", "Zoho ")
_OF_RESULTS = {
    "RESULT_INVALID", "RESULT_TRUNCATED", "RESULT_CORRUPT",
    "RECORD_COUNT_MISMATCH",
}  # fmt: skip
