"""What moto's CloudFormation cannot make is taken out of the translated template here, to be done by us."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.stack.errors import TemplateError

SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - the name of a resource type
MAPPING = "AWS::Lambda::EventSourceMapping"
SCHEDULE = "AWS::Scheduler::Schedule"
ALARM = "AWS::CloudWatch::Alarm"
HTTP_API = "AWS::ApiGatewayV2::Api"

# moto lets a queue's mapping invoke the function itself, in Docker, within SendMessage: hence MAPPING.
_OURS = {SECRET, MAPPING, SCHEDULE, HTTP_API, ALARM}
# Without effect here: permissions are not enforced, and moto reads a policy's Deny without its Condition.
_WITHOUT_EFFECT = {
    "AWS::ApiGatewayV2::Stage",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
}
_REFERENCE_IN_SUB = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.([A-Za-z0-9.]+))?\}")
_OUTPUT = "Ours"


@dataclass
class Adapted:
    """A CloudFormation template for moto, and by type and logical id the resources it is without.

    The template's outputs carry the properties of those resources, so that moto resolves their intrinsic
    functions and conditions: `resolve` reads them back.
    """

    cloudformation: dict[str, Any]
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)


def take_out(template: Mapping[str, Any]) -> Adapted:
    """Split `template` into what moto creates and what we do."""
    adapted = Adapted(copy.deepcopy(dict(template)))
    resources = adapted.cloudformation["Resources"]
    outputs = adapted.cloudformation.setdefault("Outputs", {})
    for logical_id, resource in list(resources.items()):
        if resource["Type"] in _OURS | _WITHOUT_EFFECT:
            del resources[logical_id]
        if resource["Type"] in _OURS:
            adapted.taken.setdefault(resource["Type"], {})[logical_id] = resource
            outputs[_OUTPUT + logical_id] = _as_output(resource)
        # Only order, which moto finds by references; what it names may be gone.
        resource.pop("DependsOn", None)
    return adapted


def secrets_only(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template without resources whose outputs are the properties of `template`'s secrets.

    The secrets have to be there before the rest: the functions' environments name their ARNs.
    """
    secrets = {
        _OUTPUT + logical_id: _as_output(resource)
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == SECRET
    }
    sections = ("Parameters", "Conditions", "Mappings")
    return {
        **{section: template[section] for section in sections if section in template},
        "Resources": {},
        "Outputs": secrets,
    }


def _as_output(resource: Mapping[str, Any]) -> dict[str, Any]:
    output: dict[str, Any] = {"Value": {"Fn::ToJsonString": resource.get("Properties", {})}}
    if "Condition" in resource:
        output["Condition"] = resource["Condition"]
    return output


def output_name(logical_id: str) -> str:
    """Return the name of the output that carries the properties of a resource that was taken out."""
    return _OUTPUT + logical_id


def replace_references(node: Any, values: Mapping[str, Mapping[str, str]]) -> Any:
    """Return `node` with every Ref, GetAtt and Sub to a resource in `values` replaced.

    `values` maps a logical id to its attributes; "Ref" is the one of a plain reference.
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
    if (text := node.get("Fn::Sub")) is not None:
        return {"Fn::Sub": _replace_in_sub(text, values)}
    return {key: replace_references(value, values) for key, value in node.items()}


def _replace_in_sub(text: Any, values: Mapping[str, Mapping[str, str]]) -> Any:
    def replace(match: re.Match[str]) -> str:
        name, key = match[1], match[2]
        return _attribute(values, name, key or "Ref") if name in values else match[0]

    if isinstance(text, list):
        template, variables = text
        return [_REFERENCE_IN_SUB.sub(replace, template), replace_references(variables, values)]
    return _REFERENCE_IN_SUB.sub(replace, text)


def _attribute(values: Mapping[str, Mapping[str, str]], name: str, key: str) -> str:
    try:
        return values[name][key]
    except KeyError:
        raise TemplateError(f"the local stack does not know the attribute {name}.{key}") from None
