"""`crm-export doctor`: findings of a connection and of a stack, over fakes; the folder: tests/functional."""

import json
import re
from fnmatch import fnmatchcase

import pytest
import requests
import responses

from crm_export.errors import ConnectionNotFound, TokenInvalidated
from crm_export.zoho.catalog import SCOPES
from crm_export.zoho.checks import Report, ScopeCheck
from crm_export_cli.exits import CliError
from crm_export_cli.findings import of_connection
from crm_export_cli.lake import ddl_of_stack
from crm_export_cli.stack.backend import StackBackend
from crm_export_cli.stack.checks import RESOURCES, check_stack
from crm_export_cli.stack.functions import deployed_stack
from crm_export_cli.stack.logs import stack_lines
from local.host.processes import REPOSITORY
from tests.support.operator_aws import ACCOUNT, REGION, OperatorAws, succeeded
from tests.support.privileges import CLOUDFORMATION

ISSUER = "https://issuer.example.com/"
DISCOVERY = f"{ISSUER}.well-known/openid-configuration"
CALLBACK = re.compile(r"https://api\.example\.com/v1/e/zoho/bulk-read/callback/.+")


def report(**changes):
    checks = tuple(ScopeCheck(scope, "granted") for scope in SCOPES)
    known = {"token_seconds": 3600, "api_domain": "https://z", "scopes": checks, "clock_ahead": 0.4}
    return Report(**{**known, **changes})


def by_check(findings):
    return {finding.check: finding for finding in findings}


# --- the connection ---


def test_working_connection_has_nothing_to_remedy():
    found = by_check(of_connection(report))
    assert list(found) == ["connection", "token", "clock", "scopes", "credits"]
    assert {finding.state for finding in found.values()} == {"ok"}


@pytest.mark.parametrize(
    ("seconds", "state"), [(60, "ok"), (-60, "ok"), (61, "warning"), (-61, "warning"), (None, "warning")]
)
def test_clock_is_compared_with_zohos(seconds, state):
    assert by_check(of_connection(lambda: report(clock_ahead=seconds)))["clock"].state == state


@pytest.mark.parametrize(("left", "state"), [(None, "ok"), (500, "ok"), (499, "warning")])
def test_few_credits_are_a_warning(left, state):
    assert by_check(of_connection(lambda: report(credits_left=left)))["credits"].state == state


def with_one(scope, state, why=""):
    checks = (
        ScopeCheck(each, state, why) if each is scope else ScopeCheck(each, "granted") for each in SCOPES
    )
    return list(of_connection(lambda: report(scopes=tuple(checks))))


def test_granted_scopes_say_what_each_is_for():
    messages = [finding.message for finding in of_connection(report) if finding.check == "scopes"]
    assert len(messages) == len(SCOPES)
    assert all(scope.purpose in message for scope, message in zip(SCOPES, messages, strict=True))


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.name)
def test_missing_scope_says_what_it_is_for(scope):
    (found,) = (finding for finding in with_one(scope, "missing") if finding.state != "ok")
    assert (found.check, found.state) == ("scopes", "error" if scope.required else "warning")
    assert scope.purpose in found.message
    assert found.remedy


def test_scope_of_which_zoho_says_nothing_is_not_reported_as_granted():
    (found,) = (finding for finding in with_one(SCOPES[3], "unknown", "no reply") if finding.state != "ok")
    assert (found.check, found.state, found.remedy) == ("scopes", "warning", "Zoho's reason: no reply")


@pytest.mark.parametrize(
    ("error", "states"),
    [
        (ConnectionNotFound("a", "o"), {"connection": "error"}),
        (TokenInvalidated("revoked"), {"connection": "ok", "token": "error"}),
        (CliError("m", code="AWS_REFUSED"), {"stack": "error"}),
    ],
)
def test_failed_try_says_what_failed(error, states):
    def fail():
        raise error

    assert {finding.check: finding.state for finding in of_connection(fail)} == states


def test_report_of_a_function_is_read_as_it_was_made():
    checks = (ScopeCheck(SCOPES[0], "missing", "no"), ScopeCheck(SCOPES[2], "unknown"))
    made = report(scopes=checks, user={"name": "A"}, modules=7, credits_left=9, clock_ahead=-1.5)
    assert Report.from_document(json.loads(json.dumps(made.document()))) == made


# --- a stack ---


