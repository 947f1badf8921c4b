"""Which create requests Bulk Read accepts and refuses, per version, with Zoho's codes."""

import pytest

from zoho_simulator.errors import BULK_READ_MESSAGES, documented_error

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
    by_string = client.create({"query": {"module": "Contacts"}}, version)
    by_object = client.create(contacts(), version)
    good, bad = (by_string, by_object) if version == "v2" else (by_object, by_string)
    assert good.status_code == 201
    assert good.json()["data"][0]["details"]["state"] == "ADDED"
    assert good.json()["info"] == {}
    assert (bad.status_code, bad.json()["code"]) == (400, "VALUE_TYPE_NOT_SUPPORTED")


def test_criteria_name_the_field_by_string_in_v2_and_by_object_later(client):
    flat = {"api_name": "Last_Name", "comparator": "equal", "value": "Boyle"}
    assert client.create({"query": {"module": "Contacts", "criteria": flat}}, "v2").status_code == 201
    assert client.create({"query": {"module": "Contacts", "criteria": EQUAL}}, "v2").status_code == 400
    assert client.create(contacts(criteria=EQUAL), "v3").status_code == 201
    assert client.create(contacts(criteria=flat), "v3").json()["code"] == "INVALID_CRITERIA"


def test_page_token_is_refused_before_v7_and_with_other_keys(client):
    body = {"query": {"page_token": "x"}}
    assert client.create(body, "v6").json()["code"] == "INVALID_REQUEST"
    assert client.create(body, "v7").json()["code"] == "INVALID_DATA"
    both = {"query": {"page_token": "x", "page": 2}}
    assert client.create(both, "v8").json()["code"] == "AMBIGUITY_DURING_PROCESSING"


