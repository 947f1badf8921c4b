"""Least privilege, both ways: what the functions did in the functional tests, against what they may do.

Runs after all others but the test of the logs (conftest). Calls are those of the functions' own handlers,
heard at botocore; policies are the template's, for the environment each call was made with.
"""

from functools import cache

import pytest

from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY
from tests.support.policies import Permission, Policies, Request, as_list, statements_of
from tests.support.recorder import Call, Recorder, requests_of

# Permissions that the suite never uses, (function, Sid, action): why the function needs them all the same.
NEVER_USED: dict[tuple[str, str, str], str] = {}

# What SAM adds to a role, with Resource "*". Only the queues' one reaches what we keep: whoever polls
# a queue for a function acts with the function's role. A Deny keeps it to that queue (tests/template).
MANAGED = {"service-role/AWSLambdaBasicExecutionRole": "logs", "AWSXrayWriteOnlyAccess": "traces"}
MANAGED_BY_QUEUE = {"service-role/AWSLambdaSQSQueueExecutionRole": "the poller of its queue, and logs"}
POLLED = {"BulkReadSubmitter", "ResultDownloader"}

CLOUDFORMATION = load_template(REPOSITORY / "template.yaml", {}, {}).cloudformation
FUNCTIONS = sorted(
    name for name, item in CLOUDFORMATION["Resources"].items() if item["Type"] == "AWS::Lambda::Function"
)


type Granted = tuple[str, str, str, str]  # function, Sid, action, resource as written


