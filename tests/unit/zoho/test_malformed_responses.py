"""Any JSON, from Zoho or from a server that claims to be Zoho, gives a result or an ExportError."""

import json

import pytest
import requests
import responses
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crm_export import strict_json
from crm_export.aws.export_table import encode
from crm_export.errors import ExportError, ZohoResponseInvalid
from crm_export.exports.model import Failure
from crm_export.results.records_csv import csv_chunks
from crm_export.zoho.bulk_read import BulkRead, JobRequest, callback_job_id, parse_job
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.grants import RefreshToken, ZohoClientCredentials
from crm_export.zoho.metadata import get_fields, get_modules
from crm_export.zoho.oauth import request_access_token
from crm_export.zoho.records import BY_ID, BY_MODIFIED_TIME, Cursor, PageRequest, RecordsReader
from crm_export.zoho.refusals import error_from
from crm_export.zoho.transport import ZohoResponse

_KEYS = st.sampled_from(
    ["data", "info", "code", "message", "status", "details", "fields", "modules", "api_name", "data_type"]
    + ["lookup", "module", "id", "result", "count", "state", "query", "error_message", "next_page_token"]
    + ["more_records", "page", "Modified_Time", "error", "access_token", "expires_in", "expires_in_sec"]
    + ["json_path", "supported_values", "permissions", "max_limit", "name", "Tag", "$x"]
)
_TIMES = st.sampled_from(
    [
        "0001-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01T00:00:00+05:30",
        "2026-01-01",
        "\ud800",
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**18, 10**40, -1, 1e308, float("nan"), float("inf"), -0.0]),
    st.floats(),
    st.text(max_size=9),
    st.sampled_from(["", "1", "\ud800", "\0", "COMPLETED", "error", "FIELD_NOT_AVAILABLE", "EXPIRED_VALUE"]),
    st.sampled_from(["a\r\nX: y", "../..", "5" * 5000, "field 'a'", "invalid_code", "TOO_MANY_REQUESTS"]),
    _TIMES,
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=20,
)
_DEEP = [b'{"data":' + b"[" * depth + b"]" * depth + b"}" for depth in (400, 2_000, 9_990, 200_000)]
_DEEP += [
    b'{"data":[{"id":"1","Modified_Time":"2026-01-01T00:00:00Z","A":' + b'[{"b":' * 3000 + b"1" + b"}]" * 3000
]
_DEEP[-1] += b"}]}"


def likely(**more):
    """Return objects with the keys that the code reads, each with any value."""
    return st.fixed_dictionaries({}, optional={name: value | _JSON for name, value in more.items()})


