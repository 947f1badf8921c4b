"""The stack backend over a fake of an operator's AWS."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from crm_export import strict_json
from crm_export.zoho.metadata import Field
from crm_export.zoho.records import PageRequest
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.exporting import _start as start_all
from crm_export_cli.stack.backend import StackBackend
from crm_export_cli.stack.functions import deployed_stack
from crm_export_cli.sync_runs import _run as run_syncs
from tests.support.operator_aws import OperatorAws, succeeded

NAME = "zoho-crm-export"


def backend_over(aws):
    return StackBackend(deployed_stack(NAME, aws.client), ("acct-1", "user-1"), lambda seconds: None)


def test_request_names_the_caller_and_the_url_for_callbacks():
    aws = OperatorAws(succeeded({"export_id": "e"}))
    assert backend_over(aws).start("contacts", {"file_type": "csv"}) == {"export_id": "e"}
    ((function, event),) = aws.events
    assert function == "BulkReadSubmitter"
    assert event.pop("headers")["idempotency-key"].startswith("cli-")
    assert event == {
        "account_id": "acct-1",
        "owner": "user-1",
        "method": "POST",
        "path": "/v1/e/zoho/bulk-read/contacts",
        "query": {},
        "body": {"file_type": "csv"},
        "api_url": "https://api.example.com",
    }


def test_list_reads_pages_until_it_has_enough():
    aws = OperatorAws(
        succeeded([{"export_id": "3"}], "t"), succeeded([], "u"), succeeded([{"export_id": "1"}])
    )
    assert [view["export_id"] for view in backend_over(aws).list(9, "run")] == ["3", "1"]
    assert [event["query"].get("page_token") for _, event in aws.events] == [None, "t", "u"]


def test_wait_looks_until_all_have_ended():
    states = ("RUNNING", "RUNNING", "COMPLETED", "FAILED")
    aws = OperatorAws(*(succeeded({"state": state}) for state in states))
    shown = []
    assert [view["state"] for view in backend_over(aws).wait(["a", "b"], shown.append)] == [
        "COMPLETED",
        "FAILED",
    ]
    assert len(shown) == 2


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("CONNECTION_NOT_FOUND", Exit.NOT_CONNECTED),
        ("TOKEN_INVALIDATED", Exit.NOT_CONNECTED),
        ("QUERY_REFUSED", Exit.USAGE),
        ("EXPORT_NOT_FOUND", Exit.FAILED),
        ("OF_A_LATER_VERSION", Exit.FAILED),
    ],
)
def test_error_of_the_stack_ends_the_command_as_in_a_folder(code, exit_code):
    failed = {"success": False, "code": code, "message": "m", "remedy": "r"}
    with pytest.raises(CliError) as raised:
        backend_over(OperatorAws(failed)).view("e")
    assert (raised.value.code, raised.value.exit_code, raised.value.remedy) == (code, exit_code, "r")


def test_function_that_fails_is_reported():
    with pytest.raises(CliError, match="did not respond as expected") as raised:
        backend_over(OperatorAws(None)).view("e")
    assert raised.value.code == "STACK_UNUSABLE"


def test_stack_of_another_project_is_refused():
    aws = OperatorAws(missing=["BulkReadSubmitter"])
    with pytest.raises(CliError, match="has no resource BulkReadSubmitter"):
        backend_over(aws).view("e")


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks"), 4),
        (ClientError({"Error": {"Code": "ValidationError", "Message": "no"}}, "DescribeStacks"), 1),
        (NoCredentialsError(), 4),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:9"), 1),
    ],
)
def test_refusal_of_aws_is_reported_without_a_traceback(error, exit_code):
    def refuse(service, config):
        raise error

    with pytest.raises(CliError) as raised:
        deployed_stack(NAME, refuse)
    assert raised.value.exit_code == exit_code
    assert raised.value.remedy


# --- what Zoho has ---


def test_modules_and_fields_come_from_the_function_that_pages_records():
    field = {"api_name": "Amount", "data_type": "currency", "is_polymorphic": False, "decimal_place": 2}
    aws = OperatorAws(succeeded(["Deals"]), succeeded([field]))
    backend = backend_over(aws)
    assert backend.modules() == ["Deals"]
    assert backend.fields("deals") == [Field("Amount", "currency", decimal_place=2)]
    assert [(function, event["path"]) for function, event in aws.events] == [
        ("ExportHandler", "/operator/modules"),
        ("ExportHandler", "/operator/fields"),
    ]


def test_page_keeps_the_characters_of_numbers():
    body = '{"success": true, "data": [{"id": "1", "Amount": 1.10}], "pagination": {"more_records": false}}'
    response = backend_over(OperatorAws(body)).page("deals", PageRequest())
    assert strict_json.dumps(response.data) == '[{"id":"1","Amount":1.10}]'
    assert response.info == {"more_records": False}


def test_page_is_named_by_its_number_or_its_token():
    aws = OperatorAws(succeeded([]), succeeded([]))
    backend = backend_over(aws)
    backend.page("deals", PageRequest(page=2, per_page=200, fields=["A", "B"]))
    backend.page("deals", PageRequest(page=3, per_page=200, page_token="t"))
    assert [event["query"] for _, event in aws.events] == [
        {"module": "deals", "page": "2", "limit": "200", "fields": "A,B"},
        {"module": "deals", "limit": "200", "page_token": "t"},
    ]


def refusal(code):
    return {"success": False, "code": code, "message": "Zoho's reason", "remedy": "r"}


@pytest.mark.parametrize(
    ("code", "message"),
    [("TYPE_NOT_SUPPORTED", "There is no such module."), ("QUERY_REFUSED", "Zoho's reason")],
)
def test_messages_of_the_original_api_are_replaced(code, message):
    with pytest.raises(CliError) as raised:
        backend_over(OperatorAws(refusal(code))).fields("x")
    assert raised.value.message == message


@pytest.mark.parametrize("code", ["ZOHO_PERMISSION_DENIED", "ZOHO_MODULE_NOT_SUPPORTED", "QUERY_REFUSED"])
def test_refused_module_does_not_stop_the_others(code):
    aws = OperatorAws(succeeded({"export_id": "1"}), refusal(code), succeeded({"export_id": "3"}))
    started, refused = start_all(backend_over(aws), ["a", "b", "c"], {})
    assert started == ["1", "3"]
    assert refused == [{"module": "b", "code": code, "message": "Zoho's reason", "remedy": "r"}]


@pytest.mark.parametrize("answer", [refusal("CONNECTION_NOT_FOUND"), refusal("TOKEN_INVALIDATED"), None])
def test_error_that_concerns_all_modules_stops_at_once(answer):
    aws = OperatorAws(answer)
    with pytest.raises(CliError):
        start_all(backend_over(aws), ["a", "b"], {})
    assert len(aws.events) == 1


def test_error_after_a_start_names_the_command_that_continues():
    aws = OperatorAws(succeeded({"export_id": "1"}), refusal("TOKEN_INVALIDATED"))
    with pytest.raises(CliError) as raised:
        start_all(backend_over(aws), ["a", "b"], {})
    assert raised.value.remedy == (
        "r To continue what was started: crm-export exports resume 1 --stack zoho-crm-export "
        "--account acct-1 --owner user-1"
    )


# --- syncs ---


def test_syncs_are_requests_to_the_function_that_starts_exports():
    aws = OperatorAws(*(succeeded({"module": "Deals"}) for _ in range(4)), succeeded([]))
    backend = backend_over(aws)
    assert backend.put_sync("deals", {"every": "1h"}) == {"module": "Deals"}
    assert backend.sync("deals") == {"module": "Deals"}
    backend.start_run("deals", "full")
    backend.delete_sync("deals")
    assert backend.syncs() == []
    assert {function for function, _ in aws.events} == {"BulkReadSubmitter"}
    assert [(event["method"], event["path"], event["body"]) for _, event in aws.events] == [
        ("PUT", "/v1/e/zoho/syncs/deals", {"every": "1h"}),
        ("GET", "/v1/e/zoho/syncs/deals", None),
        ("POST", "/v1/e/zoho/syncs/deals/runs", {"kind": "full"}),
        ("DELETE", "/v1/e/zoho/syncs/deals", None),
        ("GET", "/v1/e/zoho/syncs", None),
    ]


def test_missing_sync_of_a_stack_names_the_command_that_creates_it():
    with pytest.raises(CliError) as raised:
        backend_over(OperatorAws(refusal("SYNC_NOT_FOUND"))).sync("deals")
    assert raised.value.message == "There is no sync of this module."
    assert "crm-export sync put" in raised.value.remedy


def run_all(aws, *modules, kind="changes"):
    return run_syncs(backend_over(aws), list(modules), kind=kind, again="again")


def ended(export_id):
    return succeeded(
        {"export_id": export_id, "state": "COMPLETED", "module": "Deals", "records": 0, "parts": []}
    )


def test_runs_of_a_stack_are_started_and_waited_for():
    aws = OperatorAws(succeeded({"module": "Deals"}), succeeded({"export_id": "1"}), ended("1"))
    views, refused = run_all(aws, "deals")
    assert ([view["export_id"] for view in views], refused) == (["1"], [])


@pytest.mark.parametrize("code", ["RUN_IN_PROGRESS", "CREDIT_SHARE_SPENT", "QUERY_REFUSED"])
def test_run_that_does_not_start_keeps_no_other_from_it(code):
    names = (succeeded({"module": name}) for name in ("Deals", "Leads"))
    aws = OperatorAws(*names, refusal(code), succeeded({"export_id": "2"}), ended("2"))
    views, refused = run_all(aws, "deals", "leads")
    assert [view["export_id"] for view in views] == ["2"]
    assert refused == [{"module": "Deals", "code": code, "message": "Zoho's reason", "remedy": "r"}]


def test_module_that_is_named_twice_runs_once():
    names = (succeeded({"module": "Deals"}) for _ in range(2))
    aws = OperatorAws(*names, succeeded({"export_id": "1"}), ended("1"))
    assert len(run_all(aws, "deals", "Deals")[0]) == 1


def test_connection_that_is_gone_stops_all_runs_and_names_what_was_started():
    names = (succeeded({"module": name}) for name in ("Deals", "Leads"))
    aws = OperatorAws(*names, succeeded({"export_id": "1"}), refusal("TOKEN_INVALIDATED"))
    with pytest.raises(CliError, match="does not accept the connection") as raised:
        run_all(aws, "deals", "leads")
    assert raised.value.exit_code == Exit.NOT_CONNECTED
    assert "crm-export exports resume 1 --stack" in raised.value.remedy