def granted(function: str) -> list[Granted]:
    """Every permission as written in the template, whatever condition it has."""
    statements = [
        branch
        for statement in statements_of(CLOUDFORMATION["Resources"], function)
        for branch in (statement["Fn::If"][1:] if "Fn::If" in statement else [statement])
        if "Sid" in branch
    ]
    return [
        (function, statement["Sid"], action, str(resource))
        for statement in statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


@cache
def values_of(function: str, environment: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The parameters and resources that the environment of a function tells, as Ref gives them."""
    variables = CLOUDFORMATION["Resources"][function]["Properties"]["Environment"]["Variables"]
    actual = dict(environment)
    return {value["Ref"]: actual[name] for name, value in variables.items() if "Ref" in value}


@cache
def permissions_for(function: str, environment: tuple[tuple[str, str], ...]) -> tuple[Permission, ...]:
    """What a function may do in an environment."""
    return tuple(Policies(CLOUDFORMATION, values_of(function, environment)).permissions(function))


def refused(calls: set[Call]) -> list[str]:
    """Calls that no statement allows."""
    return sorted(
        f"{call.function}: {call.request.action} on {call.request.resource} {dict(call.request.context)}"
        for call in calls
        if not any(
            permission.allows(call.request) for permission in permissions_for(call.function, call.environment)
        )
    )


def unused(calls: set[Call], functions: list[str]) -> list[Granted]:
    """Permissions, with those of a condition, that no call of these functions needed."""
    used = {
        (call.function, permission.sid, permission.action, permission.written)
        for call in calls
        for permission in permissions_for(call.function, call.environment)
        if permission.allows(call.request)
    }
    return sorted({item for function in functions for item in granted(function)} - used)


def test_every_call_is_allowed(recorder: Recorder):
    assert refused(recorder.calls) == []


def test_every_permission_is_used(recorder: Recorder, functional_tests_missing: set[str]):
    if functional_tests_missing:
        pytest.skip(
            f"only a part of the functional tests has passed in this run ({len(functional_tests_missing)} "
            "are missing): what is never used cannot be told"
        )
    assert {call.function for call in recorder.calls} == set(FUNCTIONS)
    found = unused(recorder.calls, FUNCTIONS)
    assert [item for item in found if item[:3] not in NEVER_USED] == []
    assert set(NEVER_USED) <= {item[:3] for item in found}, "used by now: take them out of NEVER_USED"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_of_awss_own_policies_a_function_has_only_what_sam_adds(function: str):
    arns = CLOUDFORMATION["Resources"][f"{function}Role"]["Properties"]["ManagedPolicyArns"]
    names = {arn.partition(":policy/")[2] for arn in arns}
    assert names == set(MANAGED) | (set(MANAGED_BY_QUEUE) if function in POLLED else set())


# --- that the check itself can fail ----------------------------------------------------------

ENVIRONMENT = {
    "EXPORTS_TABLE": "exports",
    "DOWNLOAD_QUEUE_URL": "http://127.0.0.1:1/123456789012/download",
    "CALLBACK_SECRET_ID": "arn:aws:secretsmanager:us-east-1:123456789012:secret:callback-a1B2c3",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}
KEY = {"pk": {"S": "EXPORT#1"}, "sk": {"S": "META"}}
TOKEN = {"pk": {"S": "TOKEN#1"}, "sk": {"S": "TOKEN"}}
QUEUE = ENVIRONMENT["DOWNLOAD_QUEUE_URL"]
ALLOWED = [
    ("dynamodb", "UpdateItem", {"TableName": "exports", "Key": KEY}),
    ("sqs", "SendMessage", {"QueueUrl": QUEUE, "MessageBody": "x"}),
    ("secretsmanager", "GetSecretValue", {"SecretId": ENVIRONMENT["CALLBACK_SECRET_ID"]}),
]


def calls_of(*asked) -> set[Call]:
    environment = tuple(sorted(ENVIRONMENT.items()))
    return {Call("CallbackReceiver", environment, request) for one in asked for request in requests_of(*one)}


def test_what_the_callback_receiver_does_is_allowed_and_all_it_may():
    assert refused(calls_of(*ALLOWED)) == []
    assert unused(calls_of(*ALLOWED), ["CallbackReceiver"]) == []


@pytest.mark.parametrize("left_out", range(len(ALLOWED)))
def test_a_permission_that_is_not_used_is_found(left_out):
    used = [call for index, call in enumerate(ALLOWED) if index != left_out]
    ((function, _, action, _),) = unused(calls_of(*used), ["CallbackReceiver"])
    service, operation, _ = ALLOWED[left_out]
    assert (function, action) == ("CallbackReceiver", f"{service}:{operation}")


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("dynamodb", "UpdateItem", {"TableName": "exports", "Key": TOKEN}),
        ("dynamodb", "UpdateItem", {"TableName": "exports2", "Key": KEY}),
        ("dynamodb", "GetItem", {"TableName": "exports", "Key": KEY}),
        (
            "dynamodb",
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "exports", "Item": {**KEY, "x": {"N": "1"}}}}]},
        ),
        ("sqs", "SendMessage", {"QueueUrl": QUEUE + "2", "MessageBody": "x"}),
        ("sqs", "ChangeMessageVisibility", {"QueueUrl": QUEUE}),
        ("secretsmanager", "GetSecretValue", {"SecretId": "zoho-crm-export/connections/a/b"}),
        ("s3", "GetObject", {"Bucket": "b", "Key": "exports/x"}),
    ],
)
def test_a_call_that_is_not_allowed_is_found(service, operation, params):
    assert len(refused(calls_of((service, operation, params)))) == 1


def test_a_call_that_is_not_known_here_is_no_call_that_is_allowed():
    with pytest.raises(
        AssertionError, match="say in tests.support.recorder what s3 PutBucketAcl asks of IAM"
    ):
        requests_of("s3", "PutBucketAcl", {})


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("arn:x/*", "arn:x/a/b", True),
        ("arn:x/*", "arn:x", False),
        ("arn:x/a", "arn:x/A", False),
        ("arn:x[1]", "arn:x1", False),
        ("*", "anything", True),
    ],
)
def test_a_resource_fits_as_in_iam(pattern, value, fits):
    assert Permission("S", "s3:GetObject", pattern).allows(Request("S3:getobject", value)) is fits


@pytest.mark.parametrize("store", ["secretsmanager", "mongo"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_policy_is_understood_here(function, store):
    variables = CLOUDFORMATION["Resources"][function]["Properties"]["Environment"]["Variables"]
    values = {value["Ref"]: "https://x/y" for value in variables.values() if "Ref" in value}
    found = Policies(CLOUDFORMATION, {**values, "TokenStore": store}).permissions(function)
    written = granted(function)
    assert {item[1:] for item in written} >= {(one.sid, one.action, one.written) for one in found}
    assert len(found) == len(written) - sum("Mongo" in sid for _, sid, _, _ in written) * (store != "mongo")
