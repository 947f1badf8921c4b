"""The SAM template: loaded, its parameters and rules checked, and translated by AWS's own translator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

from local.cloudformation.translation import translate
from local.host.processes import LocalStackError

ARTIFACTS_BUCKET = "local-artifacts"
CODE_PROPERTY = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}


class _Loader(yaml.CSafeLoader):
    """YAML's loader in C, with CloudFormation's short forms: eight times as fast as the translator's own."""


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


@dataclass(frozen=True)
class Template:
    """A translated template, and the code folder of each Lambda function and layer version."""

    cloudformation: dict[str, Any]
    parameters: dict[str, str]
    folders: dict[str, Path]

    def value(self, parameter: str) -> str | None:
        """Return the value a parameter is deployed with, or None if the template has no such parameter."""
        declaration = self.cloudformation.get("Parameters", {}).get(parameter, {})
        value = self.parameters.get(parameter, declaration.get("Default"))
        return None if value is None else str(value)


def load_template(path: Path, defaults: Mapping[str, str], overrides: Mapping[str, str]) -> Template:
    """Load and translate the SAM template at `path`.

    `defaults` are the stack's own values, used for the parameters that the template has. `overrides` come
    from the command line, and each must name a parameter. Raises LocalStackError.
    """
    try:
        sam = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 # nosec B506 # a safe loader
    except FileNotFoundError:
        raise LocalStackError(f"there is no template at {path}") from None
    except yaml.YAMLError as error:
        raise LocalStackError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(sam, dict) or not isinstance(sam.get("Resources"), dict):
        raise LocalStackError(f"{path.name} has no Resources")
    declared = sam.get("Parameters") or {}
    parameters = choose_parameters(declared, defaults, overrides)
    values = {name: str(item.get("Default")) for name, item in declared.items()} | parameters
    if broken := broken_rules(sam.get("Rules") or {}, values):
        raise LocalStackError("; ".join(broken))
    _point_sources_to_s3(sam["Resources"])
    cloudformation = translate(sam, parameters, path.name)
    return Template(cloudformation, parameters, _code_folders(cloudformation["Resources"], path.parent))


def choose_parameters(
    declared: Mapping[str, Any], defaults: Mapping[str, str], overrides: Mapping[str, str]
) -> dict[str, str]:
    """Return the values to deploy with. Raises one LocalStackError that lists all problems."""
    values = {name: value for name, value in defaults.items() if name in declared} | dict(overrides)
    problems = [f"there is no parameter {name}" for name in overrides if name not in declared]
    for name, declaration in declared.items():
        if name not in values:
            if "Default" not in declaration:
                problems.append(f"parameter {name} has no default: give it with --parameter {name}=…")
        elif reason := _refusal(values[name], declaration):
            problems.append(f"{name} is {values[name]!r}, {reason}")
    if problems:
        raise LocalStackError("; ".join(problems))
    return values


def _refusal(value: str, declaration: Mapping[str, Any]) -> str | None:
    """Return why CloudFormation would refuse `value`, or None. moto does not check parameters."""
    allowed = declaration.get("AllowedValues")
    if allowed is not None and value not in map(str, allowed):
        return f"allowed: {', '.join(map(str, allowed))}"
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return f"which does not match {pattern}"
    if declaration.get("Type") != "Number":
        return None
    try:
        number = float(value)
    except ValueError:
        return "which is not a number"
    least, most = declaration.get("MinValue", "-inf"), declaration.get("MaxValue", "inf")
    return None if float(least) <= number <= float(most) else f"allowed: {least} to {most}"


def broken_rules(rules: Mapping[str, Any], parameters: Mapping[str, str]) -> list[str]:
    """Return the descriptions of the assertions that are false in the rules that apply.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
    """
    return [
        str(assertion.get("AssertDescription", f"an assertion of rule {name} is false"))
        for name, rule in rules.items()
        if _is_true(rule.get("RuleCondition", True), parameters)
        for assertion in rule["Assertions"]
        if not _is_true(assertion["Assert"], parameters)
    ]


def _is_true(node: Any, parameters: Mapping[str, str]) -> bool:
    match node:
        case bool():
            return node
        case {"Fn::Equals": [left, right]}:
            return _operand(left, parameters) == _operand(right, parameters)
        case {"Fn::Not": [inner]}:
            return not _is_true(inner, parameters)
        case {"Fn::And": list(members)}:
            return all(_is_true(member, parameters) for member in members)
        case {"Fn::Or": list(members)}:
            return any(_is_true(member, parameters) for member in members)
    raise LocalStackError(f"the local stack does not support this part of a rule: {node}")


def _operand(node: Any, parameters: Mapping[str, str]) -> str:
    return parameters[node["Ref"]] if isinstance(node, dict) and "Ref" in node else str(node)


def _point_sources_to_s3(resources: Mapping[str, Any]) -> None:
    """Replace local folders by S3 URIs, as `sam package` does. The key is the folder."""
    for resource in resources.values():
        properties = resource.get("Properties") or {}
        for source in ("CodeUri", "ContentUri"):
            if isinstance(folder := properties.get(source), str) and not folder.startswith("s3://"):
                properties[source] = f"s3://{ARTIFACTS_BUCKET}/{folder.strip('/')}"


def _code_folders(resources: Mapping[str, Any], root: Path) -> dict[str, Path]:
    folders = {}
    for logical_id, resource in resources.items():
        source = CODE_PROPERTY.get(resource["Type"])
        location = resource["Properties"].get(source, {}) if source else {}
        if location.get("S3Bucket") == ARTIFACTS_BUCKET:
            folders[logical_id] = folder = (root / location["S3Key"]).resolve()
            if not folder.is_dir():
                raise LocalStackError(
                    f"the code of {logical_id} should be in {folder}, which is not a folder"
                )
    return folders
