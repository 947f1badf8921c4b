"""Bodies of callers and callbacks, of any bytes: read, or refused with what is wrong."""

import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crm_export.api.requests import json_object
from crm_export.aws.export_table import typed
from crm_export.errors import InvalidRequest, QueryRefused, TypeNotSupported
from crm_export.exports.callbacks import receive_callback
from crm_export.exports.request import ALL_FIELDS, parse_request
from crm_export.zoho.bulk_read import JobRequest, job_body
from crm_export.zoho.catalog import BULK_READ_FORMATS

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.sampled_from(
        ["a.b", "a" * 300, "\ud800", "2026-02-30", "2026-02-22T24:00:00Z", "${EMPTY}", 10**4000, -(10**40)]
    ),
)
_KEYS = st.sampled_from(
    ["query", "file_type", "module", "fields", "cvid", "criteria", "page", "group", "group_operator", "field"]
    + ["api_name", "comparator", "value", "type", "page_token", "callback", "x"]
)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=15,
)
_CRITERION = st.fixed_dictionaries(
    {
        "field": st.just({"api_name": "Last_Name"}) | _JSON,
        "comparator": st.sampled_from(["equal", "in", "between", "contains"]) | _SCALARS,
        "value": st.lists(_SCALARS, max_size=3) | _SCALARS,
    }
)
_CRITERIA = st.recursive(
    _CRITERION,
    lambda inner: st.fixed_dictionaries(
        {"group_operator": st.sampled_from(["and", "OR"]) | _SCALARS, "group": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)
_BODIES = st.one_of(
    _JSON,
    st.fixed_dictionaries(
        {},
        optional={
            "query": st.fixed_dictionaries(
                {},
                optional={
                    "module": st.just("Leads") | _JSON,
                    "fields": st.lists(_SCALARS, max_size=3) | st.just(ALL_FIELDS) | _JSON,
                    "criteria": _CRITERIA | _JSON,
                    "cvid": st.just("123") | _SCALARS,
                    "page": st.just(2) | _SCALARS,
                },
            ),
            "file_type": st.sampled_from(["csv", "ics"]) | _SCALARS,
        },
    ),
).map(json.dumps)
_DEPTHS = (30, 900, 5_000, 9_998, 100_000)
_DEEP = ["[" * depth + "]" * depth for depth in _DEPTHS]
_DEEP += ['{"query":{"criteria":' + '{"group_operator":"and","group":[' * depth for depth in _DEPTHS]
_DEEP += ['{"query":{"criteria":' + '{"group":[' * depth + "1" + "]}" * depth + "}}" for depth in _DEPTHS]
_TEXTS = st.one_of(
    _BODIES, st.text(max_size=30), st.sampled_from([*_DEEP, '{"query":NaN}', '{"query":1e999}'])
)
QUICKLY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICKLY
@given(st.sampled_from(["leads", "Custom_1", "../x", "a" * 200, "\ud800"]), _TEXTS)
@example("leads", '{"query":{"page":2,"page":3,"fields":["A"],"fields":["B"]}}')
@example("leads", '{"query":{"criteria":{"api_name":"A","comparator":"equal","value":' + "9" * 4300 + "}}}")
def test_any_body_is_a_query_or_refused(export_type, text):
    try:
        body = json_object({"body": text})
        found = parse_request(export_type, body, lambda: None)
    except (InvalidRequest, QueryRefused, TypeNotSupported) as error:
        json.dumps(error.as_failure(), ensure_ascii=False).encode()
        return
    # It can be kept, and what is sent to Zoho is what was read, once each: of keys that come twice the last.
    typed({"query": found.query})
    for version in BULK_READ_FORMATS:
        job = JobRequest(found.module, found.query, found.file_type, found.page, None, "https://us.test/cb")
        sent = json.dumps(job_body(version, job), allow_nan=False)
        assert json.loads(sent)["query"]["page"] == found.page


class Kept:
    """Store and queue of a callback: what they were told."""

    def __init__(self):
        self.jobs, self.parts = [], []

    def note_job(self, export_id, part, job_id):
        self.jobs.append(job_id)

    def send(self, export_id, part, delay=0):
        self.parts.append(part)


@QUICKLY
@given(
    st.one_of(
        st.binary(max_size=50),
        _TEXTS.map(lambda text: text.encode("utf-8", "replace")),
        _SCALARS.map(lambda value: json.dumps({"data": [{"id": value}]}).encode()),
        _SCALARS.map(lambda value: json.dumps({"job_id": value}).encode()),
        st.sampled_from(["utf-16", "utf-32", "utf-8-sig"]).map('{"job_id": "7"}'.encode),
    )
)
@example(b'{"data":' + b"[" * 1_000_000)
@example(b'{"job_id": ' + b"9" * 1_000_000 + b"}")
@example(b'{"job_id": "' + b"9" * 1_000_000 + b'"}')
@example(b'{"job_id": "1", "job_id": "../../x"}')
def test_a_callback_of_any_bytes_queues_its_part_once(body):
    kept = Kept()
    try:
        receive_callback(kept, kept, "e1", 3, body)
    except InvalidRequest:
        assert kept.jobs == []
    assert kept.parts == [3]
    assert all(job_id.isascii() and len(job_id) <= 64 and "/" not in job_id for job_id in kept.jobs)
