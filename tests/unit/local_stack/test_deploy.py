"""Resources that moto cannot create are taken out of its template, with all references to them."""

import pytest

from local.cloudformation.deploy import replace_references, take_out
from local.host.processes import LocalStackError

VALUES = {
    "Secret": {"Ref": "arn:secret", "Id": "arn:secret"},
    "Api": {"Ref": "a1", "ApiEndpoint": "http://x"},
}

pytestmark = pytest.mark.process


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
def test_reference_to_a_known_resource_is_replaced(node: object, replaced: object) -> None:
    assert replace_references(node, VALUES) == replaced


def test_unsupported_attribute_is_refused() -> None:
    with pytest.raises(LocalStackError, match="Api.DomainName"):
        replace_references({"Fn::GetAtt": ["Api", "DomainName"]}, VALUES)


TEMPLATE = {
    "Parameters": {"P": {"Type": "String"}},
    "Conditions": {"C": True},
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": "Api"},
        "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": {}},
        "Shared": {"Type": "AWS::IAM::ManagedPolicy", "Properties": {}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"ManagedPolicyArns": [{"Ref": "Shared"}]}},
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


def test_resources_taken_out_become_outputs_with_their_conditions() -> None:
    reduced = take_out(TEMPLATE)
    assert reduced["Resources"] == {
        "Queue": {"Type": "AWS::SQS::Queue"},  # without DependsOn
        "Role": {"Type": "AWS::IAM::Role", "Properties": {}},  # without the policy that was taken out
    }
    assert reduced["Outputs"] == {
        "OursMapping": {"Value": {"Fn::ToJsonString": {"EventSourceArn": {"Ref": "Queue"}}}},
        "OursSecret": {"Value": {"Fn::ToJsonString": {"SecretString": "x"}}, "Condition": "C"},
    }
    assert TEMPLATE["Resources"]["Queue"]["DependsOn"] == "Api", "the template itself is not changed"