def test_type_of_a_criterion_is_accepted_from_v7(client):
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
    "dot after a string": (contacts(fields=["Last_Name.Phone"]), "FIELD_NOT_AVAILABLE"),
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
    "26 nested criteria": (
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
    "word as a number": (
        contacts(criteria=leaf("Visits", "greater_than", "many")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "256 characters": (
        contacts(criteria=leaf("Last_Name", "equal", "x" * 256)),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "20 digits": (
        contacts(criteria=leaf("id", "equal", "1" * 20)),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "fraction as an integer": (
        contacts(criteria=leaf("Visits", "equal", "1.5")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "NaN": (
        contacts(criteria=leaf("Lifetime_Value", "less_than", "nan")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "empty boolean": (
        contacts(criteria=leaf("Email_Opt_Out", "equal", "${EMPTY}")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "between with one moment": (
        contacts(criteria=leaf("Created_Time", "between", ["2021-02-22T15:39:26+05:30"])),
        "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "between with an empty value": (
        contacts(criteria=leaf("Date_of_Birth", "between", ["2021-02-22", "${EMPTY}"])),
        "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "in with an empty list": (
        contacts(criteria=leaf("Last_Name", "in", [])),
        "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "impossible day": (
        contacts(criteria=leaf("Date_of_Birth", "equal", "2021-02-30")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "moment without offset": (
        contacts(criteria=leaf("Modified_Time", "equal", "2021-02-22T15:39:26")),
        "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE",
    ),
    "view id as a list": (contacts(cvid=["1"]), "VALUE_TYPE_NOT_SUPPORTED"),
    "value as an object": (contacts(criteria=leaf("Last_Name", "equal", {})), "VALUE_TYPE_NOT_SUPPORTED"),
    "no value": (
        contacts(criteria={"field": {"api_name": "Last_Name"}, "comparator": "equal"}),
        "INVALID_CRITERIA",
    ),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_request_is_refused_with_zohos_code(client, body, code):
    response = client.create(body)
    error = response.json()
    assert (response.status_code, error["code"]) == (400, code)
    assert error["status"] == "error"
    assert error.keys() == {"code", "message", "status", "details"}


def test_details_of_a_refusal_name_the_limits(client):
    def details(body):
        return client.create(body).json()["details"]

    assert details(contacts(page=501)) == {"max_limit": 500}
    assert details(contacts(criteria=group(*[EQUAL] * 26))) == {"max_limit": 25}
    assert details(contacts(fields=["Nope"])) == {"api_name": "Nope", "module": "Contacts"}
    assert details(REFUSED["group operator"][0]) == {"supported": ["and", "or"]}
    assert details(REFUSED["callback method"][0]) == {"supported_callback_methods": ["post"]}
    assert "between" in details(contacts(criteria=leaf("Created_Time", "contains", "x")))["supported"]


def test_request_without_json_content_type_is_refused(client):
    for header in ({}, {"Content-Type": "text/plain"}):
        response = client.request("POST", "/crm/bulk/v8/read", data=b'{"query":{}}', headers=header)
        assert (response.status_code, response.json()["code"]) == (415, "MEDIA_TYPE_NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("body", "code"), [(b"", "REQUEST_BODY_IS_EMPTY"), (b"{", "REQUEST_BODY_NOT_READABLE")]
)
def test_body_that_is_not_json_is_refused(client, body, code):
    headers = {"Content-Type": "application/json"}
    response = client.request("POST", "/crm/bulk/v8/read", data=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_wrong_method_unknown_job_and_unknown_path_are_refused(client):
    assert client.get("/crm/bulk/v8/read").json()["code"] == "INVALID_REQUEST_METHOD"
    response = client.get("/crm/bulk/v8/read/42")
    assert (response.status_code, response.json()["code"]) == (404, "RESOURCE_NOT_FOUND")
    assert client.get("/crm/bulk/v8/write").json()["code"] == "INVALID_URL_PATTERN"


COMPARATORS = {
    "Visits": "equal not_equal in not_in less_than less_equal greater_than greater_equal",
    "Lifetime_Value": "equal not_equal in not_in less_than less_equal greater_than greater_equal",
    "id": "equal not_equal in not_in less_than less_equal greater_than greater_equal",
    "Last_Name": "equal not_equal in not_in contains not_contains starts_with ends_with",
    "Email": "equal not_equal in not_in contains not_contains starts_with ends_with",
    "Lead_Source": "equal not_equal in not_in contains not_contains starts_with ends_with",
    "Interests": "equal not_equal in not_in contains not_contains starts_with ends_with",
    "Date_of_Birth": "equal not_equal in not_in between not_between greater_than greater_equal less_than "
    "less_equal",
    "Modified_Time": "equal not_equal in not_in between not_between greater_than greater_equal less_than "
    "less_equal",
    "Email_Opt_Out": "equal",
    "Owner": "equal not_equal in not_in",
    "Account_Name": "equal not_equal in not_in",
    "Owner.last_name": "equal not_equal in not_in contains not_contains starts_with ends_with",
}
VALUES = {
    "Date_of_Birth": "2021-02-22",
    "Modified_Time": "2021-02-22T15:39:26+05:30",
    "Email_Opt_Out": "true",
}


@pytest.mark.parametrize("name", COMPARATORS)
def test_data_type_accepts_exactly_the_comparators_of_zohos_table(client, name):
    value = VALUES.get(name, "4")
    accepted = set()
    for comparator in set(" ".join(COMPARATORS.values()).split()) | {"like", "EQUAL", ""}:
        listed = comparator in ("in", "not_in", "between", "not_between")
        response = client.create(contacts(criteria=leaf(name, comparator, [value] * 2 if listed else value)))
        if response.status_code == 201:
            accepted.add(comparator)
        else:
            assert response.json()["code"] == "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED"
            assert set(response.json()["details"]["supported"]) == set(COMPARATORS[name].split())
    assert accepted == set(COMPARATORS[name].split())


ACCEPTED = {
    "255 characters": leaf("Last_Name", "equal", "x" * 255),
    "200 values": leaf("Last_Name", "in", ["x"] * 200),
    "25 criteria": group(*[EQUAL] * 25),
    "25 nested criteria": group(group(*[EQUAL] * 12), group(*[EQUAL] * 13, operator="or")),
    "19 digits": leaf("id", "equal", "1" * 19),
    "empty": leaf("Lead_Source", "not_equal", "${EMPTY}"),
    "empty lookup": leaf("Account_Name", "equal", "${EMPTY}"),
    "empty among others": leaf("Lead_Source", "in", ["${EMPTY}", "Partner"]),
    "UTC": leaf("Modified_Time", "less_than", "2021-02-22T15:39:26Z"),
    "number as a number": leaf("Lifetime_Value", "greater_than", 12.5),
}


@pytest.mark.parametrize("criteria", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_criteria_are_accepted_up_to_the_limits(client, criteria):
    response = client.create(contacts(criteria=criteria))
    assert response.status_code == 201, response.text


def test_file_type_is_accepted_in_the_query_from_v3(start, client):
    nested = {"query": {"module": {"api_name": "Events"}, "file_type": "ics"}}
    for version in ("v3", "v6", "v8"):
        details = client.create(nested, version).json()["data"][0]["details"]
        assert client.finish(details["id"], version)["file_type"] == "ics"
    assert client.create(nested, "v2.1").json()["code"] == "INVALID_REQUEST"
    later = start(bulk_query_file_type_since="v6")
    assert later.create(nested, "v5").json()["code"] == "INVALID_REQUEST"
    for version in ("v2", "v2.1", "v3", "v8"):
        module = "Events" if version == "v2" else {"api_name": "Events"}
        assert client.create({"query": {"module": module}, "file_type": "ics"}, version).status_code == 201


def test_join_limit_counts_every_step_of_fields_and_criteria(start):
    client = start(bulk_join_limit=2)
    two = ["Owner.last_name", "Owner.first_name", "Account_Name.Phone"]
    assert client.create(contacts(fields=two)).status_code == 201
    assert client.create(contacts(fields=["Account_Name.Parent_Account.Phone"])).status_code == 201
    deeper = contacts(fields=["Account_Name.Parent_Account.Owner.last_name"])
    assert client.create(deeper).json()["code"] == "JOIN_LIMIT_EXCEEDED"
    third = contacts(fields=two, criteria=leaf("Created_By.last_name", "equal", "Rao"))
    assert client.create(third).json()["code"] == "JOIN_LIMIT_EXCEEDED"


def test_errors_are_wrapped_in_data_if_configured(start):
    client = start(bulk_error_envelope="data")
    (error,) = client.create(contacts(page=0)).json()["data"]
    assert (error["code"], error["status"]) == ("PAGE_NOT_SUPPORTED", "error")


@pytest.mark.parametrize("code", sorted(BULK_READ_MESSAGES))
def test_every_documented_error_can_be_scripted(client, code):
    client.fault(path="/read$", error=code, details={"api_name": "Email"}, times=1)
    response = client.create(contacts())
    error = documented_error(code)
    assert response.json() == {**error.body(), "code": code, "details": {"api_name": "Email"}}
    assert "{api_name}" not in error.message
    assert response.status_code == error.status >= 400
    assert client.create(contacts()).status_code == 201


def test_undocumented_error_cannot_be_scripted(client):
    for rule in ({"error": "OUT_OF_COFFEE"}, {"error": "INVALID_DATA", "status": 400}):
        with pytest.raises(ValueError, match=r"OUT_OF_COFFEE|either"):
            client.fault(**rule)


def test_settings_change_which_requests_are_refused(start):
    client = start(bulk_notes=True, bulk_page_max=50, bulk_strict_keys=False, bulk_join_limit=1)
    assert client.create({"query": {"module": {"api_name": "Notes"}}}).status_code == 201
    assert client.create(contacts(page=51)).json()["details"] == {"max_limit": 50}
    assert client.create(contacts(sort_by="id")).status_code == 201
    joined = contacts(fields=["Owner.last_name", "Account_Name.Phone"])
    assert client.create(joined).json()["code"] == "JOIN_LIMIT_EXCEEDED"
