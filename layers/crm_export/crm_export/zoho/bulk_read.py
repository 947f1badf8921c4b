"""Bulk Read jobs: create one, read its state, open its result, and recognise the job of a request.

https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/overview.html
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from crm_export.errors import (
    ZohoError,
    ZohoJobFailed,
    ZohoNotFound,
    ZohoPermissionDenied,
    ZohoQueryRefused,
    ZohoRequestMalformed,
    ZohoResponseInvalid,
    ZohoUnavailable,
)
from crm_export.strict_json import moment
from crm_export.zoho.catalog import BULK_READ_FORMATS, BULK_READ_SCOPE, BulkReadFormat, module_scope
from crm_export.zoho.refusals import (
    clean_text,
    error_from,
    error_object,
    job_failure_kind,
    parse_json,
    usable_page_token,
)

if TYPE_CHECKING:  # a function that only reads callbacks does not load the HTTP client
    from crm_export.zoho.client import ZohoClient

COMPLETED = "COMPLETED"
FAILURE = "FAILURE"
DELETED = "DELETED"
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LARGEST_NUMERIC_ID = 10**19
_NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE]\+?[0-9]{1,2})?")
_LARGEST_NUMBER = 10**9  # of pages and records: more than a job can have, and few enough for the table
_LONGEST_CODE = 100
_LONGEST_STATE = 40
_MORE_RECORDS = {"true": True, "false": False}
# Zoho prepares a result before it sends it, so there may be a pause between two bytes.
_RESULT_TIMEOUT = (3.05, 60.0)
_CLOCK_DIFFERENCE = timedelta(minutes=5)


@dataclass(frozen=True)
class JobRequest:
    """What one Bulk Read job must read: a page of a query, or what follows a page token.

    query: `fields`, `criteria` and `cvid`, in the form that `check_criteria` returns.
    """

    module: str
    query: dict[str, Any]
    file_type: str
    page: int
    page_token: str | None
    callback_url: str  # "" for none


@dataclass(frozen=True)
class Job:
    """A job as Zoho describes it. `count` to `next_page_token` are set once it is COMPLETED.

    state: in capital letters.
    """

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
    created_time: datetime | None = field(default=None, compare=False)

    @property
    def has_failed(self) -> bool:
        """True if the job has ended and will have no result."""
        return self.state in {FAILURE, DELETED}

    @property
    def failed_for_good(self) -> bool:
        """True if another job for the same request would fail again: for its query, or for a permission."""
        kind = job_failure_kind(self.failure_code)
        return issubclass(kind, ZohoQueryRefused | ZohoPermissionDenied)

    def failure(self) -> ZohoError:
        """Return the error of the failure code if the job failed for good, else ZohoJobFailed."""
        kind = job_failure_kind(self.failure_code) if self.failed_for_good else ZohoJobFailed
        return kind(
            f"Zoho ended Bulk Read job {self.job_id} in {self.state} "
            f"({self.failure_code or 'no code'}: {self.failure_message or 'no message'}).",
            zoho_code=self.failure_code,
        )


class BulkRead:
    """The Bulk Read API with the tokens of one connection. `version` is the export's API version."""

    def __init__(self, client: "ZohoClient") -> None:
        self._client = client

    def create_job(self, version: str, request: JobRequest) -> str:
        """Create a job and return its id.

        https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
        """
        path = f"/crm/bulk/{version}/read"
        scopes = (BULK_READ_SCOPE, module_scope(request.module))
        created = self._call("POST", path, scopes, json=job_body(version, request))
        details = created.get("details")
        job_id = usable_job_id(details.get("id") if isinstance(details, dict) else None)
        if job_id is None:
            # Not retryable: each attempt may have created another job.
            code = clean_text(created.get("code"), _LONGEST_CODE)
            raise ZohoError(f"Zoho responded to POST {path} without a usable job id ({code}).")
        return job_id

    def get_job(self, version: str, job_id: str) -> Job:
        """Return a job's state.

        Raises ZohoNotFound if there is no such job, ZohoUnavailable if the details are those of another job,
        and ZohoResponseInvalid if they are incomplete.
        https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/get-job-details.html
        """
        try:
            found = self._call("GET", f"/crm/bulk/{version}/read/{job_id}", (BULK_READ_SCOPE,))
        except ZohoRequestMalformed as error:
            if error.zoho_code != "INVALID_URL_PATTERN":
                raise
            # Our path is fixed, so the job id (taken from a callback) must be malformed: not found.
            raise ZohoNotFound(
                error.message, zoho_code=error.zoho_code, http_status=error.http_status
            ) from error
        return parse_job(found, job_id)

    def open_result(self, version: str, job_id: str) -> AbstractContextManager[Iterator[bytes]]:
        """Return the result ZIP of a COMPLETED job as a context of chunks. It raises ZohoNotFound if expired.

        https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/download-result.html
        """
        # The job's module is unknown here, so only the Bulk Read scope can be named.
        path = f"/crm/bulk/{version}/read/{job_id}/result"
        return self._client.stream(path, scopes=(BULK_READ_SCOPE,), timeout=_RESULT_TIMEOUT)

    def _call(self, method: str, path: str, scopes: tuple[str, ...], **kwargs: Any) -> dict[str, Any]:
        """Send a request and return the first object in the response's `data`."""
        what = f"{method} {path}"
        response = self._client.request(method, path, scopes=scopes, **kwargs)
        if error_object(response.body).get("status") == "error":
            raise error_from(response.status, response.body, response.headers, what, scopes)
        body = parse_json(response.body)
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list):  # from a gateway in front of Zoho
            raise ZohoUnavailable(f"Zoho responded to {what} without data.")
        if not (data and isinstance(data[0], dict)):
            raise ZohoResponseInvalid(f"Zoho responded to {what} with empty data.")
        return data[0]


