"""What an operator sees of Zoho through export_handler, with the command line's own backend."""

import io
import json

import pytest

from crm_export import strict_json
from crm_export.zoho.records import PageRequest
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.stack.backend import StackBackend
from crm_export_cli.stack.functions import Stack


class Invoker:
    """Lambda's client, whose functions run in the world of the test."""

    def __init__(self, world):
        self._world = world

    def invoke(self, FunctionName, Payload):  # noqa: N803
        response = self._world.invoke(FunctionName, json.loads(Payload))
        return {"Payload": io.BytesIO(json.dumps(response).encode())}


@pytest.fixture
def operator(world):
    stack = Stack("--stack s", "https://api.example.com", lambda service: Invoker(world), lambda name: name)
    return StackBackend(stack, (world.account, world.owner))


def test_modules_and_fields_are_those_of_the_connection(operator):
    assert {"Contacts", "Notes", "Price_Books"} <= set(operator.modules())
    types = {field.api_name: field.data_type for field in operator.fields("price books")}
    assert types["Price_Book_Name"] == "text"


def test_pages_of_any_module_follow_the_page_token_to_the_end(operator, world):
    world.zoho.config.patch({"records": {"Events": 250}})
    first = operator.page("events", PageRequest(per_page=200, fields=["Event_Title"]))
    assert (len(first.data), first.info["more_records"]) == (200, True)
    token = first.info["next_page_token"]
    rest = operator.page("events", PageRequest(per_page=200, page_token=token, fields=["Event_Title"]))
    assert (len(rest.data), rest.info["more_records"]) == (50, False)
    ids = {record["id"] for record in (*first.data, *rest.data)}
    assert len(ids) == 250


def test_page_has_the_fields_of_the_newest_version_whatever_the_page_api_has(operator, world):
    world.configure("ExportHandler", RECORDS_API_VERSION="v2")
    response = operator.page("contacts", PageRequest(per_page=1))
    assert strict_json.dumps(response.data).startswith('[{"')
    assert response.info["fields_left_out"] is not None


def test_check_says_what_the_connection_may_do_and_shows_no_secret(operator, world):
    report = operator.check()
    assert report.api_domain == world.zoho.url
    assert {check.state for check in report.scopes} == {"granted"}
    assert abs(report.clock_ahead) < 60
    assert world.zoho.config.client_secret not in json.dumps(report.document())
    assert f"1000.{world.account}" not in json.dumps(report.document())


def test_check_finds_a_missing_scope(operator, world):
    world.zoho.config.patch({"scopes": "ZohoCRM.modules.ALL,ZohoCRM.settings.fields.READ"})
    missing = {check.scope.name for check in operator.check().missing(required=True)}
    assert missing == {"ZohoCRM.bulk.READ"}


def test_check_of_a_revoked_grant_marks_nothing(operator, world):
    world.zoho.config.refresh_tokens.discard(f"1000.{world.account}")
    with pytest.raises(CliError) as raised:
        operator.check()
    assert (raised.value.code, raised.value.exit_code) == ("TOKEN_INVALIDATED", Exit.NOT_CONNECTED)
    stored = world.client("secretsmanager").get_secret_value(
        SecretId=f"zoho-crm-export/connections/{world.account}/{world.owner}"
    )
    assert "token_invalidated" not in json.loads(stored["SecretString"])


def test_connection_of_another_owner_is_not_found(world, operator):
    other = StackBackend(operator.stack, (world.account, "somebody"))
    for look in (other.modules, other.check, lambda: other.page("contacts", PageRequest())):
        with pytest.raises(CliError) as raised:
            look()
        assert raised.value.code == "CONNECTION_NOT_FOUND"


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/operator/page", {}, "INVALID_REQUEST"),
        ("/operator/page", {"module": "contacts", "limit": "201"}, "INVALID_REQUEST"),
        ("/operator/fields", {"module": "unicorns"}, "TYPE_NOT_SUPPORTED"),
        ("/operator/secrets", {}, "ROUTE_NOT_FOUND"),
    ],
)
def test_request_that_cannot_be_answered_is_refused(operator, world, path, query, code):
    with pytest.raises(CliError) as raised:
        operator.stack.request((world.account, world.owner), "GET", path, **query)
    assert raised.value.code == code
