"""House rules of template.yaml, checked on the output of AWS's own translator."""

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
from tests.support.policies import statements_of

SETTINGS = {
    "ExportHandler": settings.ExportHandlerSettings,
    "BulkReadSubmitter": settings.BulkReadSubmitterSettings,
    "CallbackReceiver": settings.CallbackReceiverSettings,
    "ResultDownloader": settings.ResultDownloaderSettings,
    "ExportReconciler": settings.ExportReconcilerSettings,
    "ParquetWriter": settings.ParquetWriterSettings,
}
# ListSecrets does not support resources.
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
    items = statements_of(resources, function) + statements_of(resources, function, "Deny")
    # Fn::If is [condition, statement if it holds, nothing]
    items = [item["Fn::If"][1] if "Fn::If" in item else item for item in items]
    return [item["Fn::If"][1] if "Fn::If" in item else item for item in items]


def test_template_has_the_six_functions(resources):
    assert set(functions(resources)) == set(SETTINGS)


@pytest.mark.parametrize("function", SETTINGS)
def test_handler_of_a_function_exists(template, function):
    handler = template.cloudformation["Resources"][function]["Properties"]["Handler"]
    module, _, name = handler.rpartition(".")
    source = (template.folders[function] / f"{module}.py").read_text()
    assert name in {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("function", SETTINGS)
def test_variables_of_a_function_are_the_fields_of_its_settings(resources, function):
    variables = set(functions(resources)[function]["Environment"]["Variables"])
    ours = {name for name in variables if not name.startswith(("POWERTOOLS_", "MALLOC_"))}
    assert ours == {field.name.upper() for field in fields(SETTINGS[function])}


@pytest.mark.parametrize("function", SETTINGS)
def test_handler_imports_only_third_party_packages_and_crm_export(template, function):
    tree = ast.parse((template.folders[function] / "app.py").read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    libraries = {"crm_export", "aws_lambda_powertools"} | sys.stdlib_module_names
    assert {name.partition(".")[0] for name in names} <= libraries


@pytest.mark.parametrize("function", SETTINGS)
def test_function_has_a_log_group_with_retention(resources, function):
    group = functions(resources)[function]["LoggingConfig"]["LogGroup"]["Ref"]
    assert "RetentionInDays" in resources[group]["Properties"]


@pytest.mark.parametrize("function", SETTINGS)
def test_function_runs_python_313_on_arm64_with_its_layers(resources, function):
    properties = functions(resources)[function]
    assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["arm64"])
    assert list(map(layer_of, properties["Layers"])) == [
        "DependenciesLayer",
        "CrmExportLayer",
        *(["MongoLayer if UsesMongo"] if "MONGO_URI_SECRET_ID" in variables_of(properties) else []),
        *(["ParquetLayer"] if function == "ParquetWriter" else []),
    ]


def layer_of(item):
    """Return the name of a layer in the template (the translator adds a hash to it) and its condition."""
    match item:
        case {"Fn::If": [condition, layer, {"Ref": "AWS::NoValue"}]}:
            return f"{layer_of(layer)} if {condition}"
    return re.sub(r"[0-9a-f]{10}$", "", item["Ref"])


def variables_of(properties):
    return properties["Environment"]["Variables"]


def test_layer_with_mongodb_s_driver_exists_only_for_mongodb(resources):
    (layer,) = [item for name, item in resources.items() if name.startswith("MongoLayer")]
    assert layer["Condition"] == "UsesMongo"


@pytest.mark.parametrize("function", SETTINGS)
def test_statement_has_no_wildcard_action_or_resource(resources, function):
    for statement in statements(resources, function):
        actions = set(as_list(statement["Action"]))
        assert not any("*" in action for action in actions), statement
        if statement["Effect"] == "Deny":
            continue
        if not actions <= WITHOUT_RESOURCE:
            assert "*" not in as_list(statement["Resource"]), statement


def test_role_of_a_polled_queue_is_denied_every_other_queue(resources):
    """SAM attaches a managed policy that allows every queue of the account."""
    for mapping in mappings(resources):
        function, queue = mapping["FunctionName"]["Ref"], mapping["EventSourceArn"]
        (denied,) = [item for item in statements(resources, function) if item["Sid"] == "PollNoOtherQueue"]
        assert denied["Effect"] == "Deny"
        assert denied["NotResource"] == queue
        assert set(denied["Action"]) == {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}


def test_every_statement_has_a_comment_with_its_purpose():
    text = (REPOSITORY / "template.yaml").read_text()
    lines = [line for line in text.splitlines() if re.match(r" {10,}- Sid: ", line)]
    assert len(lines) > 15
    uncommented = [line for line in lines if " # " not in line]
    obvious = {"DenyWithoutTls", "QueueQuietParts", "QueueNextPart", "QueueDownload"}
    assert {line.partition("Sid: ")[2] for line in uncommented} <= obvious


def test_visibility_timeout_is_six_times_the_timeout_of_the_function(resources):
    assert len(mappings(resources)) == 3
    for mapping in mappings(resources):
        queue = resources[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        function = functions(resources)[mapping["FunctionName"]["Ref"]]
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_consumed_queue_has_a_dead_letter_queue_with_an_alarm(resources):
    alarms = json.dumps(of_type(resources, "AWS::CloudWatch::Alarm"))
    for mapping in mappings(resources):
        queue = resources[mapping["EventSourceArn"]["Fn::GetAtt"][0]]["Properties"]
        dead = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert resources[dead]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert json.dumps({"Fn::GetAtt": [dead, "QueueName"]}) in alarms


def test_http_api_has_no_route_to_what_only_operators_see(resources):
    """Paths below /operator/ exist in the function, so no route may be greedy or catch the rest."""
    (api,) = of_type(resources, "AWS::ApiGatewayV2::Api").values()
    paths = api["Body"]["paths"]
    assert all(path.startswith("/v1/e/zoho/") and "+}" not in path for path in paths), paths


def test_functions_of_the_api_time_out_before_api_gateway(resources):
    (api,) = of_type(resources, "AWS::ApiGatewayV2::Api").values()
    text = json.dumps(api["Body"])
    behind = {name for name in functions(resources) if f"${{{name}.Arn}}" in text}
    assert behind == {"ExportHandler", "BulkReadSubmitter", "CallbackReceiver"}
    assert all(functions(resources)[name]["Timeout"] < 30 for name in behind)


def test_every_route_except_the_callback_requires_a_token(resources):
    (api,) = of_type(resources, "AWS::ApiGatewayV2::Api").values()
    routes = {
        f"{method.upper()} {path}": operation.get("security")
        for path, item in api["Body"]["paths"].items()
        for method, operation in item.items()
    }
    open_routes = {route: security for route, security in routes.items() if security != [{"Jwt": []}]}
    # Not [{"NONE": []}]: the document has no such scheme, and with FailOnWarnings the API might not deploy.
    assert open_routes == {"POST /v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}": None}
    assert len(routes) == 11
    assert api["FailOnWarnings"] is True
    assert "security" not in api["Body"]
    assert set(api["Body"]["components"]["securitySchemes"]) == {"Jwt"}


def test_results_bucket_is_private_encrypted_and_aborts_old_uploads(resources):
    (bucket,) = of_type(resources, "AWS::S3::Bucket").values()
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    algorithm = encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
    assert algorithm == {"Fn::If": ["HasKmsKey", "aws:kms", "AES256"]}
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert rules[0]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    (policy,) = of_type(resources, "AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


def test_only_the_downloader_deletes_and_only_below_exports(resources):
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
                other = {"ParquetWriter": "lake/*", "ResultDownloader": "syncs/*"}[function]
                assert statement["Condition"] == {"StringLike": {"s3:prefix": ["exports/*", other]}}
    assert deleting == {"ResultDownloader": {"Fn::Sub": "${ResultsBucket.Arn}/exports/*"}}


def test_every_allowed_result_format_has_a_content_type(template, resources):
    formats = template.cloudformation["Parameters"]["ResultFormat"]["AllowedValues"]
    assert set(formats) == set(CONTENT_TYPES) - {"ics"}
    variables = {
        name: item["Environment"]["Variables"].get("RESULT_FORMAT")
        for name, item in functions(resources).items()
    }
    assert {name for name, value in variables.items() if value} == {"BulkReadSubmitter"}


def test_table_and_bucket_survive_deletion_of_the_stack(resources):
    for name in ("ExportsTable", "ResultsBucket"):
        assert resources[name]["DeletionPolicy"] == resources[name]["UpdateReplacePolicy"] == "Retain"


def test_table_has_recovery_expiry_and_on_demand_billing(resources):
    (table,) = of_type(resources, "AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_parameter_has_description_default_and_limits(template):
    for name, parameter in template.cloudformation["Parameters"].items():
        assert parameter.get("Description"), name
        assert "Default" in parameter, name
        assert {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter), name


def test_every_parameter_is_in_one_group_of_the_console(template):
    interface = template.cloudformation["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template.cloudformation["Parameters"])


def test_callback_route_has_limits_of_its_own_that_let_a_thousand_callbacks_through_at_once(resources):
    # An account's burst is 1,250 in the newer regions, 5,000 in the others.
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    ((route, limits),) = stage["RouteSettings"].items()
    assert route == "POST /v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}"
    assert 1000 <= limits["ThrottlingBurstLimit"] <= 1250
    assert 0 < limits["ThrottlingRateLimit"] < limits["ThrottlingBurstLimit"]


def test_callback_receiver_reserves_executions_only_if_the_parameter_says_so(template, resources):
    # A new AWS account may have a quota of 10, and a fixed reservation would make its deployment fail.
    assert template.cloudformation["Parameters"]["CallbackConcurrency"]["Default"] == 0
    condition = template.cloudformation["Conditions"]["ReservesForCallbacks"]
    assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": "CallbackConcurrency"}, 0]}]}
    assert resources["CallbackReceiver"]["Properties"]["ReservedConcurrentExecutions"] == {
        "Fn::If": ["ReservesForCallbacks", {"Ref": "CallbackConcurrency"}, {"Ref": "AWS::NoValue"}]
    }


def test_callback_receiver_which_anyone_can_reach_may_not_use_the_table(resources):
    statements = [item for item in statements_of(resources, "CallbackReceiver") if "Fn::If" not in item]
    actions = {action for statement in statements for action in as_list(statement["Action"])}
    assert actions == {"secretsmanager:GetSecretValue", "sqs:SendMessage"}


def test_queue_of_all_accounts_has_ten_consumers_unless_the_quota_is_small(template, resources):
    workers = template.cloudformation["Parameters"]["WorkersPerQueue"]
    assert (workers["Default"], workers["MinValue"]) == (10, 2)
    assert len(mappings(resources)) == 3
    for mapping in mappings(resources):
        assert mapping["ScalingConfig"]["MaximumConcurrency"] == {"Ref": "WorkersPerQueue"}


def test_everything_of_the_lake_exists_only_with_its_parameter(template, resources):
    assert template.cloudformation["Parameters"]["LakeOutput"]["Default"] == "off"
    ours = {name: item for name, item in resources.items() if "Parquet" in name}
    kinds = {
        "Function",
        "LayerVersion",
        "EventSourceMapping",
        "Queue",
        "QueuePolicy",
        "Rule",
        "Alarm",
        "Role",
    }
    assert kinds <= {item["Type"].rpartition("::")[2] for item in ours.values()}
    assert {item.get("Condition") for item in ours.values()} == {"WritesParquet"}
    others = json.dumps({name: item for name, item in resources.items() if name not in ours})
    assert "Parquet" not in others


@pytest.mark.parametrize(
    ("key", "is_matched"),
    [
        ("exports/account_id=a/module=Contacts/export_id=1/manifest.json", True),
        ("exports/account_id=a/module=Contacts/export_id=1/part-00001.csv", False),
        ("lake/account_id=a/module=Contacts/export_id=1/manifest.json", False),
        ("lake/exports/manifest.json", False),
    ],
)
def test_rule_of_the_lake_matches_manifests_of_exports_only(key, is_matched, resources):
    """Otherwise the writer's own manifests would invoke it again."""
    (rule,) = of_type(resources, "AWS::Events::Rule").values()
    ((_, pattern),) = rule["EventPattern"]["detail"]["object"]["key"][0].items()
    assert bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), key)) is is_matched


def test_queue_of_the_lake_accepts_events_of_its_rule_only(resources):
    (policy,) = of_type(resources, "AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ParquetRule", "Arn"]}}}
    (rule,) = of_type(resources, "AWS::Events::Rule").values()
    (target,) = rule["Targets"]
    reached = [target["Arn"], target["DeadLetterConfig"]["Arn"]]
    assert reached == statement["Resource"]
    assert "InputTransformer" not in target
    assert "InputPath" not in target
