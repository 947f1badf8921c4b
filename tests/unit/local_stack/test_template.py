"""The template's parameters and rules are checked as CloudFormation does, and its code folders are found."""

from pathlib import Path

import pytest

from local.cloudformation.template import broken_rules, load_template
from local.host.processes import REPOSITORY, LocalStackError
from tests.support.sam_project import write_project

EQUAL = {"Fn::Equals": [{"Ref": "A"}, "x"]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a template, a function and a layer."""
    return write_project(tmp_path)


def test_translated_template_has_the_folders_of_functions_and_layers(project: Path) -> None:
    template = load_template(project / "template.yaml", {}, {"Needed": "x"})
    layer = next(name for name in template.folders if name.startswith("Shared"))
    assert template.folders == {"Worker": project / "functions/worker", layer: project / "layers/shared"}
    assert template.cloudformation["Resources"]["Worker"]["Type"] == "AWS::Lambda::Function"


def test_defaults_are_used_only_for_parameters_of_the_template(project: Path) -> None:
    defaults = {"JwtIssuer": "https://us.invalid", "Unknown": "x", "Needed": "ours"}
    template = load_template(project / "template.yaml", defaults, {"Needed": "theirs"})
    assert template.parameters == {"JwtIssuer": "https://us.invalid", "Needed": "theirs"}
    assert template.value("Needed") == "theirs"
    assert template.value("Flavour") == "plain"
    assert template.value("Unknown") is None


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({}, "parameter Needed has no default: give it with --parameter Needed="),
        ({"Needed": "x", "Nedeed": "y"}, "there is no parameter Nedeed"),
        ({"Needed": "x", "Flavour": "sweet"}, "Flavour is 'sweet', allowed: plain, spicy"),
        ({"Needed": "x", "JwtIssuer": "nobody"}, "JwtIssuer is 'nobody', which does not match"),
        ({"Needed": "x", "Size": "10"}, "Size is '10', allowed: 1 to 9"),
        ({"Needed": "x", "Size": "0"}, "Size is '0', allowed: 1 to 9"),
        ({"Needed": "x", "Size": "big"}, "Size is 'big', which is not a number"),
    ],
)
def test_parameter_that_would_not_deploy_is_refused(
    project: Path, overrides: dict[str, str], problem: str
) -> None:
    with pytest.raises(LocalStackError) as error:
        load_template(project / "template.yaml", {}, overrides)
    assert problem in str(error.value)


@pytest.mark.parametrize("size", ["1", "9"])
def test_number_at_its_limit_is_accepted(project: Path, size: str) -> None:
    assert load_template(project / "template.yaml", {}, {"Needed": "x", "Size": size})


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
def test_malformed_template_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(content)
    with pytest.raises(LocalStackError, match=problem):
        load_template(path, {}, {})


def test_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalStackError, match="there is no template at"):
        load_template(tmp_path / "template.yaml", {}, {})


def test_missing_code_folder_is_named(project: Path) -> None:
    (project / "functions/worker").rename(project / "functions/elsewhere")
    with pytest.raises(LocalStackError, match="the code of Worker should be in"):
        load_template(project / "template.yaml", {}, {"Needed": "x"})


@pytest.mark.parametrize(
    ("assertion", "true"),
    [
        (EQUAL, True),
        ({"Fn::Not": [EQUAL]}, False),
        ({"Fn::And": [EQUAL, {"Fn::Not": [EQUAL]}]}, False),
        ({"Fn::Or": [EQUAL, {"Fn::Not": [EQUAL]}]}, True),
    ],
)
def test_false_assertion_breaks_its_rule_with_its_description(assertion: dict, true: bool) -> None:
    rules = {"R": {"Assertions": [{"Assert": assertion, "AssertDescription": "A must be other"}]}}
    assert broken_rules(rules, {"A": "x"}) == ([] if true else ["A must be other"])


def test_rule_whose_condition_is_false_asserts_nothing() -> None:
    rule = {"RuleCondition": {"Fn::Not": [EQUAL]}, "Assertions": [{"Assert": {"Fn::Not": [EQUAL]}}]}
    assert broken_rules({"R": rule}, {"A": "x"}) == []


def test_unsupported_rule_function_is_refused() -> None:
    with pytest.raises(LocalStackError, match="Fn::Contains"):
        broken_rules({"R": {"Assertions": [{"Assert": {"Fn::Contains": [["x"], "x"]}}]}}, {})


def test_mongo_without_its_uri_is_refused() -> None:
    template = REPOSITORY / "template.yaml"
    with pytest.raises(LocalStackError, match="TokenStore is mongo, so MongoUriSecretArn must be set"):
        load_template(template, {}, {"TokenStore": "mongo"})
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mongo"
    assert load_template(template, {}, {"TokenStore": "mongo", "MongoUriSecretArn": arn})
