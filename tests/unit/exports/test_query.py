"""What a caller may ask for: types, bodies, and what Zoho is sent for each of Zoho's own samples."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.errors import QueryRefused, TypeNotSupported
from crm_export.exports.request import ExportRequest, parse_request, resolve_module
from crm_export.zoho.bulk_read import JobRequest, job_body
from crm_export.zoho.catalog import BULK_READ_FORMATS


class Modules:
    """Returns the names it is given; counts the calls."""

    def __init__(self, names=None):
        self.names, self.calls = names, 0

    def __call__(self):
        self.calls += 1
        return self.names


def parse(body, export_type="contacts", modules=None):
    return parse_request(export_type, body, Modules(modules))


def wire(version, request):
    """The query and the file type of the job that Zoho is asked for."""
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
def test_a_type_of_zohos_own_modules_needs_no_metadata(export_type, module):
    modules = Modules([])
    assert resolve_module(export_type, modules) == module
    assert modules.calls == 0


@pytest.mark.parametrize(
    ("export_type", "module"),
    [("Projects", "Projects"), ("projects", "Projects"), ("MY_MODULE", "My_Module"), ("Cases_X", "Cases_X")],
)
def test_a_custom_module_is_found_whatever_its_case(export_type, module):
    assert resolve_module(export_type, Modules(["Projects", "My_Module", "Cases_X"])) == module


def test_modules_that_differ_in_case_only_are_told_apart():
    assert resolve_module("projects", Modules(["Projects", "projects"])) == "projects"


def test_a_module_that_does_not_exist_is_not_exported():
    with pytest.raises(TypeNotSupported, match="Type is not Selected yet"):
        resolve_module("unicorns", Modules(["Projects"]))


def test_without_metadata_zoho_judges_what_may_be_an_api_name():
    assert resolve_module("Project_Details", Modules(None)) == "Project_Details"


@pytest.mark.parametrize(
    "export_type",
    ["", "my projects", "7", "_contacts", "-contacts", "a/b", "..", "tas\u212as", "é", "x" * 101, "leads\n"],
)
def test_what_cannot_be_an_api_name_is_not_asked_for(export_type):
    modules = Modules(None)
    with pytest.raises(TypeNotSupported):
        resolve_module(export_type, modules)
    assert modules.calls == 0


# --- the body ---------------------------------------------------------------------------------


def test_an_empty_body_asks_for_everything():
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
def test_what_a_query_may_say(query, kept):
    assert parse({"query": query}) == ExportRequest("Contacts", kept, "csv", 1)


def test_a_page_is_where_the_export_begins():
    assert parse({"query": {"page": 3}}) == ExportRequest("Contacts", {}, "csv", 3)


@pytest.mark.parametrize(
    "body",
    [
        {"file_type": "ics"},
        {"query": {"file_type": "ics"}},
        {"query": {"file_type": "ics", "fields": []}, "file_type": "ics"},
    ],
)
def test_events_may_be_asked_for_as_ics_in_either_place(body):
    assert parse(body, "events") == ExportRequest("Events", {}, "ics", 1)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"callback": {"url": "https://x", "method": "post"}}, "callback is our own"),
        ({"querry": {}}, 'body has the key "querry"; allowed are file_type, query'),
        ({"query": None}, "query is null; it must be an object"),
        ({"query": []}, "query is []; it must be an object"),
        ({"query": {"per_page": 5}}, 'query has the key "per_page"; allowed are criteria, cvid, fields, '),
        ({"query": {"page_token": "x"}}, "query.page_token belongs to one of Zoho's jobs"),
        ({"query": {"module": "Leads"}}, 'query.module is "Leads"; the path says Contacts'),
        ({"query": {"module": {"api_name": "Leads"}}}, 'query.module is {"api_name": "Leads"}'),
        ({"query": {"module": {"name": "Contacts"}}}, "query.module is"),
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
        ({"query": {"fields": ["a", "b", "a"]}}, 'query.fields[2] is "a", as is query.fields[0]'),
        ({"query": {"fields": [f"f{n}" for n in range(201)]}}, "query.fields has 201 names; allowed are 200"),
        ({"query": {"cvid": "x"}}, 'query.cvid is "x"'),
        ({"query": {"cvid": True}}, "query.cvid is true"),
        ({"query": {"cvid": -5}}, "query.cvid is -5"),
        ({"query": {"page": 0}}, "query.page is 0; it must be a whole number from 1"),
        ({"query": {"page": True}}, "query.page is true"),
        ({"query": {"page": "1"}}, 'query.page is "1"'),
        ({"query": {"page": 1.0}}, "query.page is 1.0"),
        ({"query": {"page": 2**31}}, "query.page is 2147483648"),
        ({"query": {"criteria": None}}, "query.criteria is null"),
        ({"file_type": "pdf"}, 'file_type is "pdf"; allowed are csv, ics'),
        ({"file_type": ["csv"]}, 'file_type is ["csv"]'),
        ({"query": {"file_type": None}}, "query.file_type is null"),
        ({"file_type": "csv", "query": {"file_type": "ics"}}, '"csv", and query.file_type "ics"'),
        ({"file_type": "ics"}, 'file_type is "ics"; for Contacts allowed is csv'),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_path_and_what_is_allowed(body, says):
    with pytest.raises(QueryRefused) as raised:
        parse(body)
    assert says in raised.value.message


@pytest.mark.parametrize("fields", [["Subject"], "all"])
def test_ics_takes_no_fields(fields):
    with pytest.raises(QueryRefused, match=r"query\.fields is .* it must be left out"):
        parse({"file_type": "ics", "query": {"fields": fields}}, "events")


def test_modules_are_read_only_for_a_type_that_is_not_zohos_own():
    modules = Modules()
    criteria = {"api_name": "Amount", "comparator": "contains", "value": "x"}
    parse_request("contacts", {"query": {"fields": ["Email"], "criteria": criteria, "page": 2}}, modules)
    assert modules.calls == 0


# --- Zoho's samples ---------------------------------------------------------------------------

LEADS_FIELDS = [
    "Last_Name", "Owner", "Owner.last_name", "$converted", "Lead_Source", "Lead_Status", "Company", "Email",
    "Mobile", "Created_Time",
]  # fmt: skip
CONTACTS_FIELDS = [
    "Last_Name", "Owner", "Owner.last_name", "Account_Name.Account_Name", "Account_Name.Phone", "Lead_Source",
    "Created_Time",
]  # fmt: skip
MOMENTS = ["2019-02-22T15:39:26+05:30", "2019-07-20T09:00:00+05:30"]


def field(name, comparator, value, **more):
    return {"field": {"api_name": name}, "comparator": comparator, "value": value, **more}


def old(name, comparator, value):
    return {"api_name": name, "comparator": comparator, "value": value}


def both(*members):
    return {"group_operator": "and", "group": list(members)}


THREE = (
    ("Last_Name", "equal", "Patricia"),
    ("Email", "equal", "patricia.b@zylker.com"),
    ("Modified_Time", "between", MOMENTS),
)
# Name → type, Zoho's body for v2 and for later versions (without its callback), what is sent in v2 and later.
SAMPLES = {
    "all records": (
        "leads",
        {"query": {"module": "Leads", "page": 1}},
        {"query": {"module": {"api_name": "Leads"}, "page": 1}},
        {"query": {"module": "Leads", "page": 1}},
        {"query": {"module": {"api_name": "Leads"}, "page": 1}},
    ),
    "events as ICS": (
        "events",
        {"query": {"module": "Events"}, "file_type": "ics"},
        {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"},
        {"query": {"module": "Events", "page": 1}, "file_type": "ics"},
        {"query": {"module": {"api_name": "Events"}, "page": 1}, "file_type": "ics"},
    ),
    "events as ICS, said in the query": (
        "events",
        {"query": {"module": "Events", "file_type": "ics"}},
        {"query": {"module": {"api_name": "Events"}, "file_type": "ics"}},
        {"query": {"module": "Events", "page": 1}, "file_type": "ics"},
        {"query": {"module": {"api_name": "Events"}, "page": 1}, "file_type": "ics"},
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
                "page": 1,
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
        {
            "query": {
                "module": "Leads",
                "cvid": "5725767000000087501",
                "fields": LEADS_FIELDS,
                "criteria": both(*(old(*one) for one in THREE)),
                "page": 1,
            }
        },
        {
            "query": {
                "module": {"api_name": "Leads"},
                "cvid": "5725767000000087501",
                "fields": LEADS_FIELDS,
                "criteria": both(*(field(*one) for one in THREE)),
                "page": 1,
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
        {
            "query": {
                "module": "Project_Details",
                "fields": ["Project_Name", "Expected_Budget"],
                "criteria": old("Expected_Budget", "greater_equal", "40000"),
                "page": 1,
            }
        },
        {
            "query": {
                "module": {"api_name": "Project_Details"},
                "fields": ["Project_Name", "Expected_Budget"],
                "criteria": field("Expected_Budget", "greater_equal", "40000"),
                "page": 1,
            }
        },
    ),
}


@pytest.mark.parametrize("version", BULK_READ_FORMATS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_of_zohos_in_either_spelling_is_sent_as_the_version_wants_it(sample, version):
    export_type, in_v2, later, wire_v2, wire_later = SAMPLES[sample]
    wanted = wire_v2 if version == "v2" else wire_later
    assert wire(version, parse(in_v2, export_type)) == wanted
    assert wire(version, parse(later, export_type)) == wanted


def test_the_callback_of_zohos_samples_is_refused_and_ours_is_sent():
    body = {"callback": {"url": "https://www.example.com/callback", "method": "post"}, "query": {}}
    with pytest.raises(QueryRefused, match=r"manifest\.json, or ask GET /v1/e/zoho/bulk-read/exports"):
        parse(body)


def test_the_query_that_zohos_own_answers_repeat_can_be_asked_for_again():
    named = {"field": {"id": "111111000000000952", "api_name": "Owner.last_name"}}
    criterion = {**named, "comparator": "equal", "value": "Patricia Boyle"}
    implicit = {"field": {"id": None, "api_name": "$converted"}, "comparator": "equal", "value": False}
    query = {
        "fields": LEADS_FIELDS,
        "module": {"id": "111111000000000042", "api_name": "Leads"},
        "criteria": both(criterion, implicit),
        "page": 1,
    }
    sent = wire("v8", parse({"query": query, "file_type": "csv"}, "leads"))["query"]["criteria"]
    assert sent == both(
        field("Owner.last_name", "equal", "Patricia Boyle"), field("$converted", "equal", False)
    )


# --- any JSON ---------------------------------------------------------------------------------

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = (
    st.sampled_from(["Email", "Owner.last_name", "Amount", "Flag", "When", "$converted", "a..b", ""]) | ANY
)
MOMENT = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds"))
SCALARS = ANY | st.sampled_from(["${EMPTY}", "7", "x" * 256, "2026-02-22"]) | MOMENT


def mostly(keys):
    """Objects with some of the keys, and now and then another."""
    return st.fixed_dictionaries({}, optional=keys) | ANY


SINGLE = mostly(
    {
        "field": mostly({"api_name": NAMES}),
        "api_name": NAMES,
        "comparator": st.sampled_from(["equal", "in", "between", "contains", "less_than"]) | ANY,
        "value": SCALARS | st.lists(SCALARS, max_size=3),
        "type": st.just("value") | ANY,
    }
) | st.builds(
    field,
    st.sampled_from(["Email", "Amount", "When"]),
    st.sampled_from(["equal", "in", "between", "less_than"]),
    SCALARS | st.lists(MOMENT, min_size=2, max_size=2),
)
CRITERIA = st.recursive(
    SINGLE,
    lambda inner: st.builds(
        lambda operator, members: {"group_operator": operator, "group": members},
        st.sampled_from(["and", "or"]) | ANY,
        st.lists(inner, min_size=1, max_size=4) | ANY,
    ),
    max_leaves=10,
)
QUERIES = mostly(
    {
        "module": st.sampled_from(["Contacts", {"api_name": "Contacts"}]) | ANY,
        "fields": st.lists(NAMES, max_size=4) | st.just("all") | ANY,
        "criteria": CRITERIA,
        "cvid": st.sampled_from(["1", 1]) | ANY,
        "page": st.integers() | ANY,
        "file_type": st.sampled_from(["csv", "ics"]) | ANY,
    }
)
BODIES = st.dictionaries(st.text(max_size=8), ANY, max_size=2) | st.fixed_dictionaries(
    {}, optional={"query": QUERIES, "file_type": st.sampled_from(["csv", "ics"]) | ANY}
)
GOOD_SINGLE = st.builds(
    field,
    st.sampled_from(["Email", "Owner.last_name", "$converted"]),
    st.sampled_from(["equal", "not_in", "less_than"]),
    st.text(max_size=255) | st.integers() | st.booleans(),
) | st.builds(
    old,
    st.just("When"),
    st.sampled_from(["between", "not_between"]),
    st.lists(MOMENT, min_size=2, max_size=2),
)
GOOD_CRITERIA = st.recursive(
    GOOD_SINGLE,
    lambda inner: st.builds(both, inner, inner) | st.builds(both, inner, inner, inner),
    max_leaves=8,
)
GOOD_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "module": st.sampled_from(["Contacts", {"api_name": "Contacts"}]),
        "fields": st.lists(
            st.from_regex(r"[A-Za-z$][A-Za-z_]{0,9}(\.[a-z]{1,9})?", fullmatch=True), unique=True
        ),
        "criteria": GOOD_CRITERIA,
        "cvid": st.integers(1, 10**19).map(str),
        "page": st.integers(1, 500),
        "file_type": st.just("csv"),
    },
)


def singles(criteria):
    """The criteria of a tree, in order."""
    if "group" in criteria:
        return [single for member in criteria["group"] for single in singles(member)]
    return [criteria]


def said(criterion):
    """What a criterion says, in whichever spelling."""
    return criterion.get("field", criterion)["api_name"], criterion["comparator"], criterion["value"]


@given(query=GOOD_QUERIES)
def test_what_zoho_takes_becomes_a_job_that_says_the_same_in_every_version(query):
    request = parse({"query": query})
    for version in BULK_READ_FORMATS:
        sent = wire(version, request)["query"]
        assert sent["page"] == query.get("page", 1)
        assert sent.get("fields", []) == query.get("fields", [])
        assert sent.get("cvid") == query.get("cvid")
        assert ("criteria" in sent) == ("criteria" in query)
        if "criteria" in query:
            assert [said(one) for one in singles(sent["criteria"])] == [
                said(one) for one in singles(query["criteria"])
            ]
            assert all(("field" in one) == (version != "v2") for one in singles(sent["criteria"]))


@given(
    export_type=st.sampled_from(["contacts", "events", "Projects", "unicorns"]) | st.text(max_size=8),
    body=BODIES,
    modules=st.none() | st.just(["Projects"]),
)
def test_any_json_is_refused_in_our_words_or_becomes_a_job_in_every_version(export_type, body, modules):
    try:
        request = parse(body, export_type, modules=modules)
    except (QueryRefused, TypeNotSupported):
        return
    for version in BULK_READ_FORMATS:
        sent = json.loads(json.dumps(wire(version, request), allow_nan=False))
        module = sent["query"]["module"]
        assert (module if version == "v2" else module["api_name"]) == request.module
        assert sent["query"]["page"] == request.page >= 1
        assert sent.get("file_type", "csv") == request.file_type
