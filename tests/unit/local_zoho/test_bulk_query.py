"""What Bulk Read refuses, per version, and with which of Zoho's codes."""

import pytest

EQUAL = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "Boyle"}
CALLBACK = {"url": "https://example.com/cb", "method": "post"}


def contacts(**more):
    return {"query": {"module": {"api_name": "Contacts"}, **more}}


def leaf(name, comparator, value):
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


def group(*members, operator="and"):
    return {"group_operator": operator, "group": list(members)}


@pytest.mark.parametrize("version", ["v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8"])
def test_module_is_a_string_in_v2_and_an_object_later(client, version):
    text = client.create({"query": {"module": "Contacts"}}, version)
    obj = client.create(contacts(), version)
    good, bad = (text, obj) if version == "v2" else (obj, text)
    assert good.status_code == 201
    assert good.json()["data"][0]["details"]["state"] == "ADDED"
    assert good.json()["info"] == {}
    assert (bad.status_code, bad.json()["code"]) == (400, "VALUE_TYPE_NOT_SUPPORTED")


def test_criteria_name_the_field_flat_in_v2_and_nested_later(client):
    flat = {"api_name": "Last_Name", "comparator": "equal", "value": "Boyle"}
    assert client.create({"query": {"module": "Contacts", "criteria": flat}}, "v2").status_code == 201
    assert client.create({"query": {"module": "Contacts", "criteria": EQUAL}}, "v2").status_code == 400
    assert client.create(contacts(criteria=EQUAL), "v3").status_code == 201
    assert client.create(contacts(criteria=flat), "v3").json()["code"] == "INVALID_CRITERIA"


def test_page_token_is_unknown_before_v7(client):
    body = {"query": {"page_token": "x"}}
    assert client.create(body, "v6").json()["code"] == "INVALID_REQUEST"
    assert client.create(body, "v7").json()["code"] == "INVALID_DATA"
    both = {"query": {"page_token": "x", "page": 2}}
    assert client.create(both, "v8").json()["code"] == "AMBIGUITY_DURING_PROCESSING"


def test_criterion_type_is_known_from_v7(client):
    typed = {**EQUAL, "type": "value"}
    assert client.create(contacts(criteria=typed), "v6").json()["code"] == "INVALID_CRITERIA"
    assert client.create(contacts(criteria=typed), "v7").status_code == 201


