"""The stack backend over fakes of CloudFormation and Lambda."""

import io
import json

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from crm_export_cli.exits import CliError, Exit
from crm_export_cli.stack.backend import StackBackend
from crm_export_cli.stack.functions import deployed_stack


class FakeAws:
    """CloudFormation and Lambda of an account with one stack; `answers` are the function's responses."""

    def __init__(self, *answers, resources=("BulkReadSubmitter",)):
        self.answers, self.resources = list(answers), resources
        self.events = []
        self.refuses = None

    def client(self, service, config):
        return self

    def describe_stacks(self, StackName):  # noqa: N803
        if self.refuses:
            raise self.refuses
        outputs = [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example.com"}]
        return {"Stacks": [{"Outputs": outputs}]}

    def describe_stack_resources(self, StackName, LogicalResourceId):  # noqa: N803
        return {"StackResources": [{"PhysicalResourceId": f"s-{name}-1X"} for name in self.resources]}

    def invoke(self, FunctionName, Payload):  # noqa: N803
        assert FunctionName == "s-BulkReadSubmitter-1X"
        self.events.append(json.loads(Payload)["operator"])
        answer = self.answers.pop(0)
        if answer is None:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "x"}')}
        return {"Payload": io.BytesIO(json.dumps({"body": json.dumps(answer)}).encode())}


def succeeded(data, token=None):
    return {"success": True, "data": data, "pagination": {"next_page_token": token}}


def backend_over(aws):
    return StackBackend(deployed_stack("s", aws.client), ("acct-1", "user-1"), lambda seconds: None)


def test_request_names_the_caller_and_the_url_for_callbacks():
    aws = FakeAws(succeeded({"export_id": "e"}))
    assert backend_over(aws).start("contacts", {"file_type": "csv"}) == {"export_id": "e"}
    (event,) = aws.events
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
    aws = FakeAws(succeeded([{"export_id": "3"}], "t"), succeeded([], "u"), succeeded([{"export_id": "1"}]))
    assert [view["export_id"] for view in backend_over(aws).list(9, "run")] == ["3", "1"]
    assert [event["query"].get("page_token") for event in aws.events] == [None, "t", "u"]


def test_wait_looks_until_all_have_ended():
    states = ("RUNNING", "RUNNING", "COMPLETED", "FAILED")
    aws = FakeAws(*(succeeded({"state": state}) for state in states))
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
        backend_over(FakeAws(failed)).view("e")
    assert (raised.value.code, raised.value.exit_code, raised.value.remedy) == (code, exit_code, "r")


def test_function_that_fails_is_reported():
    with pytest.raises(CliError, match="did not respond as expected") as raised:
        backend_over(FakeAws(None)).view("e")
    assert raised.value.code == "STACK_UNUSABLE"


def test_stack_of_another_project_is_refused():
    with pytest.raises(CliError, match="has no function BulkReadSubmitter"):
        deployed_stack("s", FakeAws(resources=()).client)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks"), 4),
        (ClientError({"Error": {"Code": "ValidationError", "Message": "no"}}, "DescribeStacks"), 1),
        (NoCredentialsError(), 4),
    ],
)
def test_refusal_of_aws_is_reported_without_a_traceback(error, exit_code):
    aws = FakeAws()
    aws.refuses = error
    with pytest.raises(CliError) as raised:
        deployed_stack("s", aws.client)
    assert raised.value.exit_code == exit_code
    assert raised.value.remedy
