"""Zoho in a run: the simulated organisation, made small, and the record of the truth.

`simulation/invariants.py` compares with the record: which part a job was created for and what it read, which
records existed at which time, which access tokens were issued.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from http import HTTPStatus
from random import Random
from typing import Any, get_args
from urllib.parse import urlsplit

from crm_export.exports.callbacks import verify
from simulation.faults import Faults
from simulation.scheduler import EPOCH, Scheduler
from simulation.zoho_faults import ZohoFaults
from zoho_simulator.bulk.bulk_read import BulkRead
from zoho_simulator.bulk.jobs import Job
from zoho_simulator.config import VERSIONS, Environment, SimulatorConfig
from zoho_simulator.data.modules import Module
from zoho_simulator.http.organisation import Organisation
from zoho_simulator.wire import Request, Response

API_DOMAIN, ACCOUNTS = "https://www.zohoapis.com", "https://accounts.zoho.com"
SIGNING_KEY = b"signing-key-5f2c-of-32-characters"
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "client-1", "client-secret-77aa", "1000.refresh-31bd"
BULK_MODULES = ("Vendors", "Campaigns")
READ_MODULES = ("Notes", "Cases")  # Bulk Read never takes Notes; whether it takes Cases, only Zoho knows
FIELD = "Description"  # a field of both, empty in half of the records
_DAY = 86_400.0
_SORTABLE = ("id", "Created_Time", "Modified_Time")

type PartId = tuple[str, int]
type Row = tuple[str, ...]


class JobRecord:
    """What is true of a job. first: the job that began its snapshot, itself unless a page token was sent."""

    def __init__(self, job: Job, part: PartId, first: "JobRecord | None", bulk_read: BulkRead) -> None:
        self.job = job
        self.id = job.id
        self.part = part
        self.first = first or self
        self.before: JobRecord | None = None  # the job of the part before
        self.page = None if first else job.query.page
        self.module = job.query.module.name
        self.query = job.query.echo  # fields and criteria
        self.ends_in_failure = job.faults.state in {"FAILURE", "DELETED"}
        self.hides_next_page = False
        self.page_tokens: tuple[str, ...] = ()  # of this job and those before it in its snapshot
        self.repeats_page_token = ""
        self.downloads = 0
        self.response_delay = 0.0  # seconds that the response to "create job" takes in addition
        self._bulk_read = bulk_read

    def _content(self, job: Job) -> bytes:
        return b"".join(self._bulk_read.content(job)())

    @cached_property
    def content(self) -> bytes:
        """The CSV that the job read."""
        return self._content(self.job)

    @cached_property
    def header(self) -> Row:
        """The header of the CSV."""
        return rows_of(self.content)[0]

    @cached_property
    def rows(self) -> list[Row]:
        """The records of the job."""
        return rows_of(self.content)[1:]

    @cached_property
    def all_rows(self) -> list[Row]:
        """The records of all jobs that continue this one."""
        query = replace(self.job.query, page=1)
        whole = replace(self.job.without_faults(), query=query, page_size=1_000_000)
        return rows_of(self._content(whole))[1 + self.omitted :]

    @cached_property
    def omitted(self) -> int:
        """The number of records that the job left out: the first ones of its page."""
        return len(rows_of(self._content(self.job.without_faults()))) - 1 - len(self.rows)


def rows_of(content: bytes) -> list[Row]:
    """Return the rows of a CSV, header first."""
    return [tuple(row) for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))]


def draw_settings(rng: Random, faults: Faults) -> SimulatorConfig:
    per_job = rng.choice((1, 2, 3, 5))
    sizes = (0, 1, per_job, per_job * 2, per_job * 3 + 1, per_job * 4)
    token_seconds, result_seconds = rng.choice((_DAY, 300.0, 900.0)), rng.choice((_DAY, _DAY, 600.0))
    return SimulatorConfig(
        records={name: rng.choice(sizes) for name in BULK_MODULES}
        | {name: rng.choice((0, 1, 3, 7, 12)) for name in READ_MODULES},
        seed=rng.randrange(3),
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        refresh_tokens={REFRESH_TOKEN},
        stale_token=rng.choice(get_args(SimulatorConfig.__annotations__["stale_token"])),
        records_per_job=per_job,
        records_paging=rng.choice(("cursor", "snapshot")),
        records_since_inclusive=rng.random() < 0.5,
        records_sort_by=_SORTABLE if rng.random() < 0.8 else _SORTABLE[:2],
        bulk_unsupported={"Cases"},
        bulk_page_of_token=rng.random() < 0.5,
        page_token_seconds=token_seconds if faults.are_on("page token expired") else _DAY,
        result_seconds=result_seconds if faults.are_on("result expired") else _DAY,
        callback_shape=rng.choice(("documented", "documented", "flat")),
        csv_newline=rng.choice(("\n", "\r\n")),
        csv_quoting=rng.choice(("minimal", "all")),
        csv_final_newline=rng.random() < 0.7,
        id_position=rng.choice(("first", "last")),
        zip_method=rng.choice(("deflate", "store")),
        zip_sizes=rng.choice(("descriptor", "descriptor_no_signature", "header")),
        zip_zip64=rng.random() < 0.2,
    )


def part_of(callback_url: str) -> PartId:
    """Return the part that one of our callback URLs was signed for. Raises InvalidSignature."""
    *_, export_id, number, signature = urlsplit(callback_url).path.split("/")
    return export_id, verify((SIGNING_KEY,), export_id, number, signature)


class Zoho:
    """The organisation that a run's exports read, and the record of what it did.

    created: called with each new job. post(url, body): sends a callback and does not wait.
    """

    def __init__(
        self,
        rng: Random,
        scheduler: Scheduler,
        faults: Faults,
        *,
        created: Callable[[JobRecord], None],
        post: Callable[[str, bytes], None],
    ) -> None:
        self.version = rng.choice((*VERSIONS, "v7", "v8", "v8"))
        self.jobs: dict[str, JobRecord] = {}
        self.jobs_of: defaultdict[PartId, list[JobRecord]] = defaultdict(list)
        self.access_tokens: set[str] = set()
        self.versions: set[tuple[str, str]] = set()  # every (id, Modified_Time) of READ_MODULES that ever was
        self.states: set[tuple[str, frozenset[tuple[str, str]]]] = set()  # all of a module's at one time
        self._used_tokens: set[str] = set()
        self._rng = rng
        self._scheduler = scheduler
        self._faults = faults
        self._created = created
        self.config = self.settings()
        self.zoho_faults = ZohoFaults(rng, faults, self.config)

        def send(url: str, headers: Any, body: bytes) -> int:
            post(url, body)
            return HTTPStatus.OK

        environment = Environment(scheduler.after, send, self._clock, rng)
        self.organisation = Organisation(self.config, environment, url=API_DOMAIN, faults=self.zoho_faults)
        self._age_records()

    def settings(self) -> SimulatorConfig:
        """Draw the organisation's settings."""
        return draw_settings(self._rng, self._faults)

    def _clock(self) -> float:
        return EPOCH.timestamp() + self._scheduler.now

    # --- records ---

    def _age_records(self) -> None:
        """Modify the records of READ_MODULES a day ago: all in one second, in two, or each in its own."""
        self._scheduler.now = -_DAY
        for name in READ_MODULES:
            self._note_state(name)
            ids = self._living(name)
            self._rng.shuffle(ids)
            size = self._rng.choice((len(ids), (len(ids) + 1) // 2, 1)) or 1
            for start in range(0, len(ids), size):
                self._change(name, {"modify": ids[start : start + size]})
        self._scheduler.now = 0.0

    def change_records(self) -> None:
        """Create, modify and delete records: numbered pages of Bulk Read (v2 to v6) shift under it."""
        for name in READ_MODULES + BULK_MODULES:
            ids = self._living(name)
            self._rng.shuffle(ids)
            deleted, modified = self._rng.choice((0, 0, 1, 2)), self._rng.choice((0, 1, 2))
            self._change(
                name,
                {
                    "create": self._rng.choice((0, 1, 2)),
                    "delete": ids[:deleted],
                    "modify": ids[deleted : deleted + modified],
                },
            )

    def _change(self, name: str, change: dict[str, Any]) -> None:
        self.organisation.changes.apply(name, change)
        if name in READ_MODULES:
            self._note_state(name)

    def _note_state(self, name: str) -> None:
        module, rows = self._module(name)
        times = module.columns["Modified_Time"].texts(rows)
        state = {(str(module.id_base + row), time) for row, time in zip(rows, times, strict=True)}
        self.versions |= state
        self.states.add((name, frozenset(state)))

    def _module(self, name: str) -> tuple[Module, list[int]]:
        module = self.organisation.changes.module(name)
        return module, list(module.living(self.organisation.changes.total(name)))

    def _living(self, name: str) -> list[str]:
        module, rows = self._module(name)
        return [str(module.id_base + row) for row in rows]

    def has_changed(self, name: str) -> bool:
        """Return True if records of a module of Bulk Read were created, modified or deleted in this run."""
        return self.organisation.changes.of(name).revision > 0

    def records_since(self, name: str, epoch: float) -> set[str]:
        """Return the ids of the records of a module that were created by then and still exist."""
        module, rows = self._module(name)
        created = self.organisation.changes.of(name).created
        return {str(module.id_base + row) for row in rows if created.get(row, 0) <= epoch}

    # --- requests ---

    def handle(self, request: Request) -> Response:
        """Return the organisation's response, with faults, and record the truth."""
        is_create = request.method == "POST" and request.path.startswith("/crm/bulk/")
        part = part_of(json.loads(request.body)["callback"]["url"]) if is_create else None
        self.zoho_faults.part = part
        token = (request.header("Authorization") or "").removeprefix("Zoho-oauthtoken ")
        self._maybe_reject(token)
        lags = request.path.endswith("/actions/count") and self._faults.happens("count lags")
        self.config.count_lag_seconds = self._rng.choice((1.0, 60.0, 840.0)) if lags else 0.0
        response = self.organisation.handle(request)
        self.zoho_faults.quote(request, response)
        if response.status == HTTPStatus.BAD_REQUEST and b"EXPIRED_VALUE" in response.content():
            self._faults.note("page token expired", part)
        elif part and response.status == HTTPStatus.CREATED:
            self._record_job(request, response, part)
        elif "/bulk/" in request.path:
            self._change_response(request, response)
        elif request.path.endswith(READ_MODULES) and response.status == HTTPStatus.OK:
            response.body = self.zoho_faults.page(response.content())
        elif request.path == "/oauth/v2/token" and response.status == HTTPStatus.OK:
            self.access_tokens.add(json.loads(response.content())["access_token"])
        return response

    def _maybe_reject(self, token: str) -> None:
        """Let a token expire early. A new one never does: if Zoho rejects that too, the grant is revoked."""
        if token in self._used_tokens and self._faults.happens("Zoho rejects the token"):
            self.organisation.tokens.expire(token)
        self._used_tokens.add(token)

    def _record_job(self, request: Request, response: Response, part: PartId) -> None:
        job_id = json.loads(response.content())["data"][0]["details"]["id"]
        job = self.organisation.jobs.find(job_id)
        assert job is not None
        page_token = json.loads(request.body)["query"].get("page_token", "")
        token = self.organisation.page_tokens.find(page_token)
        before = self.jobs[token.payload.id] if token else None
        record = JobRecord(job, part, before and before.first, self.organisation.bulk_read)
        export_id, number = part
        previous = next(reversed(self.jobs_of[export_id, number - 1]), None)
        if previous is not None and previous.job.query.page + 1 == job.query.page:  # of the same generation
            record.before = previous
        if before:
            record.page_tokens = (*before.page_tokens, page_token)
        _, has_more = self.organisation.jobs.rows(job)
        record.hides_next_page = (
            has_more
            and not record.ends_in_failure
            and self._faults.happens("more records but no next page", part)
        )
        repeats = record.page_tokens and has_more and not record.ends_in_failure
        if repeats and self._faults.happens("more records but an earlier page", part):
            record.repeats_page_token = self._rng.choice(record.page_tokens)
        self.jobs[job_id] = record
        self.jobs_of[part].append(record)
        self._created(record)
        response.delay = record.response_delay

    def _change_response(self, request: Request, response: Response) -> None:
        """Apply the faults of job details and results."""
        *_, job_id, last = request.path.split("/")
        record = self.jobs.get(job_id if last == "result" else last)
        if record is None:
            return
        others = [other for other in self.jobs.values() if other is not record]
        if last != "result":
            if response.status == HTTPStatus.OK:
                response.body = self.zoho_faults.details(record, response.content())
                if others and self._faults.happens("job details of another job"):
                    other = self._rng.choice(others)
                    response.body = self.organisation.bulk_read.details(other.job.call, other.id).body
        elif response.status == HTTPStatus.OK:
            record.downloads += 1
            response.body = self.zoho_faults.result(record, response.content(), others)
        elif self._clock() >= record.job.ended_at + self.config.result_seconds:
            self._faults.note("result expired")
