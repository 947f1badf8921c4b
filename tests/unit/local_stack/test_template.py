"""The template's parameters are checked as CloudFormation does, and its code folders are found."""

from pathlib import Path

import pytest

from local.stack.errors import TemplateError
from local.stack.template import load_template


def test_functions_and_layers_are_found_in_the_translated_template(project: Path) -> None:
    template = load_template(project / "template.yaml", {}, {"Needed": "x"})
    layer = next(name for name in template.folders if name.startswith("Shared"))
    assert template.folders == {"Worker": project / "functions/worker", layer: project / "layers/shared"}
    assert template.cloudformation["Resources"]["Worker"]["Type"] == "AWS::Lambda::Function"


def test_our_own_values_are_used_only_where_the_template_has_the_parameter(project: Path) -> None:
    ours = {"JwtIssuer": "https://us.invalid", "Unknown": "x", "Needed": "ours"}
    template = load_template(project / "template.yaml", ours, {"Needed": "theirs"})
    assert template.parameters == {"JwtIssuer": "https://us.invalid", "Needed": "theirs"}
    assert template.value("Needed") == "theirs"
    assert template.value("Flavour") == "plain"
    assert template.value("Unknown") is None


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({}, "parameter Needed has no default: give it with --parameter Needed="),
        ({"Needed": "x", "Nedeed": "y"}, "there is no parameter Nedeed"),
        ({"Needed": "x", "Flavour": "sweet"}, "Flavour is 'sweet', allowed are plain, spicy"),
        ({"Needed": "x", "JwtIssuer": "nobody"}, "JwtIssuer is 'nobody', which does not match"),
        ({"Needed": "x", "Size": "10"}, "Size is 10, allowed is 1 to 9"),
        ({"Needed": "x", "Size": "big"}, "Size is 'big', which is not a number"),
    ],
)
def test_a_parameter_that_would_not_deploy_is_named(
    project: Path, overrides: dict[str, str], problem: str
) -> None:
    with pytest.raises(TemplateError) as error:
        load_template(project / "template.yaml", {}, overrides)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("Resources: [", "not valid YAML"),
        ("Outputs: {}", "has no Resources"),
        (
            "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {Runtime: python3.13}}}",
            "not valid SAM",
        ),
    ],
)
def test_a_template_that_is_not_one_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(content)
    with pytest.raises(TemplateError, match=problem):
        load_template(path, {}, {})


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="there is no template at"):
        load_template(tmp_path / "template.yaml", {}, {})


def test_code_that_is_not_there_is_named(project: Path) -> None:
    (project / "functions/worker").rename(project / "functions/elsewhere")
    with pytest.raises(TemplateError, match="the code of Worker should be in"):
        load_template(project / "template.yaml", {}, {"Needed": "x"})
