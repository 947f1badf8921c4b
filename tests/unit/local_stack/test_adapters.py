"""What moto cannot make is taken out, and nothing left refers to it."""

import pytest

from local.stack.adapters import replace_references, secrets_only, take_out
from local.stack.errors import TemplateError

VALUES = {
    "Secret": {"Ref": "arn:secret", "Id": "arn:secret"},
    "Api": {"Ref": "a1", "ApiEndpoint": "http://x"},
}


@pytest.mark.parametrize(
    ("node", "replaced"),
    [
        ({"Ref": "Secret"}, "arn:secret"),
        ({"Ref": "Queue"}, {"Ref": "Queue"}),
        ({"Fn::GetAtt": ["Secret", "Id"]}, "arn:secret"),
        ({"Fn::GetAtt": "Api.ApiEndpoint"}, "http://x"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, {"Fn::GetAtt": ["Queue", "Arn"]}),
        ({"Fn::Sub": "${Api}.${AWS::Region}/${Queue.Arn}"}, {"Fn::Sub": "a1.${AWS::Region}/${Queue.Arn}"}),
        (
            {"Fn::Sub": ["${Api.ApiEndpoint}/${X}", {"X": {"Ref": "Api"}}]},
            {"Fn::Sub": ["http://x/${X}", {"X": "a1"}]},
        ),
        ([{"a": {"Fn::Join": ["/", [{"Ref": "Api"}]]}}], [{"a": {"Fn::Join": ["/", ["a1"]]}}]),
    ],
)
def test_references_to_what_we_made_are_replaced(node: object, replaced: object) -> None:
    assert replace_references(node, VALUES) == replaced


def test_an_attribute_we_do_not_have_is_an_error() -> None:
    with pytest.raises(TemplateError, match="Api.DomainName"):
        replace_references({"Fn::GetAtt": ["Api", "DomainName"]}, VALUES)


TEMPLATE = {
    "Parameters": {"P": {"Type": "String"}},
    "Conditions": {"C": True},
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": "Api"},
        "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": {}},
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {"EventSourceArn": {"Ref": "Queue"}},
        },
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Condition": "C",
            "Properties": {"SecretString": "x"},
        },
    },
}


def test_mappings_are_taken_out_and_their_properties_become_outputs() -> None:
    adapted = take_out(TEMPLATE)
    assert list(adapted.cloudformation["Resources"]) == ["Queue"]
    assert "DependsOn" not in adapted.cloudformation["Resources"]["Queue"]
    assert list(adapted.taken["AWS::Lambda::EventSourceMapping"]) == ["Mapping"]
    assert adapted.cloudformation["Outputs"]["OursMapping"] == {
        "Value": {"Fn::ToJsonString": {"EventSourceArn": {"Ref": "Queue"}}}
    }
    assert TEMPLATE["Resources"]["Queue"]["DependsOn"] == "Api", "the template itself is not changed"


def test_secrets_come_first_with_parameters_and_conditions() -> None:
    prelude = secrets_only(TEMPLATE)
    assert prelude["Resources"] == {}
    assert prelude["Parameters"] == TEMPLATE["Parameters"]
    assert prelude["Outputs"] == {
        "OursSecret": {"Value": {"Fn::ToJsonString": {"SecretString": "x"}}, "Condition": "C"}
    }
