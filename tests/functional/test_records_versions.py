"""GET /v1/e/zoho/export/{type} on Zoho's API v2 to v8: fields, sorting, paging, modified_since."""

import pytest

LATER = ["v3", "v4", "v5", "v6", "v7", "v8"]


@pytest.fixture
def get(world):
    def get(version, export_type="contacts", **query):
        world.configure("ExportHandler", RECORDS_API_VERSION=version)
        return world.http("ExportHandler", "GET", f"/v1/e/zoho/export/{export_type}", query=query)

    return get


def sent(world):
    """The query of the last records request Zoho received."""
    return world.zoho.journal.requests("/crm/v[0-9.]+/[A-Z]", "GET")[-1]["query"]


@pytest.mark.parametrize("version", ["v2", "v2.1", *LATER])
def test_page_is_the_same_on_every_version(world, get, version):
    status, response = get(version, page="2", limit="20")
    assert status == 200, response
    assert (
        len(response["data"]),
        response["pagination"]["page"],
        response["pagination"]["more_records"],
    ) == (
        20,
        2,
        True,
    )


@pytest.mark.parametrize("version", LATER)
def test_page_without_fields_requests_those_of_the_metadata_once(world, get, version):
    _, response = get(version)
    fields = sent(world)["fields"].split(",")
    assert 1 < len(fields) <= 50
    assert {"Last_Name", "Email", "Modified_Time"} <= set(fields)
    metadata = world.zoho.journal.requests("/settings/fields", "GET")
    assert len(metadata) == 1
    left_out = response["pagination"].get("fields_left_out", [])
    assert not set(left_out) & set(fields)


@pytest.mark.parametrize("version", ["v2", "v8"])
def test_fields_of_the_caller_are_sent_once_each(world, get, version):
    status, _ = get(version, fields="Last_Name, Email,Last_Name")
    assert status == 200
    assert sent(world)["fields"] == "Last_Name,Email"
    assert not world.zoho.journal.requests("/settings/fields", "GET")


def test_v2_without_fields_sends_none(world, get):
    get("v2")
    assert sent(world) == {"page": "1", "per_page": "10"}


def test_page_without_the_settings_scope_requires_fields(world, get):
    body = {
        "code": "OAUTH_SCOPE_MISMATCH",
        "message": "invalid oauth scope",
        "status": "error",
        "details": {},
    }
    world.zoho.fault(path="/settings/fields", status=401, body=body)
    status, response = get("v8")
    assert (status, response["errno"]) == (400, 400)
    assert "ZohoCRM.settings.fields.READ" in response["message"]
    assert get("v8", fields="Last_Name")[0] == 200


def test_page_beyond_2000_records_requires_page_token(world, get):
    world.zoho.config.patch({"records": {"Contacts": 2300}})
    assert get("v2", page="11", limit="200")[0] == 200
    status, response = get("v8", page="11", limit="200", fields="Last_Name")
    assert (status, response["errno"]) == (400, 400)
    assert "page_token" in response["message"]
    seen, query = set(), {}
    while True:
        status, response = get("v8", limit="200", fields="Last_Name", **query)
        assert status == 200, response
        seen |= {record["id"] for record in response["data"]}
        if not response["pagination"]["more_records"]:
            break
        query = {"page_token": response["pagination"]["next_page_token"]}
    assert len(seen) == 2300


@pytest.mark.parametrize(
    ("version", "query", "says"),
    [
        ("v2", {"page_token": "x"}, "Zoho's API v2 has no page_token; use page."),
        (
            "v8",
            {"page_token": "x", "page": "2"},
            "page and page_token are both given; give only one of them.",
        ),
        ("v8", {"page_token": ""}, "page_token is ''"),
        ("v8", {"sort_by": "Last_Name"}, "allowed: id, Created_Time, Modified_Time"),
        ("v2", {"sort_by": "Last Name"}, "sort_by is 'Last Name'"),
        ("v2", {"sort_order": "up"}, "sort_order is 'up'; allowed: asc, desc"),
        ("v2", {"fields": "Last_Name,;drop"}, "fields has ';drop'"),
        ("v2", {"fields": ""}, "fields has ''"),
        (
            "v8",
            {"fields": ",".join(f"F{n}" for n in range(51))},
            "fields has 51 names; Zoho's API v8 allows 50",
        ),
        ("v2", {"modified_since": "yesterday"}, "modified_since is 'yesterday'; it must be ISO 8601"),
        ("v2", {"modified_since": "2026-07-25T15:26:49"}, "with an offset"),
    ],
)
def test_parameter_that_a_version_does_not_allow_is_refused_without_a_call(world, get, version, query, says):
    status, response = get(version, **query)
    assert (status, response["errno"]) == (400, 400)
    assert says in response["message"]
    assert not world.zoho.journal.requests("/crm/", "GET")


@pytest.mark.parametrize(("version", "sort_by"), [("v2", "Last_Name"), ("v8", "Modified_Time"), ("v8", "id")])
def test_sorting_is_sent_to_zoho(world, get, version, sort_by):
    status, _ = get(version, sort_by=sort_by, sort_order="asc", fields="Last_Name")
    assert status == 200
    assert sent(world).items() >= {"sort_by": sort_by, "sort_order": "asc"}.items()


@pytest.mark.parametrize("version", ["v2", "v8"])
def test_modified_since_in_the_future_gives_an_empty_page(world, get, version):
    status, response = get(version, modified_since="2999-01-01T00:00:00+05:30", fields="Last_Name")
    assert (status, response["data"]) == (200, [])
    assert response["pagination"] == {"page": 1, "per_page": 10, "count": 0, "more_records": False}
    request = world.zoho.journal.requests("/crm/v", "GET")[-1]
    assert (request["status"], request["headers"]["if-modified-since"]) == (304, "2999-01-01T00:00:00+05:30")


@pytest.mark.parametrize(
    ("given", "sent_as"),
    [
        ("2020-07-25T15:26:49Z", "2020-07-25T15:26:49+00:00"),
        ("2020-07-25T15:26:49.123+05:30", "2020-07-25T15:26:49+05:30"),
        ("2020-07-25T15:26:49 05:30", "2020-07-25T15:26:49+05:30"),  # an unescaped plus
    ],
)
def test_modified_since_is_sent_in_zohos_form(world, get, given, sent_as):
    assert get("v2", modified_since=given)[0] == 200
    request = world.zoho.journal.requests("/crm/v", "GET")[-1]
    assert request["headers"]["if-modified-since"] == sent_as


def test_outage_is_retried_within_the_request(world, get):
    world.zoho.fault(path="/crm/v2/Contacts", status=500, body="<html>", times=2)
    assert get("v2")[0] == 200
    assert len(world.zoho.journal.requests("/crm/v2/Contacts", "GET")) == 3


def test_short_retry_after_is_waited_for(world, get):
    world.zoho.fault(path="/crm/v2/Contacts", status=429, headers={"Retry-After": "1"}, times=1)
    assert get("v2")[0] == 200


def test_long_retry_after_is_returned_to_the_caller(world, get):
    world.zoho.fault(path="/crm/v2/Contacts", status=429, headers={"Retry-After": "77"})
    response = world.request("ExportHandler", "GET", "/v1/e/zoho/export/contacts")
    assert (response["statusCode"], response["headers"]["Retry-After"]) == (429, "77")
    assert len(world.zoho.journal.requests("/crm/v2/Contacts", "GET")) == 1
