"""What an AWS account demands of the template: names, loops, roles, networks, keys and partitions."""

import json
import re
from typing import Any

import pytest

from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY, LocalStackError
from tests.support.policies import as_list, statements_of
from tests.support.privileges import FUNCTIONS
from tests.support.translated import PARAMETERS, RESOURCES, SOURCE, accepts, of_type

CALL_ZOHO = {"ExportHandler", "BulkReadSubmitter", "ResultDownloader"}
# Properties that end in "Name" and name nothing in the account: a metric, and a stage of its own API.
NOT_PHYSICAL = {"MetricName", "StageName"}


def allowed(function: str, action: str) -> list[Any]:
    """Return the resources on which the function may do the action."""
    return [
        resource
        for statement in statements_of(RESOURCES, function)
        if action in as_list(statement.get("Action", []))
        for resource in as_list(statement["Resource"])
    ]


# --- Recursive loops ---------------------------------------------------------------------------


def looping(sends: dict[str, set[str]], fed_by: dict[str, str]) -> set[str]:
    """Return the functions whose messages may come back to them.

    sends: the queues that each function may send to. fed_by: the function that receives from each queue.
    """

    def reached(functions: set[str]) -> set[str]:
        further = {fed_by[queue] for name in functions for queue in sends.get(name, set()) if queue in fed_by}
        return functions if further <= functions else reached(functions | further)

    return {
        name
        for name, queues in sends.items()
        if name in reached({fed_by[queue] for queue in queues if queue in fed_by})
    }


@pytest.mark.parametrize(
    ("sends", "loops"),
    [
        ({"a": {"A"}}, {"a"}),
        ({"a": {"B"}, "b": {"A"}}, {"a", "b"}),
        ({"a": {"B"}, "b": {"C"}, "c": {"A"}}, {"a", "b", "c"}),
        ({"a": {"B"}, "b": {"B"}}, {"b"}),
        ({"a": {"B"}, "b": set()}, set()),
        ({"a": {"elsewhere"}}, set()),
    ],
)
def test_function_loops_if_its_messages_come_back_also_through_others(sends, loops):
    assert looping(sends, {"A": "a", "B": "b", "C": "c"}) == loops