REFUSED = {
    "unknown key at the top": ({**contacts(), "surprise": 1}, "INVALID_REQUEST"),
    "unknown key in the query": (contacts(sort_by="id"), "INVALID_REQUEST"),
    "no query": ({"file_type": "csv"}, "QUERY_NOT_SUPPORTED"),
    "empty object": ({}, "REQUEST_BODY_IS_EMPTY"),
    "an array": ([], "REQUEST_BODY_NOT_SUPPORTED"),
    "unknown module": ({"query": {"module": {"api_name": "Nope"}}}, "MODULE_NOT_AVAILABLE"),
    "users": ({"query": {"module": {"api_name": "Users"}}}, "MODULE_NOT_AVAILABLE"),
    "notes": ({"query": {"module": {"api_name": "Notes"}}}, "MODULE_NOT_SUPPORTED"),
    "attachments": ({"query": {"module": {"api_name": "Attachments"}}}, "MODULE_NOT_SUPPORTED"),
    "unknown field": (contacts(fields=["Nope"]), "FIELD_NOT_AVAILABLE"),
    "unknown dotted field": (contacts(fields=["Account_Name.Nope"]), "FIELD_NOT_AVAILABLE"),
    "dot after a text": (contacts(fields=["Last_Name.Phone"]), "FIELD_NOT_AVAILABLE"),
    "address": (contacts(fields=["Mailing_Address"]), "FIELD_NOT_SUPPORTED"),
    "file upload": (contacts(fields=["Contract"]), "FIELD_NOT_SUPPORTED"),
    "fields as a string": (contacts(fields="Last_Name"), "VALUE_TYPE_NOT_SUPPORTED"),
    "page zero": (contacts(page=0), "PAGE_NOT_SUPPORTED"),
    "page as a string": (contacts(page="1"), "PAGE_NOT_SUPPORTED"),
    "page too high": (contacts(page=501), "PAGE_RANGE_EXCEEDED"),
    "file type": ({**contacts(), "file_type": "xml"}, "INVALID_DATA"),
    "ics of contacts": ({**contacts(), "file_type": "ics"}, "INVALID_DATA"),
    "ics with fields": (
        {"query": {"module": {"api_name": "Events"}, "fields": ["Venue"]}, "file_type": "ics"},
        "QUERY_NOT_SUPPORTED",
    ),
    "view": (contacts(cvid="1"), "CVID_NOT_SUPPORTED"),
    "callback method": ({**contacts(), "callback": {**CALLBACK, "method": "get"}}, "INVALID_CALLBACK_METHOD"),
    "callback url": ({**contacts(), "callback": {**CALLBACK, "url": "ftp://x/"}}, "INVALID_CALLBACK_URL"),
    "callback key": ({**contacts(), "callback": {**CALLBACK, "secret": 1}}, "INVALID_REQUEST"),
    "group of one": (contacts(criteria=group(EQUAL)), "AMBIGUOUS_GROUP_IN_CRITERIA"),
    "group and single": (contacts(criteria={**group(EQUAL, EQUAL), **EQUAL}), "AMBIGUOUS_CRITERIA"),
    "empty criteria": (contacts(criteria={}), "AMBIGUOUS_CRITERIA"),
    "group operator": (
        contacts(criteria=group(EQUAL, EQUAL, operator="100%")),
        "GROUP_OPERATOR_NOT_SUPPORTED",
    ),
    "criteria as a list": (contacts(criteria=[EQUAL]), "CRITERIA_NOT_SUPPORTED"),
    "26 criteria": (contacts(criteria=group(*[EQUAL] * 26)), "CRITERIA_LIMIT_EXCEEDED"),
    "26 nested": (
        contacts(criteria=group(group(*[EQUAL] * 13), group(*[EQUAL] * 13))),
        "CRITERIA_LIMIT_EXCEEDED",
    ),
    "201 values": (
        contacts(criteria=leaf("Last_Name", "in", ["x"] * 201)),
        "VALUE_LIMIT_EXCEEDED_IN_CRITERIA",
    ),
    "unknown field in criteria": (
        contacts(criteria=leaf("Nope", "equal", "x")),
        "FIELD_IN_CRITERIA_NOT_AVAILABLE",
    ),
    "address in criteria": (
        contacts(criteria=leaf("Mailing_Address", "equal", "x")),
        "FIELD_IN_CRITERIA_NOT_SUPPORTED",
    ),
    "comparator of another type": (
        contacts(criteria=leaf("Last_Name", "between", ["a", "b"])),
        "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
    ),
    "comparator of a boolean": (
        contacts(criteria=leaf("Email_Opt_Out", "not_equal", True)),
        "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
    ),
    "in without a list": (
        contacts(criteria=leaf("Last_Name", "in", "x")),
        "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "equal with a list": (
        contacts(criteria=leaf("Last_Name", "equal", ["x"])),
        "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "milliseconds": (
        contacts(criteria=leaf("Modified_Time", "greater_than", "2021-02-22T15:39:26.123+05:30")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "words as a number": (
        contacts(criteria=leaf("Visits", "greater_than", "many")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "long text": (
        contacts(criteria=leaf("Last_Name", "equal", "x" * 256)),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "20 digits": (
        contacts(criteria=leaf("id", "equal", "1" * 20)),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "value as an object": (contacts(criteria=leaf("Last_Name", "equal", {})), "VALUE_TYPE_NOT_SUPPORTED"),
    "no value": (
        contacts(criteria={"field": {"api_name": "Last_Name"}, "comparator": "equal"}),
        "INVALID_CRITERIA",
    ),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_zoho_code(client, body, code):
    answer = client.create(body)
    error = answer.json()
    assert (answer.status_code, error["code"]) == (400, code)
    assert error["status"] == "error"
    assert error.keys() == {"code", "message", "status", "details"}


def test_details_tell_the_limits(client):
    def details(body):
        return client.create(body).json()["details"]

    assert details(contacts(page=501)) == {"max_limit": 500}
    assert details(contacts(criteria=group(*[EQUAL] * 26))) == {"max_limit": 25}
    assert details(contacts(fields=["Nope"])) == {"api_name": "Nope", "module": "Contacts"}
    assert details(REFUSED["group operator"][0]) == {"supported": ["and", "or"]}
    assert details(REFUSED["callback method"][0]) == {"supported_callback_methods": ["post"]}
    assert "between" in details(contacts(criteria=leaf("Created_Time", "contains", "x")))["supported"]


def test_content_type_is_needed(client):
    for header in ({}, {"Content-Type": "text/plain"}):
        answer = client.request("POST", "/crm/bulk/v8/read", data=b'{"query":{}}', headers=header)
        assert (answer.status_code, answer.json()["code"]) == (415, "MEDIA_TYPE_NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("body", "code"), [(b"", "REQUEST_BODY_IS_EMPTY"), (b"{", "REQUEST_BODY_NOT_READABLE")]
)
def test_body_must_be_json(client, body, code):
    headers = {"Content-Type": "application/json"}
    answer = client.request("POST", "/crm/bulk/v8/read", data=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_wrong_method_and_unknown_job(client):
    assert client.get("/crm/bulk/v8/read").json()["code"] == "INVALID_REQUEST_METHOD"
    answer = client.get("/crm/bulk/v8/read/42")
    assert (answer.status_code, answer.json()["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert client.get("/crm/bulk/v8/write").json()["code"] == "INVALID_URL_PATTERN"


def test_switches_change_what_is_refused(start):
    client = start(bulk_notes=True, bulk_page_max=50, bulk_strict_keys=False, bulk_join_limit=1)
    assert client.create({"query": {"module": {"api_name": "Notes"}}}).status_code == 201
    assert client.create(contacts(page=51)).json()["details"] == {"max_limit": 50}
    assert client.create(contacts(sort_by="id")).status_code == 201
    joined = contacts(fields=["Owner.last_name", "Account_Name.Phone"])
    assert client.create(joined).json()["code"] == "JOIN_LIMIT_EXCEEDED"
