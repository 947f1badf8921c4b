"""From the SAM template to resources: moto's CloudFormation makes what it can, the adapters do the rest."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local.stack import adapters
from local.stack.aws import LocalAws
from local.stack.errors import TemplateError
from local.stack.functions import Function, QueueMapping, local_queue_url, read_function, read_mapping
from local.stack.template import ARTIFACTS_BUCKET, CODE_PROPERTY, Template

STACK_NAME = "zoho-crm-export"
_API_ID = "local0api0"
_PLACEHOLDER_KEY = "placeholder.zip"


@dataclass(frozen=True)
class Deployment:
    """All the stack has to know of what was deployed."""

    functions: dict[str, Function]
    mappings: list[QueueMapping]
    schedules: list[dict[str, Any]]
    api_bodies: list[dict[str, Any]]
    outputs: dict[str, str]
    queues: dict[str, str]
    not_made: list[str]


def deploy(template: Template, aws: LocalAws, api_url: str) -> Deployment:
    """Deploy `template` to `aws`; TemplateError carries what CloudFormation says against it."""
    _upload_placeholder(aws)
    secrets = _create_secrets(template, aws)
    known = {logical_id: {"Ref": arn, "Id": arn, "Arn": arn} for logical_id, arn in secrets.items()} | {
        logical_id: {"Ref": _API_ID, "ApiId": _API_ID, "ApiEndpoint": api_url}
        for logical_id, resource in template.cloudformation["Resources"].items()
        if resource["Type"] == adapters.HTTP_API
    }
    adapted = adapters.take_out(adapters.replace_references(template.cloudformation, known))
    for resource in adapted.cloudformation["Resources"].values():
        if source := CODE_PROPERTY.get(resource["Type"]):
            resource["Properties"][source] = {"S3Bucket": ARTIFACTS_BUCKET, "S3Key": _PLACEHOLDER_KEY}
    outputs = _create_stack(aws, STACK_NAME, adapted.cloudformation, template.parameters)
    _create_alarms(adapted, aws, outputs)
    return _read_back(template, adapted, aws, outputs)


def _upload_placeholder(aws: LocalAws) -> None:
    """Give moto a ZIP to make functions and layers of; the code that runs is the folders' own."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("README", "The local stack runs the code in the repository.\n")
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=ARTIFACTS_BUCKET)
    s3.put_object(Bucket=ARTIFACTS_BUCKET, Key=_PLACEHOLDER_KEY, Body=content.getvalue())


def _create_stack(
    aws: LocalAws, name: str, template: Mapping[str, Any], parameters: Mapping[str, str]
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
        raise TemplateError(f"CloudFormation refuses the template: {error}") from error
    if stack["StackStatus"] != "CREATE_COMPLETE":
        reason = stack.get("StackStatusReason", "no reason given")
        raise TemplateError(f"CloudFormation ended with {stack['StackStatus']}: {reason}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _create_secrets(template: Template, aws: LocalAws) -> dict[str, str]:
    """Make the template's secrets; returns logical id → ARN."""
    prelude = adapters.secrets_only(template.cloudformation)
    if not prelude["Outputs"]:
        return {}
    manager = aws.client("secretsmanager")
    arns = {}
    for output, value in _create_stack(aws, f"{STACK_NAME}-secrets", prelude, template.parameters).items():
        properties = json.loads(value)
        logical_id = output.removeprefix(adapters.output_name(""))
        text = properties.get("SecretString")
        if text is None:
            text = _generate(manager, properties.get("GenerateSecretString", {}))
        name = properties.get("Name", f"{STACK_NAME}-{logical_id}")
        arns[logical_id] = manager.create_secret(Name=name, SecretString=text)["ARN"]
    return arns


def _generate(manager: Any, options: Mapping[str, Any]) -> str:
    """Do GenerateSecretString: a random password, alone or as a key of a JSON template."""
    own = ("SecretStringTemplate", "GenerateStringKey")
    password: str = manager.get_random_password(
        **{name: value for name, value in options.items() if name not in own}
    )["RandomPassword"]
    if "SecretStringTemplate" not in options:
        return password
    return json.dumps(json.loads(options["SecretStringTemplate"]) | {options["GenerateStringKey"]: password})


def _create_alarms(adapted: adapters.Adapted, aws: LocalAws, outputs: Mapping[str, str]) -> None:
    """Make the alarms: a property of an AWS::CloudWatch::Alarm is an argument of PutMetricAlarm."""
    cloudwatch = aws.client("cloudwatch")
    for logical_id, properties in _resolved(adapted, outputs, adapters.ALARM).items():
        cloudwatch.put_metric_alarm(**({"AlarmName": f"{STACK_NAME}-{logical_id}"} | properties))


def _resolved(adapted: adapters.Adapted, outputs: Mapping[str, str], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of the `kind` that was taken out, but for those whose condition is false."""
    names = {logical_id: adapters.output_name(logical_id) for logical_id in adapted.taken.get(kind, {})}
    return {logical_id: json.loads(outputs[name]) for logical_id, name in names.items() if name in outputs}


def _read_back(
    template: Template, adapted: adapters.Adapted, aws: LocalAws, outputs: dict[str, str]
) -> Deployment:
    """Read from moto what its CloudFormation made of every reference."""
    cloudformation = aws.client("cloudformation")
    made: dict[str, str] = {}
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK_NAME):
        made |= {
            item["LogicalResourceId"]: item["PhysicalResourceId"] for item in page["StackResourceSummaries"]
        }
    resources = adapted.cloudformation["Resources"]
    lambdas = aws.client("lambda")
    functions = {
        logical_id: read_function(
            logical_id,
            resource,
            lambdas.get_function_configuration(FunctionName=made[logical_id]),
            template.folders,
            aws.url,
        )
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Function" and logical_id in made
    }

    return Deployment(
        functions=functions,
        mappings=[
            read_mapping(properties) for properties in _resolved(adapted, outputs, adapters.MAPPING).values()
        ],
        schedules=list(_resolved(adapted, outputs, adapters.SCHEDULE).values()),
        api_bodies=[
            properties["Body"] for properties in _resolved(adapted, outputs, adapters.HTTP_API).values()
        ],
        outputs={
            key: value for key, value in outputs.items() if not key.startswith(adapters.output_name(""))
        },
        queues={
            logical_id: local_queue_url(made[logical_id], aws.url)
            for logical_id, resource in resources.items()
            if resource["Type"] == "AWS::SQS::Queue" and logical_id in made
        },
        not_made=[
            f"{logical_id} ({resource['Type']})"
            for logical_id, resource in resources.items()
            if logical_id not in made and "Condition" not in resource
        ],
    )
