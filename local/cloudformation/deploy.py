"""Deploys a translated template: moto's CloudFormation creates most resources, and we create the others.

Our resources are taken out of moto's template. Their properties become outputs of the stack, so that moto
still resolves their intrinsic functions and conditions.
"""

import copy
import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.cloudformation.resources import API_ID, Deployment, local_queue_url, read_function, read_mapping
from local.cloudformation.template import ARTIFACTS_BUCKET, CODE_PROPERTY, Template
from local.host.aws import ACCOUNT_ID, REGION, LocalAws
from local.host.processes import LocalStackError

STACK_NAME = "zoho-crm-export"

_SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - the name of a resource type
_MAPPING = "AWS::Lambda::EventSourceMapping"
_SCHEDULE = "AWS::Scheduler::Schedule"
_ALARM = "AWS::CloudWatch::Alarm"
_ALARM_ARN = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm"
_HTTP_API = "AWS::ApiGatewayV2::Api"
# With an event source mapping, moto would invoke the function itself, in Docker, within SendMessage.
_OURS = (_SECRET, _MAPPING, _SCHEDULE, _ALARM, _HTTP_API)
# Without effect here: permissions are not enforced, moto reads a policy's Deny without its Condition, and it
# refuses a managed policy with a statement that is AWS::NoValue.
_LEFT_OUT = (
    "AWS::ApiGatewayV2::Stage",
    "AWS::IAM::ManagedPolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
)
_OUTPUT_PREFIX = "Ours"
_PLACEHOLDER_KEY = "placeholder.zip"
_REFERENCE_IN_SUB = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.([A-Za-z0-9.]+))?\}")

type Attributes = Mapping[str, Mapping[str, str]]


def deploy(template: Template, aws: LocalAws, api_url: str, stack: str = STACK_NAME) -> Deployment:
    """Deploy `template` to `aws` as a stack. Raises LocalStackError with CloudFormation's reason."""
    _upload_placeholder(aws)
    known = {
        logical_id: {"Ref": API_ID, "ApiId": API_ID, "ApiEndpoint": api_url}
        for logical_id, resource in template.cloudformation["Resources"].items()
        if resource["Type"] == _HTTP_API
    }
    known |= {
        logical_id: {"Ref": f"{stack}-{logical_id}", "Arn": f"{_ALARM_ARN}:{stack}-{logical_id}"}
        for logical_id, resource in template.cloudformation["Resources"].items()
        if resource["Type"] == _ALARM
    }
    secrets = _create_secrets(template, aws, stack)
    known |= {logical_id: {"Ref": arn, "Id": arn, "Arn": arn} for logical_id, arn in secrets.items()}
    reduced = take_out(replace_references(template.cloudformation, known))
    for resource in reduced["Resources"].values():
        if source := CODE_PROPERTY.get(resource["Type"]):
            resource["Properties"][source] = {"S3Bucket": ARTIFACTS_BUCKET, "S3Key": _PLACEHOLDER_KEY}
    outputs = _create_stack(aws, reduced, template.parameters, stack)
    _fill_secrets(secrets, _resolved(template, outputs, _SECRET), aws)
    cloudwatch = aws.client("cloudwatch")
    for logical_id, properties in _resolved(template, outputs, _ALARM).items():
        # The properties of an AWS::CloudWatch::Alarm are the arguments of PutMetricAlarm.
        cloudwatch.put_metric_alarm(**{"AlarmName": f"{stack}-{logical_id}"} | properties)
    made = _physical_ids(aws, stack)
    _enable_bucket_events(reduced["Resources"], made, aws)
    return _read_back(template, reduced["Resources"], made, aws, outputs)