_JOB = likely(id=_SCALARS, state=_SCALARS, result=likely(count=_SCALARS, page=_SCALARS))
_FIELD = likely(api_name=_SCALARS, data_type=_SCALARS, lookup=likely(module=_JSON))
_RECORDS = st.lists(likely(id=st.sampled_from(["1", "2", "3"]), Modified_Time=_TIMES, A=_JSON), max_size=3)
_BODIES = st.one_of(
    st.binary(max_size=30),
    _JSON.map(lambda value: json.dumps(value).encode()),
    likely(
        data=st.one_of(
            _RECORDS,
            st.lists(likely(code=_SCALARS, status=_SCALARS, details=likely(id=_SCALARS)), max_size=2),
            st.lists(_JOB, max_size=2),
        ),
        info=likely(more_records=st.booleans(), next_page_token=_SCALARS),
        fields=st.lists(_FIELD, max_size=3),
        modules=st.lists(likely(api_name=_SCALARS), max_size=3),
        error=_SCALARS,
        access_token=_SCALARS,
        expires_in=_SCALARS,
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(_DEEP + [b'{"data":[{"id":"1","id":{}}],"data":[]}', b'{"data":NaN}', b"\xff\xfe[\0]\0"]),
)  # fmt: skip


class Client(ZohoClient):
    """Returns the same response to every request."""

    def __init__(self, status, body):
        super().__init__(requests.Session(), "https://zoho.test", None)
        self._response = ZohoResponse(status, {}, body)

    def request(self, method, path, *, scopes=(), **kwargs):
        requests.Request(method, "https://zoho.test" + path, **kwargs).prepare()  # it could be sent
        return self._response


def attempt(call):
    """Return the call's result; None for an ExportError, whose message can be sent and stored."""
    try:
        return call()
    except ExportError as error:
        json.dumps(vars(Failure.of(error)), ensure_ascii=False).encode()
        assert len(error.message) < 4000
        return None


QUICKLY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICKLY
@given(_BODIES, st.sampled_from([200, 201, 204]))
def test_bulk_read_response_gives_a_job_or_an_export_error(body, status):
    api = BulkRead(Client(status, body))
    request = JobRequest("Leads", {}, "csv", 1, None, "https://us.test/cb")
    job_id = attempt(lambda: api.create_job("v8", request))
    assert job_id is None or (job_id.isascii() and "/" not in job_id)
    job = attempt(lambda: api.get_job("v8", "1"))
    if job:
        encode({"count": job.count, "page": job.page, "token": job.next_page_token})
        assert job.count < 10**9
        attempt(lambda: (_ for _ in ()).throw(job.failure()))


@QUICKLY
@given(_BODIES)
def test_metadata_response_gives_names_or_an_export_error(body):
    names = attempt(lambda: get_modules(Client(200, body), "v8"))
    fields = attempt(lambda: get_fields(Client(200, body), "v8", "Leads"))
    ",".join([*(names or []), *(field.api_name for field in fields or [])]).encode()


@QUICKLY
@given(_BODIES, st.sampled_from([BY_ID, BY_MODIFIED_TIME]), st.integers(0, 2))
@example(_DEEP[-1], BY_ID, 0)
@example(
    b'{"data":[{"id":"1","Modified_Time":"0001-01-01T00:00:00+00:00"}],"info":{"more_records":true}}',
    BY_MODIFIED_TIME,
    0,
)
def test_records_response_gives_a_page_or_an_export_error(body, cursor, more_fields):
    client = Client(200, body)
    reader = RecordsReader(client)
    attempt(lambda: reader.field_names("v8", "Leads"))
    fields = ["A", "Tag", *(f"F{number}" for number in range(more_fields * 50))]
    for _ in range(3):
        page = attempt(lambda now=cursor: reader.read_page("v8", "Leads", None, fields, now))
        if page is None:
            break
        attempt(lambda now=page: b"".join(csv_chunks([now.records], fields)))
        if page.next is None:
            break
        stored = json.dumps(page.next.to_json())
        encode({"cursor": page.next})
        cursor = Cursor.from_json(json.loads(stored))
        assert cursor == page.next
    found = attempt(lambda: reader.get_page("v8", "Leads", PageRequest(fields=["A"])))
    if found is not None:
        records = strict_json.loads_exact(strict_json.dumps(found.data))
        assert isinstance(records, list)
        assert all(isinstance(record, dict) for record in records)


@QUICKLY
@given(_BODIES, st.integers(200, 599), st.dictionaries(st.just("Retry-After"), st.text(max_size=9)))
@example(
    json.dumps({"code": "X", "details": {"a": [[]]}}).replace("[]", "[" * 9000 + "]" * 9000).encode(), 400, {}
)
@example(json.dumps({"code": "X", "message": "/callback/" * 100_000}).encode(), 400, {})
def test_error_response_gives_a_message_that_can_be_sent(body, status, headers):
    attempt(lambda: (_ for _ in ()).throw(error_from(status, body, headers, "GET /x", ("a", "b"))))


@QUICKLY
@given(_BODIES, st.sampled_from([200, 400, 401, 500]))
def test_token_response_gives_a_usable_token_or_an_export_error(body, status):
    with responses.RequestsMock() as zoho:
        zoho.post("https://accounts.test/oauth/v2/token", body=body, status=status)
        credentials = ZohoClientCredentials("id", "secret")
        token = attempt(
            lambda: request_access_token(
                requests.Session(), "https://accounts.test", credentials, RefreshToken("refresh")
            )
        )
    if token:
        requests.Request("GET", "https://zoho.test", headers={"Authorization": token.value}).prepare()
        assert 0 <= token.expires_in <= 3600


@QUICKLY
@given(_JSON)
def test_callback_body_gives_a_safe_job_id_or_none(value):
    job_id = callback_job_id(value)
    assert job_id is None or (job_id.isascii() and job_id.replace("-", "").replace("_", "").isalnum())
    if isinstance(value, dict):
        attempt(lambda: parse_job(value, "1"))


@pytest.mark.parametrize(
    "record_id", [True, 1.5, "", "1,2", "\ud800", "1" * 65, "../1", None, ["1"], {"id": "1"}]
)
def test_record_without_a_usable_id_is_refused(record_id):
    body = json.dumps({"data": [{"id": "7"}, {"id": record_id}], "info": {"more_records": False}}).encode()
    page = attempt(lambda: RecordsReader(Client(200, body)).read_page("v8", "Leads", None, ["A"], BY_ID))
    assert page is None


def test_record_whose_id_is_a_number_has_it_as_a_string():
    body = b'{"data": [{"id": 3652397000000624013}], "info": {"more_records": false}}'
    page = RecordsReader(Client(200, body)).read_page("v8", "Leads", None, ["A"], BY_ID)
    assert page.records == [{"id": "3652397000000624013"}]


@pytest.mark.parametrize("token", ["x" * 9000, "\ud800", "é", "", 7, None, ["x"]])
def test_page_token_that_cannot_be_stored_is_refused(token):
    info = {"more_records": True, "next_page_token": token}
    body = json.dumps({"data": [{"id": "7"}], "info": info}).encode()
    found = attempt(lambda: RecordsReader(Client(200, body)).read_page("v8", "Leads", None, ["A"], BY_ID))
    assert found is None or found.next.page_token == "7"


@pytest.mark.parametrize(
    "count",
    [
        10**9,
        10**40,
        "1" * 10,
        "1E99",
        "1E9",
        "9" * 999,
        -1,
        1.5,
        "1e-1",
        True,
        None,
        "1_0",
        "٤",
        "1,0",
        "inf",
        "",
    ],
)
def test_count_that_no_job_can_have_is_refused(count):
    with pytest.raises(ZohoResponseInvalid, match="lacks state, count"):
        parse_job({"state": "COMPLETED", "result": {"count": count, "more_records": False}}, "1")
