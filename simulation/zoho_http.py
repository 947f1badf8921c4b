"""The requests.Session that our ZohoClient uses: it answers from the model, with faults on the way."""

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
import urllib3

from crm_export.exports.callbacks import verify
from simulation.calls import Calls
from simulation.zoho import Job, Zoho
from simulation.zoho_records import MODULE

API_DOMAIN, ACCOUNTS = "https://www.zohoapis.com", "https://accounts.zoho.com"
_JOB = re.compile(r"/crm/bulk/(v[0-9.]+)/read(?:/([^/]+))?(/result)?")
_TAKES = 0.4
_SENT_AT_ONCE = (1, 7, 40, 120, 1000)


class Raw:
    """What is left to read of a body. A call per chunk, in which the function may die or wait."""

    def __init__(self, session: "Session", body: bytes, breaks_at: int | None, size: int) -> None:
        self._session = session
        self._body = body
        self._breaks_at = breaks_at
        self._size = size
        self._sent = 0

    def read1(self, amount: int, decode_content: bool) -> bytes:
        """See urllib3's HTTPResponse."""
        if not self._size:
            body, self._body = self._body, b""
            return body
        if self._breaks_at is not None and self._sent >= self._breaks_at:
            raise urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead")
        end = min(self._sent + self._size, self._breaks_at or len(self._body), len(self._body))
        chunk, self._sent = self._body[self._sent : end], end
        return self._session.calls.make(f"zoho reads {len(chunk)} bytes", lambda: chunk, seconds=0.1)


class Response:
    """A requests.Response, as far as our transport reads it."""

    is_redirect = False
    late = 0.0  # seconds on its way, beside the usual

    def __init__(self, status: int, body: bytes, headers: dict[str, str], raw: Raw) -> None:
        self.status_code = status
        self.headers = headers
        self.raw = raw

    def __repr__(self) -> str:
        return f"HTTP {self.status_code}"

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Headers:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


