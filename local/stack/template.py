"""The SAM template: read, its parameters checked, and translated by AWS's own translator."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from local.stack.aws import REGION, closed_session
from local.stack.errors import TemplateError
from local.stack.rules import broken_rules

ARTIFACTS_BUCKET = "local-artifacts"
CODE_PROPERTY = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}
_SOURCES = ("CodeUri", "ContentUri")


@dataclass(frozen=True)
class Template:
    """A translated template, and the folder each Lambda function and layer version has its code in."""

    cloudformation: dict[str, Any]
    parameters: dict[str, str]
    folders: dict[str, Path]

    def value(self, parameter: str) -> str | None:
        """Return the value a parameter is deployed with; None where the template has no such parameter."""
        declaration = self.cloudformation.get("Parameters", {}).get(parameter, {})
        value = self.parameters.get(parameter, declaration.get("Default"))
        return None if value is None else str(value)


def load_template(path: Path, ours: Mapping[str, str], overrides: Mapping[str, str]) -> Template:
    """Read and translate the SAM template at `path`.

    `ours` are the stack's own values and are used where the template has such a parameter; `overrides` come
    from the command line and must each name one. Raises TemplateError.
    """
    try:
        sam = yaml_parse(path.read_text())
    except FileNotFoundError:
        raise TemplateError(f"there is no template at {path}") from None
    except yaml.YAMLError as error:
        raise TemplateError(f"{path.name} is not valid YAML: {error}") from error
    if not isinstance(sam, dict) or not isinstance(sam.get("Resources"), dict):
        raise TemplateError(f"{path.name} has no Resources")
    parameters = choose_parameters(sam.get("Parameters") or {}, ours, overrides)
    defaults = {name: str(item.get("Default")) for name, item in (sam.get("Parameters") or {}).items()}
    if broken := broken_rules(sam.get("Rules") or {}, defaults | parameters):
        raise TemplateError("; ".join(broken))
    _point_sources_to_s3(sam["Resources"])
    cloudformation = _translate(sam, parameters, path.name)
    return Template(cloudformation, parameters, _take_folders(cloudformation["Resources"], path.parent))


def choose_parameters(
    declared: Mapping[str, Any], ours: Mapping[str, str], overrides: Mapping[str, str]
) -> dict[str, str]:
    """Return the values to deploy with; TemplateError tells every one unknown, missing or not allowed."""
    values = {name: value for name, value in ours.items() if name in declared} | dict(overrides)
    problems = [f"there is no parameter {name}" for name in overrides if name not in declared]
    for name, declaration in declared.items():
        if name in values:
            problems += _problems_of(name, values[name], declaration)
        elif "Default" not in declaration:
            problems.append(f"parameter {name} has no default: give it with --parameter {name}=…")
    if problems:
        raise TemplateError("; ".join(problems))
    return values


def _problems_of(name: str, value: str, declaration: Mapping[str, Any]) -> list[str]:
    """Check `value` as CloudFormation does before it creates anything; moto does not."""
    allowed = declaration.get("AllowedValues")
    if allowed is not None and value not in [str(item) for item in allowed]:
        return [f"{name} is {value!r}, allowed are {', '.join(map(str, allowed))}"]
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return [f"{name} is {value!r}, which does not match {pattern}"]
    if declaration.get("Type") != "Number":
        return []
    try:
        number = float(value)
    except ValueError:
        return [f"{name} is {value!r}, which is not a number"]
    least, most = declaration.get("MinValue"), declaration.get("MaxValue")
    if (least is not None and number < float(least)) or (most is not None and number > float(most)):
        return [f"{name} is {value}, allowed is {least} to {most}"]
    return []


def _point_sources_to_s3(resources: Mapping[str, Any]) -> None:
    """Make S3 URIs of local folders, as `sam package` would; the key is the folder."""
    for resource in resources.values():
        properties = resource.get("Properties") or {}
        for source in _SOURCES:
            if isinstance(folder := properties.get(source), str) and not folder.startswith("s3://"):
                properties[source] = f"s3://{ARTIFACTS_BUCKET}/{folder.strip('/')}"


def _translate(sam: dict[str, Any], parameters: Mapping[str, str], name: str) -> dict[str, Any]:
    # An empty map of managed policies: the translator would otherwise ask IAM for them.
    translator = Translator({}, Parser(), boto_session=closed_session(REGION))
    try:
        translated: dict[str, Any] = translator.translate(sam, dict(parameters))
    except InvalidDocumentException as error:
        causes = [str(getattr(cause, "message", cause)) for cause in error.causes]
        raise TemplateError("\n  ".join([f"{name} is not valid SAM:", *causes])) from error
    return translated


def _take_folders(resources: Mapping[str, Any], root: Path) -> dict[str, Path]:
    folders = {}
    for logical_id, resource in resources.items():
        source = CODE_PROPERTY.get(resource["Type"])
        location = resource["Properties"].get(source, {}) if source else {}
        if location.get("S3Bucket") == ARTIFACTS_BUCKET:
            folders[logical_id] = folder = (root / location["S3Key"]).resolve()
            if not folder.is_dir():
                raise TemplateError(f"the code of {logical_id} should be in {folder}, which is not a folder")
    return folders
