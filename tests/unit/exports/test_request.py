"""Requests for exports: types, bodies, and the job that Zoho gets for each of Zoho's own samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.errors import QueryRefused, TypeNotSupported
from crm_export.exports.request import ExportRequest, parse_request, resolve_module
from crm_export.zoho.bulk_read import JobRequest, job_body
from crm_export.zoho.catalog import BULK_READ_FORMATS


class KnownModules:
    """Returns these modules, or None, and counts its calls."""

    def __init__(self, modules=None):
        self.modules, self.calls = modules, 0

    def __call__(self):
        self.calls += 1
        return self.modules


def parse(body, export_type="contacts"):
    return parse_request(export_type, body, lambda: None)


def job_of(version, request):
    """Return the body of the job that Zoho gets, without its callback."""
    job = JobRequest(request.module, request.query, request.file_type, request.page, None, "https://x/cb")
    body = job_body(version, job)
    assert body.pop("callback") == {"url": "https://x/cb", "method": "post"}
    return body


# --- the path ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("export_type", "module"),
    [
        ("contacts", "Contacts"),
        ("Contacts", "Contacts"),
        ("notes", "Notes"),
        ("pricebooks", "Price_Books"),
        ("Price_Books", "Price_Books"),
        ("price books", "Price_Books"),
        ("price-books", "Price_Books"),
        ("PriceBooks", "Price_Books"),
        ("sales orders", "Sales_Orders"),
        ("Purchase_Orders", "Purchase_Orders"),
    ],
)
def test_type_of_zohos_own_module_needs_no_metadata(export_type, module):
    known_modules = KnownModules([])
    assert resolve_module(export_type, known_modules) == module
    assert known_modules.calls == 0


@pytest.mark.parametrize(
    ("export_type", "module"),
    [("Projects", "Projects"), ("projects", "Projects"), ("MY_MODULE", "My_Module"), ("Cases_X", "Cases_X")],
)
def test_custom_module_is_found_in_any_case(export_type, module):
    assert resolve_module(export_type, KnownModules(["Projects", "My_Module", "Cases_X"])) == module


def test_modules_that_differ_only_in_case_are_distinguished():
    assert resolve_module("projects", KnownModules(["Projects", "projects"])) == "projects"


def test_unknown_module_in_lower_case_is_refused():
    with pytest.raises(TypeNotSupported, match="Type is not Selected yet"):
        resolve_module("unicorns", KnownModules(["Projects"]))


def test_unknown_module_written_as_api_name_is_left_to_zoho():
    assert resolve_module("Unicorns", KnownModules(["Projects"])) == "Unicorns"


@pytest.mark.parametrize("export_type", ["Project_Details", "unicorns"])
def test_module_is_left_to_zoho_without_metadata(export_type):
    assert resolve_module(export_type, KnownModules(None)) == export_type


@pytest.mark.parametrize(
    "export_type",
    ["", "my projects", "7", "_contacts", "-contacts", "a/b", "..", "tas\u212as", "é", "x" * 101, "leads\n"],
)
def test_type_that_is_no_api_name_is_refused_without_metadata(export_type):
    known_modules = KnownModules(None)
    with pytest.raises(TypeNotSupported):
        resolve_module(export_type, known_modules)
    assert known_modules.calls == 0


# --- the body ---------------------------------------------------------------------------------


def test_empty_body_requests_everything():
    assert parse({}) == parse({"query": {}}) == ExportRequest("Contacts", {}, "csv", 1)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"module": "Contacts"}, {}),
        ({"module": "contacts"}, {}),
        ({"module": {"api_name": "Contacts"}}, {}),
        ({"module": {"id": "4150868000000002175", "api_name": "Contacts"}}, {}),
        ({"fields": []}, {}),
        ({"fields": "all"}, {"fields": "all"}),
        (
            {"fields": ["Last_Name", "Owner.last_name", "$converted"]},
            {"fields": ["Last_Name", "Owner.last_name", "$converted"]},
        ),
        ({"cvid": "5725767000000087501"}, {"cvid": "5725767000000087501"}),
        ({"cvid": 5725767000000087501}, {"cvid": "5725767000000087501"}),
        ({"cvid": None, "page": None}, {}),
        ({"file_type": "csv"}, {}),
    ],
)
def test_valid_query_is_kept_without_its_defaults(query, kept):
    assert parse({"query": query}) == ExportRequest("Contacts", kept, "csv", 1)


@pytest.mark.parametrize("page", [1, 3, 2**31 - 1])
def test_export_begins_at_the_requested_page(page):
    assert parse({"query": {"page": page}}) == ExportRequest("Contacts", {}, "csv", page)


def test_query_with_as_many_fields_as_allowed_is_accepted():
    fields = [f"f{number}" for number in range(200)]
    assert parse({"query": {"fields": fields}}).query == {"fields": fields}


@pytest.mark.parametrize(
    "body",
    [
        {"file_type": "ics"},
        {"query": {"file_type": "ics"}},
        {"query": {"file_type": "ics", "fields": []}, "file_type": "ics"},
    ],
)
def test_file_type_ics_is_accepted_in_body_or_query_for_events(body):
    assert parse(body, "events") == ExportRequest("Events", {}, "ics", 1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"callback": {"url": "https://x", "method": "post"}}, "callback is not allowed"),
        ({"querry": {}}, 'body has the key "querry"; allowed: file_type, query'),
        ({"query": None}, "query is null; it must be an object"),
        ({"query": []}, "query is []; it must be an object"),
        ({"query": {"per_page": 5}}, 'query has the key "per_page"; allowed: criteria, cvid, fields, '),
        ({"query": {"page_token": "x"}}, "query.page_token is not allowed: it belongs to one of Zoho's jobs"),
        ({"query": {"module": "Leads"}}, 'query.module is "Leads", but the path says Contacts'),
        ({"query": {"module": {"api_name": "Leads"}}}, 'query.module is {"api_name": "Leads"}'),
        ({"query": {"module": {"name": "Contacts"}}}, "query.module is"),
        ({"query": {"module": {"api_name": "Contacts", "name": "x"}}}, "query.module is"),
        ({"query": {"module": None}}, "query.module is null"),
        ({"query": {"fields": None}}, "query.fields is null; it must be an array"),
        ({"query": {"fields": "Last_Name"}}, 'query.fields is "Last_Name"; it must be an array'),
        ({"query": {"fields": {}}}, "query.fields is {}"),
        ({"query": {"fields": [1]}}, "query.fields[0] is 1; it must be a field's API name"),
        ({"query": {"fields": ["a", "a b"]}}, 'query.fields[1] is "a b"'),
        ({"query": {"fields": ["Owner."]}}, 'query.fields[0] is "Owner."'),
        ({"query": {"fields": [""]}}, 'query.fields[0] is ""'),
        ({"query": {"fields": ["x" * 101]}}, "query.fields[0] is"),
        ({"query": {"fields": [".".join(["x" * 100] * 6)]}}, "500 characters at most"),
        ({"query": {"fields": ["a", "b", "a"]}}, 'query.fields[2] is "a", and so is query.fields[0]'),
        ({"query": {"fields": [f"f{n}" for n in range(201)]}}, "has 201 names; at most 200 are allowed"),
        ({"query": {"cvid": "x"}}, 'query.cvid is "x"'),
        ({"query": {"cvid": True}}, "query.cvid is true"),
        ({"query": {"cvid": -5}}, "query.cvid is -5"),
        ({"query": {"page": 0}}, "query.page is 0; it must be a whole number from 1"),
        ({"query": {"page": True}}, "query.page is true"),
        ({"query": {"page": "1"}}, 'query.page is "1"'),
        ({"query": {"page": 1.0}}, "query.page is 1.0"),
        ({"query": {"page": 2**31}}, "query.page is 2147483648"),
        ({"query": {"criteria": None}}, "query.criteria is null"),
        ({"file_type": "pdf"}, 'file_type is "pdf"; allowed: csv, ics'),
        ({"file_type": ["csv"]}, 'file_type is ["csv"]'),
        ({"query": {"file_type": None}}, "query.file_type is null"),
        ({"file_type": "csv", "query": {"file_type": "ics"}}, '"csv", but query.file_type is "ics"'),
        ({"file_type": "ics"}, 'file_type is "ics", which is for Events only; use csv for Contacts'),
    ],
)  # fmt: skip
def test_invalid_body_is_refused_with_the_path_and_what_is_allowed(body, message):
    with pytest.raises(QueryRefused) as raised:
        parse(body)
    assert message in raised.value.message


@pytest.mark.parametrize("fields", [["Subject"], "all"])
def test_file_type_ics_with_fields_is_refused(fields):
    with pytest.raises(QueryRefused, match=r"query\.fields is .* leave it out with file_type"):
        parse({"file_type": "ics", "query": {"fields": fields}}, "events")


def test_request_for_zohos_own_module_needs_no_metadata():
    known_modules = KnownModules()
    criteria = {"api_name": "Email", "comparator": "equal", "value": "x"}
    query = {"fields": ["Email"], "criteria": criteria, "cvid": "1", "page": 2}
    parse_request("contacts", {"query": query}, known_modules)
    assert known_modules.calls == 0


# --- Zoho's samples ---------------------------------------------------------------------------

LEADS_FIELDS = [
    "Last_Name", "Owner", "Owner.last_name", "$converted", "Lead_Source", "Lead_Status", "Company", "Email",
    "Mobile", "Created_Time",
]  # fmt: skip
CONTACTS_FIELDS = [
    "Last_Name", "Owner", "Owner.last_name", "Account_Name.Account_Name", "Account_Name.Phone", "Lead_Source",
    "Created_Time",
]  # fmt: skip
TIME_RANGE = ["2019-02-22T15:39:26+05:30", "2019-07-20T09:00:00+05:30"]


def field(name, comparator, value):
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


def old(name, comparator, value):
    return {"api_name": name, "comparator": comparator, "value": value}


def both(*members):
    return {"group_operator": "and", "group": list(members)}


THREE = (
    ("Last_Name", "equal", "Patricia"),
    ("Email", "equal", "patricia.b@zylker.com"),
    ("Modified_Time", "between", TIME_RANGE),
)
# Name → type, Zoho's sample of a body for v2 and for later versions, without its callback.
SAMPLES = {
    "all records": (
        "leads",
        {"query": {"module": "Leads", "page": 1}},
        {"query": {"module": {"api_name": "Leads"}, "page": 1}},
    ),
    "events as ICS": (
        "events",
        {"query": {"module": "Events"}, "file_type": "ics"},
        {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"},
    ),
    "events as ICS, named in the query": (
        "events",
        {"query": {"module": "Events", "file_type": "ics"}},
        {"query": {"module": {"api_name": "Events"}, "file_type": "ics"}},
    ),
    "one criterion": (
        "contacts",
        {
            "query": {
                "module": "Contacts",
                "fields": CONTACTS_FIELDS,
                "criteria": old("Last_Name", "equal", "Boyle"),
                "page": 1,
            }
        },
        {
            "query": {
                "module": {"api_name": "Contacts"},
                "fields": CONTACTS_FIELDS,
                "criteria": field("Last_Name", "equal", "Boyle"),
            }
        },
    ),
    "criteria and a custom view": (
        "leads",
        {
            "query": {
                "module": "Leads",
                "cvid": "5725767000000087501",
                "fields": LEADS_FIELDS,
                "criteria": both(*(old(*one) for one in THREE)),
            }
        },
        {
            "query": {
                "module": {"api_name": "Leads"},
                "cvid": "5725767000000087501",
                "fields": LEADS_FIELDS,
                "criteria": both(*(field(*one) for one in THREE)),
            }
        },
    ),
    "records of a subform": (
        "Project_Details",
        {
            "query": {
                "module": "Project_Details",
                "fields": ["Project_Name", "Expected_Budget"],
                "criteria": old("Expected_Budget", "greater_equal", "40000"),
            },
            "file_type": "csv",
        },
        {
            "query": {
                "module": {"api_name": "Project_Details"},
                "fields": ["Project_Name", "Expected_Budget"],
                "criteria": field("Expected_Budget", "greater_equal", "40000"),
            },
            "file_type": "csv",
        },
    ),
}


def with_our_defaults(sample):
    """Return a sample as we send it: with a page, and with file_type in the body and only for ICS."""
    query = {**sample["query"], "page": 1}
    file_type = query.pop("file_type", sample.get("file_type", "csv"))
    return {"query": query} | ({"file_type": file_type} if file_type != "csv" else {})


@pytest.mark.parametrize("version", BULK_READ_FORMATS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_sample_of_zoho_in_either_spelling_is_sent_as_the_version_requires(sample, version):
    export_type, for_v2, for_later = SAMPLES[sample]
    expected = with_our_defaults(for_v2 if version == "v2" else for_later)
    assert job_of(version, parse(for_v2, export_type)) == expected
    assert job_of(version, parse(for_later, export_type)) == expected


def test_callback_of_zohos_samples_is_refused():
    body = {"callback": {"url": "https://www.example.com/callback", "method": "post"}, "query": {}}
    with pytest.raises(QueryRefused, match=r"manifest\.json, or GET /v1/e/zoho/bulk-read/exports"):
        parse(body)


def test_query_as_zoho_returns_it_is_accepted_and_sent_without_ids():
    named = {"field": {"id": "111111000000000952", "api_name": "Owner.last_name"}}
    criterion = {**named, "comparator": "equal", "value": "Patricia Boyle"}
    implicit = {"field": {"id": None, "api_name": "$converted"}, "comparator": "equal", "value": False}
    query = {
        "fields": LEADS_FIELDS,
        "module": {"id": "111111000000000042", "api_name": "Leads"},
        "criteria": both(criterion, implicit),
        "page": 1,
    }
    sent = job_of("v8", parse({"query": query, "file_type": "csv"}, "leads"))["query"]["criteria"]
    assert sent == both(
        field("Owner.last_name", "equal", "Patricia Boyle"), field("$converted", "equal", False)
    )


# --- any valid query ---

FIELD_NAMES = st.builds("{}{}".format, st.sampled_from(["A", "$a", "Owner.b"]), st.text("aZ_9", max_size=9))
TIMES = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds"))
CRITERION = st.builds(
    field,
    st.sampled_from(["Email", "Owner.last_name", "$converted"]),
    st.sampled_from(["equal", "not_in", "less_than"]),
    st.text(max_size=255) | st.integers() | st.booleans(),
) | st.builds(
    old,
    st.just("When"),
    st.sampled_from(["between", "not_between"]),
    st.lists(TIMES, min_size=2, max_size=2),
)
CRITERIA = st.recursive(
    CRITERION,
    lambda inner: st.builds(both, inner, inner) | st.builds(both, inner, inner, inner),
    max_leaves=4,
)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "module": st.sampled_from(["Contacts", {"api_name": "Contacts"}]),
        "fields": st.lists(FIELD_NAMES, max_size=4, unique=True),
        "criteria": CRITERIA,
        "cvid": st.integers(1, 10**19).map(str),
        "page": st.integers(1, 500),
        "file_type": st.just("csv"),
    },
)


def singles(criteria):
    """Return the criteria of a tree, in order."""
    if "group" in criteria:
        return [single for member in criteria["group"] for single in singles(member)]
    return [criteria]


def content_of(criterion):
    """Return field name, comparator and value of a criterion in either spelling."""
    return criterion.get("field", criterion)["api_name"], criterion["comparator"], criterion["value"]


@given(query=QUERIES)
def test_valid_query_becomes_an_equal_job_in_every_version(query):
    request = parse({"query": query})
    for version in BULK_READ_FORMATS:
        sent = job_of(version, request)["query"]
        assert sent["page"] == query.get("page", 1)
        assert sent.get("fields", []) == query.get("fields", [])
        assert sent.get("cvid") == query.get("cvid")
        assert ("criteria" in sent) == ("criteria" in query)
        if "criteria" in query:
            members = singles(sent["criteria"])
            assert [*map(content_of, members)] == [*map(content_of, singles(query["criteria"]))]
            assert all(("field" in member) == (version != "v2") for member in members)
