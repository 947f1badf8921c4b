"""A model of Zoho's Bulk Read: modules whose records change, jobs, results as ZIPs, access tokens.

It knows the truth that the invariants compare with: which records a job read, and when.
"""

import csv
import io
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from crm_export.zoho.catalog import has_page_token
from simulation.faults import Faults
from simulation.scheduler import EPOCH, Scheduler, current
from simulation.zoho_records import ZohoRecords

type Row = tuple[str, ...]

HEADER: Row = ("Id", "Last_Name", "Description")
_TEXTS = ("", "x", 'He said "no"', "two\nlines", "a,b", "Zoë ∂", '"', "\n\n", "'", "PK\x01\x02", "…" * 40)
_DAY = 86_400.0
_TOKEN_LIVES = 3600.0


@dataclass(frozen=True)
class Snapshot:
    """The records of one query at one moment."""

    number: int
    rows: tuple[Row, ...]


@dataclass
class Job:
    """One Bulk Read job. `number` counts those of its part; `page` is None where a token was sent."""

    job_id: str
    module: str
    query: dict[str, Any]
    part: tuple[str, int]
    callback_url: str
    snapshot: Snapshot
    offset: int
    page: int | None
    rows: tuple[Row, ...]
    more: bool
    token: str | None
    made_at: float
    done_at: float
    fails: bool = False
    no_way_on: bool = False
    csv: bytes = b""
    zip: bytes = b""
    downloads: int = 0
    answered_after: float = 0.0  # seconds that the answer of "create job" takes, beside the usual

    def state(self, now: float) -> str:
        """What Zoho says of it."""
        if now >= self.done_at:
            return "FAILURE" if self.fails else "COMPLETED"
        return "ADDED" if now < self.made_at + (self.done_at - self.made_at) / 2 else "IN PROGRESS"


@dataclass(frozen=True)
class PageToken:
    """Where the next job of a snapshot goes on."""

    snapshot: Snapshot
    offset: int
    module: str
    asked: dict[str, Any]
    expires_at: float


@dataclass
class Token:
    """An access token. One that was never used is not rejected: a second rejection means a dead grant."""

    expires_at: float
    used: bool = False