@pytest.fixture
def http():
    """The issuer and the API answer as they should."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
        mocked.get(DISCOVERY, json={"issuer": ISSUER})
        mocked.post(CALLBACK, json={"code": "INVALID_SIGNATURE"}, status=403)
        yield mocked


def findings(aws):
    return by_check(check_stack(deployed_stack("zoho-crm-export", aws.client)))


def test_working_stack_has_nothing_to_remedy(http):
    found = findings(OperatorAws())
    assert list(found) == ["stack", "functions", "issuer", "callback", "quota", "dead-letter"]
    assert {finding.state for finding in found.values()} == {"ok"}


def test_resources_that_are_looked_for_are_in_the_template():
    assert set(RESOURCES) <= CLOUDFORMATION["Resources"].keys()


def test_incomplete_stack_is_an_error(http):
    found = findings(OperatorAws(missing=["DownloadQueue"]))["stack"]
    assert (found.state, found.message) == ("error", "The stack lacks DownloadQueue.")


def test_stack_that_is_being_deployed_is_a_warning(http):
    assert findings(OperatorAws(status="UPDATE_IN_PROGRESS"))["stack"].state == "warning"


def test_functions_do_not_run(http):
    aws = OperatorAws()
    findings(aws)
    assert aws.events == []


def test_operator_who_may_not_invoke_is_refused_with_a_remedy(http):
    found = findings(OperatorAws(refuses=["lambda:InvokeFunction"]))["credentials"]
    assert found.state == "error"
    assert "Operators" in found.remedy


@pytest.mark.parametrize(
    ("action", "check"),
    [
        ("cloudformation:DescribeStackResources", "stack"),
        ("lambda:GetAccountSettings", "quota"),
        ("sqs:GetQueueAttributes", "dead-letter"),
    ],
)
def test_missing_permission_is_a_finding_with_a_remedy(http, action, check):
    found = findings(OperatorAws(refuses=[action]))[check]
    assert (found.state, "AccessDenied" in found.message) == ("warning", True)
    assert "Operators" in found.remedy


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"issuer": "https://issuer.example.com"}},
        {"json": {}},
        {"body": "<html>", "status": 404},
        {"body": requests.ConnectionError()},
    ],
)
def test_issuer_that_is_not_as_configured_is_a_warning(http, answer):
    http.replace(responses.GET, DISCOVERY, **answer)
    found = findings(OperatorAws())["issuer"]
    assert (found.state, ISSUER in found.message) == ("warning", True)
    assert found.remedy


def test_audience_that_was_never_set_is_a_warning(http):
    assert findings(OperatorAws(parameters={"JwtAudience": "unset"}))["issuer"].state == "warning"


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"code": "STATE_UNAVAILABLE"}, "status": 503},
        {"body": "<html>Forbidden</html>", "status": 403},
        {"json": {"message": "Forbidden"}, "status": 403},
        {"body": requests.ReadTimeout()},
    ],
)
def test_callback_that_another_server_answers_is_a_warning(http, answer):
    http.replace(responses.POST, CALLBACK, **answer)
    found = findings(OperatorAws())["callback"]
    assert found.state == "warning"
    assert "CallbackBaseUrl" in found.remedy


def test_callback_is_posted_to_the_url_that_zoho_gets(http):
    http.post(re.compile(r"https://proxy\.example\.com/crm/v1/.*"), json={"code": "INVALID_SIGNATURE"})
    found = findings(OperatorAws(parameters={"CallbackBaseUrl": "https://proxy.example.com/crm"}))
    assert found["callback"].message.startswith("https://proxy.example.com/crm receives callbacks")


def test_small_quota_is_a_warning_with_the_parameters_to_set(http):
    aws = OperatorAws(parameters={"WorkersPerQueue": "10"})
    aws.concurrency = 10
    found = findings(aws)["quota"]
    assert found.state == "warning"
    assert "AccountConcurrency=10 and deploy, with WorkersPerQueue=3." in found.remedy


def test_dead_letters_are_a_warning(http):
    aws = OperatorAws()
    aws.dead_letters = 1
    found = findings(aws)["dead-letter"]
    assert (found.state, found.message) == ("warning", "2 messages failed ten times.")


# --- the operator's policy ---


def operator_policy():
    """Return (action, resource) of each permission in docs/deploy.md."""
    page = (REPOSITORY / "docs/deploy.md").read_text().partition("\n## Operators\n")[2]
    text = page.partition("```json\n")[2].partition("```")[0]
    text = text.replace("<region>", REGION).replace("<account>", ACCOUNT)
    return [
        (action, resource)
        for statement in json.loads(text)["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    ]


def _listed(value):
    return value if isinstance(value, list) else [value]


def test_operator_policy_allows_what_the_commands_call_and_nothing_else(http):
    folder = "account_id=acct-1/module=Deals/export_id=20240101T000000Z-0000000000000001"
    views = [{"manifest_key": f"exports/{folder}/manifest.json"}] * 2
    aws = OperatorAws(succeeded([]), succeeded({}), succeeded(views))
    stack = deployed_stack("zoho-crm-export", aws.client)
    list(check_stack(stack))
    stack_lines(stack, 0, None)
    backend = StackBackend(stack, ("acct-1", "user-1"))
    backend.modules()
    backend.start("contacts", {})
    with pytest.raises(CliError, match="no Parquet of deals"):
        ddl_of_stack(backend, "deals")
    needed = {
        (action, resource): [
            permission
            for permission in operator_policy()
            if permission[0] == action and fnmatchcase(resource, permission[1])
        ]
        for action, resource in aws.calls
    }
    assert [call for call, permissions in needed.items() if not permissions] == []
    used = {permission for permissions in needed.values() for permission in permissions}
    assert set(operator_policy()) == used
