"""Request and callback bodies of any bytes: each is read, or refused with a message that can be sent."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from crm_export.api.requests import json_object
from crm_export.errors import InvalidRequest, QueryRefused, TypeNotSupported
from crm_export.exports.callbacks import KeyRing, receive_callback, sign
from crm_export.exports.model import Failure
from crm_export.exports.pipeline import Pipeline
from crm_export.exports.request import parse_request
from crm_export.zoho.bulk_read import JobRequest, job_body
from crm_export.zoho.catalog import BULK_READ_FORMATS
from tests.unit.exports.conftest import EXPORT_ID

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.sampled_from(
        ["a.b", "a..b", "a" * 300, "\ud800", "2026-02-30", "2026-02-22T24:00:00Z", "${EMPTY}"]
        + [10**4000, -(10**40)]
    ),
)
KEYS = st.sampled_from(
    ["query", "file_type", "module", "fields", "cvid", "criteria", "page", "group", "group_operator", "field"]
    + ["api_name", "comparator", "value", "type", "page_token", "callback", "x"]
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
CRITERION = st.fixed_dictionaries(
    {
        "field": st.just({"api_name": "Last_Name"}) | ANY_JSON,
        "comparator": st.sampled_from(["equal", "in", "between", "contains"]) | SCALARS,
        "value": st.lists(SCALARS, max_size=3) | SCALARS,
    }
)
CRITERIA = st.recursive(
    CRITERION,
    lambda inner: st.fixed_dictionaries(
        {"group_operator": st.sampled_from(["and", "OR"]) | SCALARS, "group": st.lists(inner, max_size=3)}
    ),
    max_leaves=6,
)
BODIES = st.one_of(
    ANY_JSON,
    st.fixed_dictionaries(
        {},
        optional={
            "query": st.fixed_dictionaries(
                {},
                optional={
                    "module": st.just("Leads") | ANY_JSON,
                    "fields": st.lists(SCALARS, max_size=3) | st.just("all") | ANY_JSON,
                    "criteria": CRITERIA | ANY_JSON,
                    "cvid": st.just("123") | SCALARS,
                    "page": st.just(2) | SCALARS,
                    "file_type": st.sampled_from(["csv", "ics"]) | SCALARS,
                },
            ),
            "file_type": st.sampled_from(["csv", "ics"]) | SCALARS,
        },
    ),
).map(json.dumps)
DEPTHS = (30, 900, 5_000, 9_998, 50_000)
DEEP = ["[" * depth + "]" * depth for depth in DEPTHS]
DEEP += ['{"query":{"criteria":' + '{"group_operator":"and","group":[' * depth for depth in DEPTHS]
DEEP += ['{"query":{"criteria":' + '{"group":[' * depth + "1" + "]}" * depth + "}}" for depth in DEPTHS]
STRINGS = st.one_of(
    BODIES, st.text(max_size=30), st.sampled_from([*DEEP, '{"query":NaN}', '{"query":1e999}'])
)


@given(
    st.sampled_from(["leads", "events", "Custom_1", "../x", "a" * 200, "\ud800"]) | st.text(max_size=8),
    STRINGS,
    st.sampled_from([None, ["Custom_1"]]),
)
@example("leads", '{"query":{"page":2,"page":3,"fields":["A"],"fields":["B"]}}', None)
@example(
    "leads", '{"query":{"criteria":{"api_name":"A","comparator":"equal","value":' + "9" * 4300 + "}}}", None
)
def test_any_body_becomes_a_job_in_every_version_or_is_refused(export_type, body, modules):
    try:
        request = parse_request(export_type, json_object({"body": body}), lambda: modules)
    except (InvalidRequest, QueryRefused, TypeNotSupported) as error:
        json.dumps(vars(Failure.of(error)), ensure_ascii=False).encode()
        return
    assert json.loads(json.dumps(request.query)) == request.query  # it can be stored
    for version in BULK_READ_FORMATS:
        job = JobRequest(
            request.module, request.query, request.file_type, request.page, None, "https://us.test/cb"
        )
        sent = json.loads(json.dumps(job_body(version, job), allow_nan=False))
        module = sent["query"]["module"]
        assert (module if version == "v2" else module["api_name"]) == request.module
        assert sent["query"]["page"] == request.page >= 1
        assert sent.get("file_type", "csv") == request.file_type


class Recorder:
    """The queue of a callback."""

    def __init__(self):
        self.jobs, self.parts = [], []

    def send(self, export_id, part, *, group, callback):
        self.parts.append(part)
        if callback.job_id is not None:
            self.jobs.append(callback.job_id)


@given(
    st.one_of(
        st.binary(max_size=50),
        STRINGS.map(lambda string: string.encode("utf-8", "replace")),
        SCALARS.map(lambda value: json.dumps({"data": [{"id": value}]}).encode()),
        SCALARS.map(lambda value: json.dumps({"job_id": value}).encode()),
        st.sampled_from(["utf-16", "utf-32", "utf-8-sig"]).map('{"job_id": "7"}'.encode),
    )
)
@example(b'{"data":' + b"[" * 100_000)
@example(b'{"job_id": ' + b"9" * 100_000 + b"}")
@example(b'{"job_id": "' + b"9" * 100_000 + b'"}')
@example(b'{"job_id": "1", "job_id": "../../x"}')
def test_callback_with_any_body_queues_its_part_once(body):
    recorder, key = Recorder(), "k" * 32
    pipeline = Pipeline(download_queue=recorder, callback_keys=KeyRing(lambda: (key, None)))
    try:
        receive_callback(pipeline, EXPORT_ID, "3", sign(key.encode(), EXPORT_ID, 3), body)
    except InvalidRequest:
        assert recorder.jobs == []
    assert recorder.parts == [3]
    assert all(job_id.isascii() and len(job_id) <= 64 and "/" not in job_id for job_id in recorder.jobs)
