"""Bulk Read jobs: create, read their state, open their result.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/overview.html
"""
# Is a job that a callback named the one we would have made? Called by exports/download before it is taken.
#
# In doubt it is not: another job costs 50 credits, a wrong one somebody else's records.
#

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_export.errors import (
    ZohoError,
    ZohoJobFailed,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoRequestMalformed,
    ZohoUnavailable,
)
from crm_export.zoho import catalog
from crm_export.zoho.catalog import BULK_READ_FORMATS, BulkReadFormat
from crm_export.zoho.refusals import (
    MEANINGS,
    clean_text,
    error_from,
    error_object,
    meaning_of,
    parse_json,
    usable_page_token,
)

if TYPE_CHECKING:  # who reads callbacks only needs no HTTP client
    from crm_export.zoho.client import ZohoClient
from datetime import datetime, timedelta

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST_ID = 10**19
_BAD_REQUEST = 400
_MORE = {"true": True, "false": False}
_LARGEST_NUMBER = 10**9  # of pages and records: more than a job can have, and no more than the table can hold
COMPLETED = "COMPLETED"
FAILURE = "FAILURE"
# A result is prepared before it is sent; between two bytes there may be a pause.
_RESULT_TIMEOUT = (3.05, 60.0)
# What a job is of is not known here.
_JOB_SCOPES = (catalog.BULK_READ_SCOPE,)


@dataclass(frozen=True)
class JobRequest:
    """What one Bulk Read job shall read: a page of a query, or what follows a page token."""

    module: str
    query: dict[str, Any]  # fields, criteria, cvid, as `check_criteria` gives them
    file_type: str
    page: int
    page_token: str | None
    callback_url: str


@dataclass(frozen=True)
class Job:
    """A job as Zoho tells of it. `count` and what follows to the query are known once it is COMPLETED."""

    job_id: str
    state: str
    module: str | None = None
    page: int | None = None
    count: int = 0
    more_records: bool = False
    next_page_token: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    query: dict[str, Any] = field(default_factory=dict, compare=False)
    created_time: str | None = field(default=None, compare=False)

    @property
    def failed_for_good(self) -> bool:
        """Whether another job of the same request would fail likewise: for its query, or for a permission."""
        return issubclass(self._failure_kind, ZohoQueryRefused | ZohoPermissionDenied)

    @property
    def _failure_kind(self) -> type[ZohoError]:
        known = self.failure_code in MEANINGS
        return meaning_of(str(self.failure_code), _BAD_REQUEST, {})[0] if known else ZohoJobFailed

    def raise_failure(self) -> None:
        """Raise what Zoho said: as its error where the code tells one, else ZohoJobFailed."""
        kind = self._failure_kind if self.failed_for_good else ZohoJobFailed
        raise kind(
            f"Zoho ended Bulk Read job {self.job_id} in FAILURE "
            f"({self.failure_code or 'no code'}: {self.failure_message or 'no message'}).",
            zoho_code=self.failure_code,
        )


def job_body(version: str, request: JobRequest) -> dict[str, Any]:
    """The JSON body of "create job" in a version's wire format."""
    body: dict[str, Any] = {"callback": {"url": request.callback_url, "method": "post"}}
    if request.page_token:
        # The token stands for the whole query; Zoho's own sample sends it alone.
        body["query"] = {"page_token": request.page_token}
    else:
        written = BULK_READ_FORMATS[version]
        module = {"api_name": request.module} if written.objects else request.module
        query = {"module": module, **request.query, "page": request.page}
        if "criteria" in query:
            query["criteria"] = _criteria(written, query["criteria"])
        body["query"] = query
    if request.file_type != "csv":
        body["file_type"] = request.file_type
    return body


def _criteria(written: BulkReadFormat, criteria: dict[str, Any]) -> dict[str, Any]:
    """Criteria in the version's own words."""
    if "group" in criteria:
        return {**criteria, "group": [_criteria(written, member) for member in criteria["group"]]}
    # An export that began before criteria were normalised may have v2's spelling.
    field = {"api_name": criteria.get("field", criteria)["api_name"]}
    name = {"field": field} if written.objects else field
    rest = {key: criteria[key] for key in ("comparator", "value")}
    return name | rest | ({"type": criteria["type"]} if written.criterion_type and "type" in criteria else {})