def take_out(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `template` for moto, with the properties of the resources taken out as outputs."""
    reduced = copy.deepcopy(dict(template))
    outputs = reduced.setdefault("Outputs", {})
    for logical_id, resource in list(reduced["Resources"].items()):
        if resource["Type"] in _OURS:
            outputs[_OUTPUT_PREFIX + logical_id] = _as_output(resource)
        if resource["Type"] in (*_OURS, *_LEFT_OUT):
            del reduced["Resources"][logical_id]
        # It only orders resources, which moto does by their references; the resource it names may be gone.
        resource.pop("DependsOn", None)
        resource.get("Properties", {}).pop("ManagedPolicyArns", None)
    return reduced


def _as_output(resource: Mapping[str, Any]) -> dict[str, Any]:
    condition = {"Condition": resource["Condition"]} if "Condition" in resource else {}
    return {"Value": {"Fn::ToJsonString": resource.get("Properties", {})}, **condition}


def _resolved(template: Template, outputs: Mapping[str, str], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties, by logical id, of the resources of a type whose condition is true."""
    return {
        logical_id: json.loads(outputs[_OUTPUT_PREFIX + logical_id])
        for logical_id, resource in template.cloudformation["Resources"].items()
        if resource["Type"] == kind and _OUTPUT_PREFIX + logical_id in outputs
    }


def replace_references(node: Any, values: Attributes) -> Any:
    """Return `node` with every Ref, GetAtt and Sub to a resource in `values` replaced.

    `values` maps logical ids to attributes; the attribute "Ref" is the value of a plain reference.
    """
    if isinstance(node, list):
        return [replace_references(item, values) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(name := node.get("Ref"), str) and name in values:
        return values[name]["Ref"]
    if (attribute := node.get("Fn::GetAtt")) is not None:
        name, key = attribute.split(".", 1) if isinstance(attribute, str) else attribute
        return _attribute(values, name, key) if name in values else node
    if (sub := node.get("Fn::Sub")) is not None:
        return {"Fn::Sub": _replace_in_sub(sub, values)}
    return {key: replace_references(value, values) for key, value in node.items()}


def _replace_in_sub(sub: Any, values: Attributes) -> Any:
    def replace(match: re.Match[str]) -> str:
        name, key = match[1], match[2]
        return _attribute(values, name, key or "Ref") if name in values else match[0]

    if isinstance(sub, list):
        string, variables = sub
        return [_REFERENCE_IN_SUB.sub(replace, string), replace_references(variables, values)]
    return _REFERENCE_IN_SUB.sub(replace, sub)


def _attribute(values: Attributes, name: str, key: str) -> str:
    try:
        return values[name][key]
    except KeyError:
        raise LocalStackError(f"the local stack does not support the attribute {name}.{key}") from None


def _upload_placeholder(aws: LocalAws) -> None:
    """Give moto a ZIP for functions and layers. The code that runs is the one in the folders."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("README", "The local stack runs the code in the repository.\n")
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=ARTIFACTS_BUCKET)
    s3.put_object(Bucket=ARTIFACTS_BUCKET, Key=_PLACEHOLDER_KEY, Body=content.getvalue())


def _create_stack(
    aws: LocalAws, template: Mapping[str, Any], parameters: Mapping[str, str], name: str
) -> dict[str, str]:
    """Create a stack and return its outputs."""
    cloudformation = aws.client("cloudformation", read_timeout=120)
    try:
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        raise LocalStackError(f"CloudFormation refuses the template: {error}") from error
    if stack["StackStatus"] != "CREATE_COMPLETE":
        reason = stack.get("StackStatusReason", "no reason given")
        raise LocalStackError(f"CloudFormation ended with {stack['StackStatus']}: {reason}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _create_secrets(template: Template, aws: LocalAws, stack: str) -> dict[str, str]:
    """Create the template's secrets without values; returns their ARNs by logical id.

    They are created before the stack, because the functions' environments contain their ARNs.
    """
    manager = aws.client("secretsmanager")
    return {
        logical_id: manager.create_secret(Name=f"{stack}-{logical_id}")["ARN"]
        for logical_id, resource in template.cloudformation["Resources"].items()
        if resource["Type"] == _SECRET
    }


def _fill_secrets(
    secrets: Mapping[str, str], properties: Mapping[str, Mapping[str, Any]], aws: LocalAws
) -> None:
    """Give the secrets their values; delete those whose condition is false."""
    manager = aws.client("secretsmanager")
    for logical_id, arn in secrets.items():
        if logical_id not in properties:
            manager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
            continue
        value = properties[logical_id].get("SecretString")
        if value is None:
            value = _generate(manager, properties[logical_id].get("GenerateSecretString", {}))
        manager.put_secret_value(SecretId=arn, SecretString=value)


def _generate(manager: Any, options: Mapping[str, Any]) -> str:
    """Return a random password, alone or as a key of a JSON template: GenerateSecretString."""
    ours = ("SecretStringTemplate", "GenerateStringKey")
    arguments = {name: value for name, value in options.items() if name not in ours}
    password: str = manager.get_random_password(**arguments)["RandomPassword"]
    if "SecretStringTemplate" not in options:
        return password
    return json.dumps(json.loads(options["SecretStringTemplate"]) | {options["GenerateStringKey"]: password})


def _physical_ids(aws: LocalAws, stack: str) -> dict[str, str]:
    """Return the physical ids of the resources that moto created, by logical id."""
    pages = aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        item["LogicalResourceId"]: item["PhysicalResourceId"]
        for page in pages
        for item in page["StackResourceSummaries"]
    }


def _enable_bucket_events(resources: Mapping[str, Any], made: Mapping[str, str], aws: LocalAws) -> None:
    """Let buckets send events to EventBridge if the template says so; moto's CloudFormation does not."""
    for logical_id, resource in resources.items():
        notifications = resource.get("Properties", {}).get("NotificationConfiguration", {})
        if resource["Type"] == "AWS::S3::Bucket" and "EventBridgeConfiguration" in notifications:
            aws.client("s3").put_bucket_notification_configuration(
                Bucket=made[logical_id], NotificationConfiguration={"EventBridgeConfiguration": {}}
            )


def _read_back(
    template: Template,
    resources: Mapping[str, Any],
    made: Mapping[str, str],
    aws: LocalAws,
    outputs: dict[str, str],
) -> Deployment:
    """Return what was deployed, with every reference as moto's CloudFormation resolved it."""
    lambdas = aws.client("lambda")

    def made_of(kind: str) -> list[str]:
        return [name for name, resource in resources.items() if resource["Type"] == kind and name in made]

    def function(name: str) -> Any:
        return lambdas.get_function_configuration(FunctionName=made[name])

    return Deployment(
        functions={
            name: read_function(name, resources[name], function(name), template.folders, aws.url)
            for name in made_of("AWS::Lambda::Function")
        },
        mappings=[read_mapping(item) for item in _resolved(template, outputs, _MAPPING).values()],
        schedules=list(_resolved(template, outputs, _SCHEDULE).values()),
        api_bodies=[item["Body"] for item in _resolved(template, outputs, _HTTP_API).values()],
        outputs={name: value for name, value in outputs.items() if not name.startswith(_OUTPUT_PREFIX)},
        queues={name: local_queue_url(made[name], aws.url) for name in made_of("AWS::SQS::Queue")},
        not_made=[
            f"{name} ({resource['Type']})"
            for name, resource in resources.items()
            if name not in made and "Condition" not in resource
        ],
    )
