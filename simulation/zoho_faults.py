"""Zoho's faults in a run: refused requests, jobs and callbacks that go wrong, damaged details and results."""

import csv
import io
import json
import zlib
from collections.abc import Sequence
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING

from crm_export.zoho.catalog import has_page_token
from simulation import faults as simulated
from zoho_simulator.bulk.results import Layout, zip_stream
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.errors import documented_error
from zoho_simulator.faults import Fault, Faults, quote_request
from zoho_simulator.wire import Json, Request, Response

if TYPE_CHECKING:
    from simulation.zoho import JobRecord, Row

_JOB_SECONDS = (0.0, 2.0, 60.0, 400.0)
_OTHER_WORDS = (float, str, "{}.0".format)


class ZohoFaults(Faults):
    """Draws the organisation's faults instead of following rules.

    part: the part whose job is being created, or None.
    """

    def __init__(self, rng: Random, faults: simulated.Faults, config: SimulatorConfig) -> None:
        super().__init__()
        self.part: tuple[str, int] | None = None
        self._rng = rng
        self._happens = faults.happens
        self._config = config
        self.job_seconds: tuple[float, ...] = _JOB_SECONDS  # one of them is drawn for each job

    def take(self, target: str, method: str, path: str) -> Fault:
        """Return what happens to a request or, if `path` is its URL, to a callback."""
        if target == "callback":
            return self._of_callback(path)
        if path == "/oauth/v2/token":
            refused = {"error": "Access Denied", "status": "failure"}
            return Fault(status=400, body=refused) if self._happens("Zoho gives no tokens") else Fault()
        if (fault := self._of_any_request()) or "/bulk/" not in path:
            return fault or Fault()
        if method == "POST":
            return Fault(job=self._of_job())
        is_result = path.endswith("/result")
        if self._happens("job not found") or (is_result and self._happens("result not found")):
            return _refusal("RESOURCE_NOT_FOUND")
        return Fault()

    def _of_any_request(self) -> Fault | None:
        if self._happens("Zoho 429"):
            return _refusal("TOO_MANY_REQUESTS")
        if self._happens("Zoho 429 with Retry-After"):
            return _refusal("TOO_MANY_REQUESTS", {"Retry-After": str(self._rng.choice((1, 3, 30, 300)))})
        if self._happens("Zoho 500"):
            return _refusal("INTERNAL_ERROR")
        if self._happens("Zoho's gateway returns HTML"):
            return Fault(status=self._rng.choice((502, 404, 403, 401, 400)), body="<html>Bad gateway</html>")
        return None

    def _of_job(self) -> Json:
        """Return the `JobFaults` of a new job."""
        seconds = self._rng.choice(self.job_seconds)
        if self._happens("job takes hours", self.part):
            seconds = self._rng.choice((3600.0, 10_000.0))
        elif self._happens("job never ends", self.part):
            return {"state": "IN PROGRESS"}
        job: Json = {"seconds": seconds, "is_early": self._happens("callback early", self.part)}
        # Only the first part's job: the truth of a snapshot is what its first job read.
        if self.part and self.part[1] == 1 and self._happens("job leaves out records", self.part):
            job["omitted_rows"] = self._rng.choice((1, 2))
        if self._happens("job ends in FAILURE", self.part):
            is_expiry = self._rng.random() < 0.2 and self._happens("page token expired", self.part)
            error = documented_error("EXPIRED_VALUE" if is_expiry else "INTERNAL_SERVER_ERROR")
            return {**job, "state": "FAILURE", "error": error.body()}
        return {**job, "state": "DELETED" if self._happens("job deleted", self.part) else "COMPLETED"}

    def _of_callback(self, url: str) -> Fault:
        *_, export_id, number, _ = url.split("/")
        part = export_id, int(number)
        if self._happens("callback never", part):
            return Fault(drop="before")
        is_late = self._happens("callback late", part)
        return Fault(
            delay=self._rng.choice((600.0, 20_000.0)) if is_late else 0.0,
            duplicate=2 if self._happens("callback three times", part) else 0,
        )

    # --- bodies ---

    def quote(self, request: Request, response: Response) -> None:
        """Let a refusal quote the request, with its token and callback URL."""
        if response.status >= HTTPStatus.BAD_REQUEST and self._happens("Zoho quotes our request"):
            quote_request(request, response, self._rng.choice(("plain", "percent", "json")))

    def page(self, body: bytes) -> bytes:
        """Return the body of a page of the records API, perhaps with a record twice or without `info`."""
        if not body.startswith(b"{"):  # a gateway's page
            return body
        document = json.loads(body)
        if self._happens("page lists a record twice"):
            place = self._rng.randrange(len(document["data"]))
            document["data"].insert(place, document["data"][place])
        if self._happens("page without info"):
            del document["info"]
        return json.dumps(document).encode()

    def details(self, record: "JobRecord", body: bytes) -> bytes:
        """Return the body of job details, perhaps in other words, or without what is needed to go on."""
        if not body.startswith(b"{"):  # a gateway's page
            return body
        document = json.loads(body)
        (datum,) = document["data"]
        result = datum.get("result", {})
        if self._happens("job details in other words"):
            datum["state"] = self._rng.choice((datum["state"].lower(), datum["state"].title()))
            if "count" in result:
                result["count"] = self._rng.choice(_OTHER_WORDS)(result["count"])
            body = json.dumps(document).encode()
        if "count" not in result:
            return body
        if record.hides_next_page:
            result.pop("next_page_token", None)
            if not has_page_token(record.job.call.version):
                result["count"] = 0
        if record.repeats_page_token:
            result["next_page_token"] = record.repeats_page_token
        if self._happens("job without a count"):
            del result["count"]
        return json.dumps(document).encode()

    def result(self, record: "JobRecord", body: bytes, others: Sequence["JobRecord"]) -> bytes:
        """Return the archive of a result, perhaps damaged, or another job's."""
        if self._happens("result truncated"):
            return body[: self._rng.randrange(len(body))]
        if self._happens("result with a byte changed"):
            place = self._rng.randrange(len(body))
            return body[:place] + bytes([body[place] ^ (1 << self._rng.randrange(8))]) + body[place + 1 :]
        if self._happens("result with a wrong CRC"):
            wrong = record.content.replace(b"Id", b"ID", 1)
            return self._archive(record.id, wrong).replace(_crc(wrong), _crc(record.content))
        if self._happens("result with a wrong count"):
            return self._archive(record.id, self._with_other_count(record))
        if others and self._happens("result of another job"):
            other = self._rng.choice(others)
            return self._archive(other.id, other.content)
        return self._plausible(record) or body

    def _plausible(self, record: "JobRecord") -> bytes | None:
        """Return an archive that has the job's number of records, but others or with another column."""
        header, rows, before = record.header, record.rows, record.before
        if len(rows) > 1 and self._happens("result repeats a record", record.part):
            return self._csv(record, header, [*rows[:-1], rows[0]])
        if before and before.rows and rows and self._happens("result of the part before", record.part):
            whole = len(before.rows) == len(rows) and self._rng.random() < 0.5
            return self._csv(record, header, before.rows if whole else [before.rows[-1], *rows[:-1]])
        if self._happens("result with another column", record.part):
            renamed = next(name for name in header if name != "Id")
            return self._csv(record, tuple("Another" if name == renamed else name for name in header), rows)
        return None

    def _archive(self, job_id: str, content: bytes) -> bytes:
        layout = Layout(self._config.zip_method, self._config.zip_sizes, self._config.zip_zip64)
        return b"".join(zip_stream(layout, f"{job_id}.csv", lambda: iter([content])))

    def _with_other_count(self, record: "JobRecord") -> bytes:
        more = self._rng.random() < 0.5 or not record.rows
        rows = [*record.rows, ("1",) * len(record.header)] if more else record.rows[1:]
        return self._csv_of(record.header, rows)

    def _csv(self, record: "JobRecord", header: "Row", rows: list["Row"]) -> bytes:
        return self._archive(record.id, self._csv_of(header, rows))

    def _csv_of(self, header: "Row", rows: list["Row"]) -> bytes:
        out = io.StringIO()
        csv.writer(out, lineterminator=self._config.csv_newline).writerows([header, *rows])
        return out.getvalue().encode()


def _crc(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def _refusal(code: str, headers: dict[str, str] | None = None) -> Fault:
    error = documented_error(code)
    return Fault(status=error.status, body=error.body(), headers=headers or {})