class BulkRead:
    """Bulk Read in the name of one connection. `version` is that of the export."""

    def __init__(self, client: "ZohoClient") -> None:
        self._client = client

    def create_job(self, version: str, request: JobRequest) -> str:
        """Create a job; return its id."""
        path = f"/crm/bulk/{version}/read"
        needed = (catalog.BULK_READ_SCOPE, catalog.module_scope(request.module))
        response = self._client.request("POST", path, json=job_body(version, request), scopes=needed)
        if error_object(response.body).get("status") == "error":
            raise error_from(response.status, response.body, response.headers, f"POST {path}", needed)
        answer = _first_datum(response.body, f"POST {path}")
        details = answer.get("details")
        job_id = usable_job_id(details.get("id") if isinstance(details, dict) else None)
        if job_id is None:
            # Not tried again: each try may have made another job.
            raise ZohoError(
                f"Zoho answered POST {path} without a job id ({clean_text(answer.get('code'), 100)})."
            )
        return job_id

    def get_job(self, version: str, job_id: str) -> Job:
        """A job's state. Raises ZohoNotFound where there is no such job."""
        path = f"/crm/bulk/{version}/read/{job_id}"
        try:
            response = self._client.request("GET", path, scopes=_JOB_SCOPES)
            if error_object(response.body).get("status") == "error":
                raise error_from(response.status, response.body, response.headers, f"GET {path}", _JOB_SCOPES)
        except ZohoRequestMalformed as error:
            if error.zoho_code != "INVALID_URL_PATTERN":
                raise
            # The path is right but for what a callback may have named as its job.
            raise ZohoNotFound(
                error.message, zoho_code=error.zoho_code, http_status=error.http_status
            ) from error
        return parse_job(_first_datum(response.body, f"GET {path}"), job_id)

    def open_result(self, version: str, job_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """The result ZIP of a COMPLETED job as chunks. Raises ZohoNotFound when it is gone."""
        path = f"/crm/bulk/{version}/read/{job_id}/result"
        return self._client.stream(path, scopes=_JOB_SCOPES, timeout=_RESULT_TIMEOUT)


def usable_job_id(value: Any) -> str | None:
    """A value as a job id, or None: it becomes part of a path, and must not leave its place there."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST_ID
    text = str(int(value)) if number and value == int(value) else value
    return text if isinstance(text, str) and _JOB_ID.fullmatch(text) else None


def callback_job_id(body: Any) -> str | None:
    """The job id of a callback, in the documented shape (`data[].id`) or the flat one (`job_id`)."""
    if not isinstance(body, dict):
        return None
    data = body.get("data")
    datum = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else body
    return usable_job_id(datum.get("id", datum.get("job_id")))


def parse_job(datum: dict[str, Any], job_id: str) -> Job:
    """A job from one member of `data`. A COMPLETED one must tell its count."""
    state, result = datum.get("state"), datum.get("result")
    result = result if isinstance(result, dict) else {}
    query, created = datum.get("query"), datum.get("created_time")
    query = query if isinstance(query, dict) else {}
    module = query.get("module")
    error = result.get("error_message")
    error = error if isinstance(error, dict) else {}
    count = _number(result.get("count"))
    more = _MORE.get(str(result.get("more_records")).lower())
    if not isinstance(state, str) or (state == COMPLETED and (count is None or more is None)):
        raise ZohoUnavailable(f"Zoho told no state, or no count or more_records, of job {job_id}.")
    return Job(
        job_id=job_id,
        state=state,
        module=module.get("api_name") if isinstance(module, dict) else module,
        page=_number(result.get("page")),
        count=count or 0,
        more_records=more is True,
        next_page_token=usable_page_token(result.get("next_page_token")),
        failure_code=clean_text(error["code"], 100) if "code" in error else None,
        failure_message=clean_text(error["message"]) if "message" in error else None,
        query=query,
        created_time=created if isinstance(created, str) else None,
    )


def _number(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004
        return int(value)
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_NUMBER
    return value if usable else None


def _first_datum(body: bytes, what: str) -> dict[str, Any]:
    answer = parse_json(body)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not (isinstance(data, list) and data and isinstance(data[0], dict)):
        raise ZohoUnavailable(f"Zoho answered {what} without data.")
    return data[0]


_CLOCKS_DIFFER = timedelta(minutes=5)


def is_job_for(job: Job, request: JobRequest, *, not_before: str) -> bool:
    """Whether Zoho says of the job that it reads what the request asks for, and was made since (ISO 8601).

    Of what follows a page token nobody can tell which snapshot it is of, unless Zoho tells the token.
    """
    told, query = job.query, request.query
    if request.page_token:
        return told.get("page_token") == request.page_token
    return (
        job.module == request.module
        and (told.get("page") or job.page) == request.page
        and (told.get("fields") or None) == (query.get("fields") or None)
        and told.get("cvid") == query.get("cvid")
        and _comparable(told.get("criteria")) == _comparable(query.get("criteria"))
        and _created_since(job.created_time, not_before)
    )


def _comparable(criteria: Any) -> Any:
    """Criteria without what Zoho adds: ids of fields, and v7's own criterion of converted leads."""
    if not isinstance(criteria, dict):
        return None
    if isinstance(criteria.get("group"), list):
        group = [one for one in map(_comparable, criteria["group"]) if one is not None]
        return group[0] if len(group) == 1 else (str(criteria.get("group_operator")).lower(), group)
    field = criteria.get("field", criteria)
    name = field.get("api_name") if isinstance(field, dict) else None
    if name == "$converted" and isinstance(field, dict) and "id" in field and field["id"] is None:
        return None
    return name, criteria.get("comparator"), _plain(criteria.get("value"))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _created_since(created_time: str | None, not_before: str) -> bool:
    try:
        made, moment = datetime.fromisoformat(created_time or ""), datetime.fromisoformat(not_before)
    except ValueError:
        return False
    return made.tzinfo is not None and made >= moment - _CLOCKS_DIFFER