class Zoho:
    """What Zoho holds. `version` is that of the API in this run."""

    def __init__(self, rng: Random, scheduler: Scheduler, faults: Faults, version: str) -> None:
        self._rng = rng
        self._scheduler = scheduler
        self._faults = faults
        self._version = version
        self.per_page = rng.choice((1, 2, 3, 5))
        self.jobs: dict[str, Job] = {}
        self.jobs_of: defaultdict[tuple[str, int], list[Job]] = defaultdict(list)
        self.tokens: dict[str, Token] = {}
        self.ever_given: set[str] = set()
        self._page_tokens: dict[str, PageToken] = {}
        self._kept = rng.choice((_DAY, _DAY, _DAY, 900.0)), rng.choice((_DAY, _DAY, _DAY, 900.0))
        self._snapshots = 0
        self._line_end = rng.choice(("\n", "\r\n"))
        self._ends_with_newline = rng.random() < 0.7
        self._method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        self._records = 0
        self._tells_pages_of_tokens = rng.random() < 0.5
        self.records = ZohoRecords(rng, scheduler, faults)
        sizes = (0, 1, self.per_page, self.per_page * 2, self.per_page * 3 + 1, self.per_page * 4)
        self.modules = {
            name: [self._row() for _ in range(rng.choice(sizes))] for name in ("Contacts", "Leads")
        }

    def _row(self) -> Row:
        self._records += 1
        return (str(5540230000000 + self._records), *(self._rng.choice(_TEXTS) for _ in HEADER[1:]))

    def change_records(self) -> None:
        """Somebody works in the CRM. Numbered pages would show it; page tokens must not."""
        self.records.change()
        if has_page_token(self._version):
            for rows in self.modules.values():
                rows.insert(self._rng.randint(0, len(rows)), self._row())
                rows.pop(self._rng.randrange(len(rows)))

    # --- jobs ---

    def create_job(self, body: dict[str, Any], part: tuple[str, int]) -> Job | None:
        """Take a job, which is done some time later; None where its page token is too old."""
        query, token = body["query"], body["query"].get("page_token")
        if token is not None and self._scheduler.now > self._page_tokens[token].expires_at:
            self._faults.note("page token expired", part)
            return None
        if token is not None:
            kept = self._page_tokens[token]
            snapshot, offset, module, asked = kept.snapshot, kept.offset, kept.module, kept.asked
            page = None
        else:
            named = query["module"]
            module = named["api_name"] if isinstance(named, dict) else named
            page, asked = query["page"], {k: v for k, v in query.items() if k not in {"module", "page"}}
            snapshot, offset = self._snapshot(module, asked), (page - 1) * self.per_page
        job = self._make(snapshot, offset, page, module, asked, part, body["callback"]["url"])
        self.jobs[job.job_id] = job
        self.jobs_of[part].append(job)
        return job

    def _make(
        self, snapshot: Snapshot, offset: int, page: int | None, module: str, asked: dict[str, Any],
        part: tuple[str, int], callback_url: str,
    ) -> Job:  # fmt: skip
        seconds = self._rng.choice((0.0, 2.0, 60.0, 400.0))
        if self._faults.happens("job takes hours", part):
            seconds = self._rng.choice((3600.0, 10000.0))
        elif self._faults.happens("job never ends", part):
            seconds = 1e9
        number = str(554023000000000000 + len(self.jobs) * 17)
        rows = snapshot.rows[offset : offset + self.per_page]
        more, token = len(snapshot.rows) > offset + self.per_page, None
        if more and has_page_token(self._version):
            token = f"pt-{snapshot.number}-{offset + self.per_page}"
            offset_of_next, expires_at = offset + self.per_page, self._scheduler.now + seconds + self._kept[1]
            self._page_tokens.setdefault(
                token, PageToken(snapshot, offset_of_next, module, asked, expires_at)
            )
        now = self._scheduler.now
        job = Job(
            number, module, asked, part, callback_url, snapshot, offset, page, rows, more, token,
            now, now + seconds, csv=self.csv_of(rows),
        )  # fmt: skip
        job.fails = self._faults.happens("job ends in FAILURE", part)
        job.no_way_on = more and not job.fails and self._faults.happens("more records but no way on", part)
        return job

    def _snapshot(self, module: str, asked: dict[str, Any]) -> Snapshot:
        self._snapshots += 1
        rows = tuple(self.modules[module])
        if "criteria" in asked:  # a query that reads other records than the one without
            rows = tuple(row for row in rows if row[1] != _TEXTS[0])
        return Snapshot(self._snapshots, rows)

    def details(self, job: Job) -> dict[str, Any]:
        """A member of `data`, as GET job details and the callback tell it."""
        now = self._scheduler.now
        state = job.state(now)
        query: dict[str, Any] = {"module": {"id": "1", "api_name": job.module}, **job.query}
        if job.page is not None or self._tells_pages_of_tokens:
            query["page"] = job.offset // self.per_page + 1
        datum: dict[str, Any] = {"id": job.job_id, "operation": "read", "state": state, "query": query}
        datum["created_time"] = (EPOCH + timedelta(seconds=job.made_at)).isoformat()
        if state == "FAILURE":
            datum["result"] = {"error_message": {"code": "INTERNAL_SERVER_ERROR", "message": "Internal."}}
        elif state == "COMPLETED":
            datum["result"] = {"page": job.page or 1, "per_page": 200000, "count": len(job.rows)}
            datum["result"]["more_records"] = job.more
            datum["result"]["download_url"] = f"/crm/bulk/{self._version}/read/{job.job_id}/result"
            if job.token and not job.no_way_on:
                datum["result"]["next_page_token"] = job.token
            if job.no_way_on and not has_page_token(self._version):
                datum["result"]["count"] = 0
        return datum

    def is_kept(self, job: Job) -> bool:
        """Whether the result can be fetched still."""
        kept = self._scheduler.now < job.done_at + self._kept[0]
        if not kept:
            self._faults.note("result expired")
        return kept

    # --- results ---

    def csv_of(self, rows: tuple[Row, ...]) -> bytes:
        """Rows as Zoho writes them."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=self._line_end)
        writer.writerow(HEADER)
        writer.writerows(rows)
        written = text.getvalue()
        return (written if self._ends_with_newline else written.removesuffix(self._line_end)).encode()

    def zip_of(self, job: Job) -> bytes:
        """The result as it should be."""
        if not job.zip:
            job.zip = self._zipped(job.job_id, job.csv)
        return job.zip

    def _zipped(self, name: str, content: bytes) -> bytes:
        out = io.BytesIO()
        info = zipfile.ZipInfo(f"{name}.csv")
        info.compress_type = self._method
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(info, content)
        return out.getvalue()

    def broken_zip(self, job: Job) -> bytes:
        """The result as a fault makes it, or as it should be."""
        good, part = self.zip_of(job), None  # who reads it now may have taken it for its own
        if self._faults.happens("result truncated", part):
            return good[: self._rng.randrange(len(good))]
        if self._faults.happens("result with a byte changed", part):
            place = self._rng.randrange(len(good))
            return good[:place] + bytes([good[place] ^ (1 << self._rng.randrange(8))]) + good[place + 1 :]
        if self._faults.happens("result with a wrong CRC", part):
            other = self._zipped(job.job_id, job.csv.replace(b"Last_Name", b"Lost_Name"))
            right, wrong = (zlib.crc32(job.csv), zlib.crc32(job.csv.replace(b"Last_Name", b"Lost_Name")))
            return other.replace(wrong.to_bytes(4, "little"), right.to_bytes(4, "little"))
        if self._faults.happens("result with a wrong count", part):
            rows = (*job.rows, self._row()) if self._rng.random() < 0.5 or not job.rows else job.rows[1:]
            return self._zipped(job.job_id, self.csv_of(rows))
        others = [other for other in self.jobs.values() if other is not job]
        if others and self._faults.happens("result of another job", part):
            return self.zip_of(self._rng.choice(others))
        return good

    # --- tokens ---

    def new_token(self) -> str:
        """An access token for an hour."""
        token = f"1000.{self._rng.getrandbits(64):016x}.{self._rng.getrandbits(64):016x}"
        self.tokens[token] = Token(self._scheduler.now + _TOKEN_LIVES)
        self.ever_given.add(token)
        return token

    def takes(self, token: str) -> bool:
        """Whether an access token is good; a fault may make it bad for ever."""
        known = self.tokens.get(token)
        if known is None or self._scheduler.now >= known.expires_at:
            return False
        task = current.get()
        if task and not task.rejected and known.used and self._faults.happens("Zoho rejects the token"):
            task.rejected = True
            del self.tokens[token]
            return False
        known.used = True
        return True