# --- Request ----------------------------------------------------------------------------------


def job_body(version: str, request: JobRequest) -> dict[str, Any]:
    """Return the JSON body of "create job" in the format of the API version."""
    body: dict[str, Any] = {}
    if request.callback_url:
        body["callback"] = {"url": request.callback_url, "method": "post"}
    if request.page_token:
        # The token stands for the whole query; Zoho's own sample sends it alone.
        body["query"] = {"page_token": request.page_token}
    else:
        form = BULK_READ_FORMATS[version]
        module = {"api_name": request.module} if form.objects else request.module
        query = {"module": module, **request.query, "page": request.page}
        if "criteria" in query:
            query["criteria"] = _criteria(form, query["criteria"])
        body["query"] = query
    if request.file_type != "csv":
        body["file_type"] = request.file_type
    return body


def _criteria(form: BulkReadFormat, criteria: dict[str, Any]) -> dict[str, Any]:
    if "group" in criteria:
        return {**criteria, "group": [_criteria(form, member) for member in criteria["group"]]}
    # An export that started before criteria were normalised may have them in v2's form.
    field = {"api_name": criteria.get("field", criteria)["api_name"]}
    name = {"field": field} if form.objects else field
    rest = {key: criteria[key] for key in ("comparator", "value")}
    return name | rest | ({"type": criteria["type"]} if form.criterion_type and "type" in criteria else {})


# --- Response ---------------------------------------------------------------------------------


def usable_job_id(value: Any) -> str | None:
    """Return the value as a job id, or None if it is not safe as one segment of a URL path."""
    number = (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST_NUMERIC_ID
    )
    text = str(int(value)) if number and value == int(value) else value
    return text if isinstance(text, str) and _JOB_ID.fullmatch(text) else None


def callback_job_id(body: Any) -> str | None:
    """Return the job id of a callback in the documented shape (`data[].id`) or the flat one (`job_id`)."""
    if not isinstance(body, dict):
        return None
    data = body.get("data")
    datum = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else body
    return usable_job_id(datum.get("id", datum.get("job_id")))


def parse_job(datum: dict[str, Any], job_id: str) -> Job:
    """Return the job that one member of `data` describes.

    Raises ZohoUnavailable if it is another job than `job_id`, and ZohoResponseInvalid if it is incomplete.
    """
    if datum.get("id") is not None and usable_job_id(datum["id"]) != job_id:
        raise ZohoUnavailable(f"Zoho's status of job {job_id} is that of another job.")
    result, query = _object(datum.get("result")), _object(datum.get("query"))
    state, count = datum.get("state"), _number(result.get("count"))
    state = clean_text(state, _LONGEST_STATE).strip().upper() if isinstance(state, str) else ""
    more_records = _MORE_RECORDS.get(str(result.get("more_records")).lower())
    if not state or (state == COMPLETED and (count is None or more_records is None)):
        raise ZohoResponseInvalid(f"Zoho's status of job {job_id} lacks state, count or more_records.")
    module, error = query.get("module"), _object(result.get("error_message"))
    name = module.get("api_name") if isinstance(module, dict) else module
    return Job(
        job_id=job_id,
        state=state,
        module=name if isinstance(name, str) else None,
        page=_number(result.get("page")),
        count=count or 0,
        more_records=more_records is True,
        next_page_token=usable_page_token(result.get("next_page_token")),
        failure_code=clean_text(error["code"], _LONGEST_CODE) if "code" in error else None,
        failure_message=clean_text(error["message"]) if "message" in error else None,
        query=query,
        created_time=moment(datum.get("created_time")),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    """Return a count, which Zoho may write as 40, "40", 40.0 or 4E1, or None."""
    text = str(value)
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return int(number) if number < _LARGEST_NUMBER and number == int(number) else None


# --- Is this the job that our request would have created? -------------------------------------


def check_is_job_for(job: Job, request: JobRequest) -> None:
    """Raise ZohoUnavailable if our job's details name another module or page than the request did.

    Such details are another job's, for example from a cache. What they lack cannot be compared.
    """
    page = None if request.page_token else _number(job.query.get("page"))
    if job.module is not None and job.module.casefold() != request.module.casefold():
        found, wanted = f"module {job.module}", request.module
    elif page is not None and page != request.page:
        found, wanted = f"page {page}", str(request.page)
    else:
        return
    raise ZohoUnavailable(f"Zoho's status of job {job.job_id} names {found} instead of {wanted}.")


def is_job_for(job: Job, request: JobRequest, *, not_before: datetime) -> bool:
    """Return True if Zoho describes the job as one for this request, created since `not_before`.

    If in doubt, return False: another job costs 50 credits, while a wrong one adds another query's records.
    For a request with a page token, only the token is compared: it alone identifies the snapshot. The page is
    compared with the query's own: `result.page` may be 1 for a job that a page token continues.
    """
    found, wanted = job.query, request.query
    if request.page_token:
        return found.get("page_token") == request.page_token
    return (
        job.module == request.module
        and not found.get("page_token")
        and found.get("page") == request.page
        and (found.get("fields") or None) == (wanted.get("fields") or None)
        and found.get("cvid") == wanted.get("cvid")
        and _comparable(found.get("criteria")) == _comparable(wanted.get("criteria"))
        and job.created_time is not None
        and job.created_time >= not_before - _CLOCK_DIFFERENCE
    )


def _comparable(criteria: Any) -> Any:
    """Return criteria without what Zoho adds: ids of fields, and v7's own criterion on converted leads."""
    if not isinstance(criteria, dict):
        return None
    if isinstance(criteria.get("group"), list):
        group = [member for member in map(_comparable, criteria["group"]) if member is not None]
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