class Session:
    """A requests.Session. `signing_key` is ours, to learn which part a job is for."""

    def __init__(
        self,
        zoho: Zoho,
        calls: Calls,
        rng: Random,
        *,
        signing_key: bytes,
        refresh_token: str,
        created: Callable[[Job], None],
    ) -> None:
        self.calls = calls
        self._zoho = zoho
        self._rng = rng
        self._faults = calls.faults
        self._signing_key = signing_key
        self._refresh_token = refresh_token
        self._created = created

    def request(self, method: str, url: str, *, auth: Any = None, **kwargs: Any) -> Response:
        """See requests."""
        where = urlsplit(url)
        origin = f"{where.scheme}://{where.netloc}"
        if origin == ACCOUNTS:
            assert kwargs["data"]["refresh_token"] == self._refresh_token
            return self._call(f"{method} {where.path}", self._token, kwargs["timeout"][1])
        assert origin == API_DOMAIN, url
        request = _Headers()
        auth(request)
        token = request.headers["Authorization"].removeprefix("Zoho-oauthtoken ")
        return self._call(
            f"{method} {where.path}",
            lambda: self._api(method, where.path, token, kwargs),
            kwargs["timeout"][1],
        )

    def _call(self, what: str, effect: Callable[[], Response], timeout: float) -> Response:
        happens = self._faults.happens
        if happens("Zoho times out"):
            self._time_out(what, timeout)
        if happens("Zoho times out after it did it"):
            self.calls.make(f"zoho {what}", effect, seconds=_TAKES)
            self._time_out(what, timeout)
        answer = self.calls.make(f"zoho {what}", effect, seconds=_TAKES)
        if answer.late > timeout:
            self._time_out(what, timeout)
        self.calls.sleep(answer.late)
        return answer

    def _time_out(self, what: str, seconds: float) -> NoReturn:
        self.calls.sleep(seconds)
        self.calls.make(f"zoho {what} (no answer)", _raise_timeout, seconds=0.0)
        raise AssertionError

    def _token(self) -> Response:
        if self._faults.happens("Zoho gives no tokens"):
            return self._answer(400, {"error": "Access Denied", "status": "failure"})
        token = self._zoho.new_token()
        return self._answer(200, {"access_token": token, "api_domain": API_DOMAIN, "expires_in": 3600})

    def _api(self, method: str, path: str, token: str, given: dict[str, Any]) -> Response:
        if not self._zoho.takes(token):
            return self._error(401, "INVALID_TOKEN")
        if fault := self._fault():
            return fault
        return self._jobs(method, path, given) if "/bulk/" in path else self._records(path, given)

    def _records(self, path: str, given: dict[str, Any]) -> Response:
        if path.endswith("/settings/fields"):
            return self._answer(200, self._zoho.records.fields())
        assert path.endswith(f"/{MODULE}"), path
        since = (given.get("headers") or {}).get("If-Modified-Since")
        status, body = self._zoho.records.listed(given["params"], since)
        return self._answer(status, body or b"")

    def _jobs(self, method: str, path: str, given: dict[str, Any]) -> Response:
        match = _JOB.fullmatch(path)
        assert match is not None, path
        if method == "POST":
            return self._create(given["json"])
        job = self._zoho.jobs.get(match.group(2))
        if job is None or self._faults.happens("job not found"):
            return self._error(404, "RESOURCE_NOT_FOUND")
        if not match.group(3):
            datum = self._zoho.details(job)
            if "count" in datum.get("result", {}) and self._faults.happens("job without a count"):
                del datum["result"]["count"]
            return self._answer(200, {"data": [datum]})
        return self._result(job)

    def _fault(self) -> Response | None:
        happens = self._faults.happens
        if happens("Zoho 429"):
            return self._error(429, "TOO_MANY_REQUESTS")
        if happens("Zoho 429 with Retry-After"):
            after = str(self._rng.choice((1, 3, 30, 300)))
            return self._error(429, "TOO_MANY_REQUESTS", {"Retry-After": after})
        if happens("Zoho 500"):
            return self._error(500, "INTERNAL_ERROR")
        if happens("Zoho's gateway answers HTML"):
            return self._answer(self._rng.choice((502, 404, 400)), b"<html>Bad gateway</html>")
        return None

    def _create(self, body: Any) -> Response:
        *_, export_id, number, signature = body["callback"]["url"].split("/")
        part = (export_id, verify((self._signing_key,), export_id, number, signature))
        job = self._zoho.create_job(body, part)
        if job is None:
            return self._error(400, "EXPIRED_VALUE")
        self._created(job)
        details = {"id": job.job_id, "operation": "read", "state": "ADDED"}
        datum = {"status": "success", "code": "ADDED_SUCCESSFULLY", "message": "Added.", "details": details}
        answer = self._answer(201, {"data": [datum], "info": {}})
        answer.late = job.answered_after
        return answer

    def _result(self, job: Job) -> Response:
        expired = not self._zoho.is_kept(job) or job.fails
        if expired or self._faults.happens("result not found"):
            return self._error(404, "RESOURCE_NOT_FOUND")
        job.downloads += 1
        body = self._zoho.broken_zip(job)
        breaks = self._faults.happens("result breaks off")
        breaks_at = self._rng.randrange(len(body)) if breaks and body else None
        return self._answer(
            200, body, breaks_at=breaks_at, size=self._rng.choice(_SENT_AT_ONCE) + len(body) // 8
        )

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> Response:
        body = {"code": code, "message": code.lower(), "details": {}, "status": "error"}
        return self._answer(status, body, headers=headers)

    def _answer(
        self, status: int, body: Any, *, headers: dict[str, str] | None = None,
        breaks_at: int | None = None, size: int = 0,
    ) -> Response:  # fmt: skip
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Response(status, content, headers or {}, Raw(self, content, breaks_at, size))


def _raise_timeout() -> NoReturn:
    raise requests.ReadTimeout("Read timed out.")
