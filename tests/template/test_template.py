"""House rules of template.yaml, checked on what AWS's own translator makes of it."""

import ast
import json
import re
import sys
from dataclasses import fields

import pytest

from crm_export import settings
from crm_export.aws.results_bucket import CONTENT_TYPES
from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY

SETTINGS = {
    "ExportHandler": settings.ExportHandlerSettings,
    "BulkReadSubmitter": settings.BulkReadSubmitterSettings,
    "CallbackReceiver": settings.CallbackReceiverSettings,
    "ResultDownloader": settings.ResultDownloaderSettings,
    "ExportReconciler": settings.ExportReconcilerSettings,
}
# ListSecrets knows no resources; AWS's managed policies and X-Ray are not ours.
WITHOUT_RESOURCE = {"secretsmanager:ListSecrets"}


@pytest.fixture(scope="module")
def template():
    return load_template(REPOSITORY / "template.yaml", {}, {})


@pytest.fixture(scope="module")
def resources(template):
    return template.cloudformation["Resources"]


def of_type(resources, kind):
    return {name: item["Properties"] for name, item in resources.items() if item["Type"] == kind}


def functions(resources):
    return of_type(resources, "AWS::Lambda::Function")


def mappings(resources):
    return of_type(resources, "AWS::Lambda::EventSourceMapping").values()


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(resources, function):
    role = resources[f"{function}Role"]["Properties"]
    items = [item for policy in role["Policies"] for item in policy["PolicyDocument"]["Statement"]]
    # [condition, statement where it holds, nothing]
    return [item["Fn::If"][1] if "Fn::If" in item else item for item in items]


def test_there_are_the_five_functions(resources):
    assert set(functions(resources)) == set(SETTINGS)


@pytest.mark.parametrize("function", SETTINGS)
def test_the_handler_exists(template, function):
    handler = template.cloudformation["Resources"][function]["Properties"]["Handler"]
    module, _, name = handler.rpartition(".")
    source = (template.folders[function] / f"{module}.py").read_text()
    assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("function", SETTINGS)
def test_its_variables_are_the_fields_of_its_settings(resources, function):
    variables = set(functions(resources)[function]["Environment"]["Variables"])
    ours = {name for name in variables if not name.startswith(("POWERTOOLS_", "MALLOC_"))}
    assert ours == {field.name.upper() for field in fields(SETTINGS[function])}


@pytest.mark.parametrize("function", SETTINGS)
def test_a_handler_imports_only_libraries_and_the_package(template, function):
    tree = ast.parse((template.folders[function] / "app.py").read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    libraries = {"crm_export", "aws_lambda_powertools"} | sys.stdlib_module_names
    assert {name.partition(".")[0] for name in names} <= libraries


@pytest.mark.parametrize("function", SETTINGS)
def test_it_has_a_log_group_with_retention(resources, function):
    group = functions(resources)[function]["LoggingConfig"]["LogGroup"]["Ref"]
    assert "RetentionInDays" in resources[group]["Properties"]


@pytest.mark.parametrize("function", SETTINGS)
def test_it_is_python_313_on_arm64_with_both_layers(resources, function):
    properties = functions(resources)[function]
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])
    layers = [re.sub(r"[0-9a-f]{10}$", "", layer["Ref"]) for layer in properties["Layers"]]
    assert layers == ["DependenciesLayer", "CrmExportLayer"]


@pytest.mark.parametrize("function", SETTINGS)
def test_no_statement_allows_everything(resources, function):
    for statement in statements(resources, function):
        actions = set(as_list(statement["Action"]))
        assert not any("*" in action for action in actions), statement
        if statement["Effect"] == "Deny":
            continue
        if not actions <= WITHOUT_RESOURCE:
            assert "*" not in as_list(statement["Resource"]), statement