def test_exactly_the_functions_in_a_loop_of_queues_allow_it():
    """Lambda drops the 17th invocation in a chain of messages, unless each function in it allows the loop.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    fed_by = {
        mapping["EventSourceArn"]["Fn::GetAtt"][0]: mapping["FunctionName"]["Ref"]
        for mapping in of_type("AWS::Lambda::EventSourceMapping").values()
    }
    sends = {
        function: {queue["Fn::GetAtt"][0] for queue in allowed(function, "sqs:SendMessage")}
        for function in FUNCTIONS
    }
    properties = of_type("AWS::Lambda::Function")
    allowing = {name for name, item in properties.items() if item.get("RecursiveLoop") == "Allow"}
    assert allowing == looping(sends, fed_by)
    assert len(fed_by) == 3
    # A queue whose URL a function has is one to which it may send, so the graph has every edge. The Parquet
    # writer only postpones messages of its queue.
    assert sends.pop("ParquetWriter") == set()
    for name, item in properties.items():
        if name not in sends:
            continue
        urls = {value["Ref"] for key, value in item["Environment"]["Variables"].items() if "QUEUE" in key}
        assert urls == sends[name]


# --- Names -------------------------------------------------------------------------------------


def literal_names(resources: dict[str, Any]) -> set[str]:
    """Return `logical id.property` of each physical name that would be the same in every stack."""
    return {
        f"{logical_id}.{key}"
        for logical_id, item in resources.items()
        for key, value in item.get("Properties", {}).items()
        if key.endswith("Name") and key not in NOT_PHYSICAL
        if isinstance(value, str) or "${" not in json.dumps(value) and "Ref" not in value
    }


def test_no_resource_has_a_name_that_a_second_stack_would_have_too():
    assert literal_names(RESOURCES) == set()


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("exports", True),
        ({"Fn::Sub": "exports"}, True),
        ({"Fn::Sub": "${AWS::StackName}-exports"}, False),
        ({"Ref": "Queue"}, False),
    ],
)
def test_name_is_literal_unless_it_names_the_stack_or_a_resource(name, literal):
    assert bool(literal_names({"X": {"Properties": {"Name": name}}})) is literal


def test_schedule_drops_late_ticks():
    (schedule,) = of_type("AWS::Scheduler::Schedule").values()
    (invoke,) = of_type("AWS::Lambda::EventInvokeConfig").values()
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    for policy in (schedule["Target"]["RetryPolicy"], invoke):
        assert policy["MaximumRetryAttempts"] == 0
        assert 60 <= policy["MaximumEventAgeInSeconds"] < 300  # AWS's minimum, and the next tick


def test_access_logs_are_in_a_group_that_needs_no_resource_policy():
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    group = stage["AccessLogSettings"]["DestinationArn"]["Fn::GetAtt"][0]
    name = RESOURCES[group]["Properties"]["LogGroupName"]["Fn::Sub"]
    assert name == "/aws/vendedlogs/apigateway/${AWS::StackName}"


# --- Roles -------------------------------------------------------------------------------------


def test_every_role_has_the_permissions_boundary_of_the_parameter():
    boundary = {"Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
    roles = of_type("AWS::IAM::Role")
    assert len(roles) == len(FUNCTIONS) + 1  # and the schedule's
    assert {name for name, role in roles.items() if role.get("PermissionsBoundary") != boundary} == set()


def test_functions_that_end_exports_may_put_events():
    putting = {function for function in FUNCTIONS if allowed(function, "events:PutEvents")}
    assert putting == {"BulkReadSubmitter", "ResultDownloader", "ExportReconciler"}


# --- Network -----------------------------------------------------------------------------------


def test_functions_that_call_zoho_are_in_the_vpc_of_the_parameters():
    def split(parameter: str) -> dict[str, Any]:
        return {"Fn::Split": [",", {"Ref": parameter}]}

    network = {"SubnetIds": split("VpcSubnetIds"), "SecurityGroupIds": split("VpcSecurityGroupIds")}
    in_vpc = {"Fn::If": ["HasVpc", network, {"Ref": "AWS::NoValue"}]}
    functions = of_type("AWS::Lambda::Function")
    assert {name: item["VpcConfig"] for name, item in functions.items() if "VpcConfig" in item} == (
        dict.fromkeys(CALL_ZOHO, in_vpc)
    )


def test_code_of_functions_in_the_vpc_may_not_use_its_network_interfaces():
    """SAM's managed policy for the VPC allows them on every resource.

    https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaVPCAccessExecutionRole.html
    """
    for function in CALL_ZOHO:
        denied = [
            item for item in statements_of(RESOURCES, function, "Deny") if "ec2" in json.dumps(item["Action"])
        ]
        assert [(item["Resource"], item["Condition"]) for item in denied] == [
            ("*", {"Null": {"lambda:SourceFunctionArn": "false"}})
        ]
        assert {action.partition(":")[2] for action in denied[0]["Action"]} == {
            *("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface"),
            *("DescribeSubnets", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
        }


# --- Keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("AWS::DynamoDB::Table", 1),
        ("AWS::S3::Bucket", 1),
        ("AWS::SQS::Queue", 6),
        ("AWS::SecretsManager::Secret", 2),
    ],
)
def test_resource_with_data_is_encrypted_with_the_key_of_the_parameter(kind, number):
    key = json.dumps({"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]})
    resources = of_type(kind)
    assert len(resources) == number
    assert {name for name, item in resources.items() if key not in json.dumps(item)} == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_uses_keys_only_through_other_services(function):
    statements = [
        inner["Fn::If"][1] if "Fn::If" in inner else inner
        for item in statements_of(RESOURCES, function)
        for inner in [item["Fn::If"][1] if "Fn::If" in item else item]
    ]
    of_kms = [item for item in statements if "kms:Decrypt" in item["Action"]]
    assert [item["Sid"] for item in of_kms] == (["DecryptConnections"] if function in CALL_ZOHO else []) + [
        "UseKmsKey"
    ]
    for item in of_kms:
        ((operator, condition),) = item["Condition"].items()
        assert (operator, list(condition)) == ("StringEquals", ["kms:ViaService"])


# --- Parameters --------------------------------------------------------------------------------


def test_prefix_of_connections_is_the_same_in_environment_policy_and_output():
    prefix = {
        "Fn::If": [
            "HasConnectionPrefix",
            {"Ref": "ConnectionPrefix"},
            {"Fn::Sub": "${AWS::StackName}/connections"},
        ]
    }
    assert PARAMETERS["ConnectionPrefix"]["Default"] == ""
    for name in CALL_ZOHO:
        variables = RESOURCES[name]["Properties"]["Environment"]["Variables"]
        assert variables["CONNECTION_PREFIX"] == prefix
    assert SOURCE.count("- Prefix: !If [HasConnectionPrefix, ") == 3  # two statements and the output
    assert "${ConnectionPrefix}" not in SOURCE


@pytest.mark.parametrize(
    ("parameter", "value", "accepted"),
    [
        ("AccountClaim", "sub", True),
        ("AccountClaim", "custom:account", True),
        ("OwnerClaim", "https://example.com/user", True),
        ("OwnerClaim", "", False),
        ("OwnerClaim", "user id", False),
        ("AccountClaim", "app_metadata[account]", False),
        ("BasePath", "", True),
        ("BasePath", "crm/v1", True),
        ("BasePath", "/crm", False),
        ("BasePath", "crm/", False),
        ("VpcSubnetIds", "subnet-0a1b2c3d,subnet-0a1b2c3d4e5f67890", True),
        ("VpcSubnetIds", "subnet-0a1b2c3d, subnet-1", False),
        ("VpcSecurityGroupIds", "subnet-0a1b2c3d", False),
        ("KmsKeyArn", "arn:aws-cn:kms:cn-north-1:123456789012:key/1", True),
        ("KmsKeyArn", "arn:aws:kms:us-east-1:123456789012:alias/x", False),
        ("PermissionsBoundary", "arn:aws:iam::123456789012:policy/dev/boundary", True),
        ("PermissionsBoundary", "boundary", False),
        ("AlarmTopicArn", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:oncall", True),
        ("AlarmTopicArn", "oncall@example.com", False),
    ],
)
def test_pattern_of_a_parameter_accepts_only_what_deploys(parameter, value, accepted):
    assert accepts(parameter, value) is accepted


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"VpcSubnetIds": "subnet-0a1b2c3d"}, "VpcSecurityGroupIds must be set"),
        ({"AlarmTopicArn": "arn:aws:sns:x:1:y", "AlarmEmail": "a@example.com"}, "AlarmEmail must be empty"),
        ({"TokenStore": "mongo"}, "MongoUriSecretArn must be set"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(parameters, problem):
    with pytest.raises(LocalStackError, match=problem):
        load_template(REPOSITORY / "template.yaml", {}, parameters)


def test_template_names_no_partition():
    """China's and the US government's regions have ARNs and host names of their own; EventBridge's principal
    is the same in all of them.
    """
    lines = [re.sub(r"#.*", "", line) for line in SOURCE.splitlines()]
    written = [line for line in lines if not re.match(r"\s+(AllowedPattern|Description):", line)]
    named = [line.strip() for line in written if "arn:aws:" in line or "amazonaws.com" in line]
    assert named == ["Service: events.amazonaws.com"]
