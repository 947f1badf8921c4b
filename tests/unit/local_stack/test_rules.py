"""The template's Rules, as CloudFormation checks them before it creates anything."""

import pytest

from local.stack.errors import TemplateError
from local.stack.processes import REPOSITORY
from local.stack.rules import broken_rules
from local.stack.template import load_template

EQUAL = {"Fn::Equals": [{"Ref": "A"}, "x"]}


@pytest.mark.parametrize(
    ("assertion", "holds"),
    [
        (EQUAL, True),
        ({"Fn::Not": [EQUAL]}, False),
        ({"Fn::And": [EQUAL, {"Fn::Not": [EQUAL]}]}, False),
        ({"Fn::Or": [EQUAL, {"Fn::Not": [EQUAL]}]}, True),
    ],
)
def test_an_assertion_holds_or_says_why_not(assertion, holds):
    rules = {"R": {"Assertions": [{"Assert": assertion, "AssertDescription": "A must be other"}]}}
    assert broken_rules(rules, {"A": "x"}) == ([] if holds else ["A must be other"])


def test_a_rule_whose_condition_does_not_hold_asserts_nothing():
    rule = {"RuleCondition": {"Fn::Not": [EQUAL]}, "Assertions": [{"Assert": {"Fn::Not": [EQUAL]}}]}
    assert broken_rules({"R": rule}, {"A": "x"}) == []


def test_what_is_not_known_is_an_error_and_no_pass():
    with pytest.raises(TemplateError, match="Fn::Contains"):
        broken_rules({"R": {"Assertions": [{"Assert": {"Fn::Contains": [["x"], "x"]}}]}}, {})


def test_mongo_without_its_uri_is_refused():
    template = REPOSITORY / "template.yaml"
    with pytest.raises(TemplateError, match="TokenStore is mongo, so MongoUriSecretArn must be set"):
        load_template(template, {}, {"TokenStore": "mongo"})
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:mongo"
    assert load_template(template, {}, {"TokenStore": "mongo", "MongoUriSecretArn": arn})