def test_who_polls_a_queue_can_reach_no_other(resources):
    """SAM gives a queue's function AWS's managed policy, which allows every queue of the account."""
    for mapping in mappings(resources):
        function, queue = mapping["FunctionName"]["Ref"], mapping["EventSourceArn"]
        (denied,) = [item for item in statements(resources, function) if item["Effect"] == "Deny"]
        assert denied["NotResource"] == queue
        assert set(denied["Action"]) == {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
    others = set(SETTINGS) - {mapping["FunctionName"]["Ref"] for mapping in mappings(resources)}
    assert all(item["Effect"] == "Allow" for name in others for item in statements(resources, name))


def test_every_statement_says_in_a_comment_what_it_is_for():
    text = (REPOSITORY / "template.yaml").read_text()
    lines = [line for line in text.splitlines() if re.match(r" {12,}- Sid: ", line)]
    assert len(lines) > 15
    uncommented = [line for line in lines if " # " not in line]
    obvious = {"QueueQuietParts", "QueueNextPart", "QueueDownload"}
    assert {line.partition("Sid: ")[2] for line in uncommented} <= obvious


def test_a_queue_waits_six_times_as_long_as_its_function(resources):
    assert len(mappings(resources)) == 2
    for mapping in mappings(resources):
        queue = resources[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        function = functions(resources)[mapping["FunctionName"]["Ref"]]
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_every_queue_with_a_consumer_has_a_dead_letter_queue_with_an_alarm(resources):
    alarms = json.dumps(of_type(resources, "AWS::CloudWatch::Alarm"))
    for mapping in mappings(resources):
        queue = resources[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert resources[dead]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert json.dumps({"Fn::GetAtt": [dead, "QueueName"]}) in alarms


def test_functions_behind_the_api_end_before_it_gives_up(resources):
    (api,) = of_type(resources, "AWS::ApiGatewayV2::Api").values()
    text = json.dumps(api["Body"])
    behind = {name for name in functions(resources) if f"${{{name}.Arn}}" in text}
    assert behind == {"ExportHandler", "BulkReadSubmitter", "CallbackReceiver"}
    assert all(functions(resources)[name]["Timeout"] < 30 for name in behind)


def test_every_route_but_the_callback_wants_a_token(resources):
    (api,) = of_type(resources, "AWS::ApiGatewayV2::Api").values()
    routes = {
        f"{method.upper()} {path}": operation.get("security")
        for path, item in api["Body"]["paths"].items()
        for method, operation in item.items()
    }
    open_routes = {route for route, security in routes.items() if security != [{"Jwt": []}]}
    assert open_routes == {"POST /v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}"}
    assert len(routes) == 5


def test_the_results_bucket_is_private_encrypted_and_cleans_up(resources):
    (bucket,) = of_type(resources, "AWS::S3::Bucket").values()
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert rules[0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    (policy,) = of_type(resources, "AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


def test_who_deletes_results_can_reach_no_other_objects(resources):
    bucket = {"Fn::GetAtt": ["ResultsBucket", "Arn"]}
    deleting = {}
    for function in SETTINGS:
        for statement in statements(resources, function):
            actions = set(as_list(statement["Action"]))
            if "s3:DeleteObject" in actions:
                deleting[function] = statement["Resource"]
            if "s3:ListBucket" in actions:
                assert actions == {"s3:ListBucket"}
                assert statement["Resource"] == bucket
                assert statement["Condition"] == {"StringLike": {"s3:prefix": "exports/*"}}
    assert deleting == {"ResultDownloader": {"Fn::Sub": "${ResultsBucket.Arn}/exports/*"}}


def test_every_result_format_can_be_stored(template, resources):
    formats = template.cloudformation["Parameters"]["ResultFormat"]["AllowedValues"]
    assert set(formats) == set(CONTENT_TYPES) - {"ics"}
    variables = {
        name: item["Environment"]["Variables"].get("RESULT_FORMAT")
        for name, item in functions(resources).items()
    }
    assert {name for name, value in variables.items() if value} == {"BulkReadSubmitter"}


def test_what_holds_data_survives_the_stack(resources):
    for name in ("ExportsTable", "ResultsBucket"):
        assert resources[name]["DeletionPolicy"] == resources[name]["UpdateReplacePolicy"] == "Retain"


def test_the_table_recovers_expires_and_costs_nothing_at_rest(resources):
    (table,) = of_type(resources, "AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_every_parameter_is_described_bounded_and_has_a_default_that_fits(template):
    for name, parameter in template.cloudformation["Parameters"].items():
        assert parameter.get("Description"), name
        assert "Default" in parameter, name
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter), name


def test_parameters_are_grouped_for_the_console(template):
    interface = template.cloudformation["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template.cloudformation["Parameters"])
