"""Translations are kept, and are right for other ports than those they were made with."""

import json

import pytest

from local.cloudformation.template import load_template
from local.cloudformation.translation import translate
from local.host.processes import REPOSITORY, LocalStackError

SAM = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Parameters": {"ApiUrl": {"Type": "String"}},
    "Resources": {
        "Table": {"Type": "AWS::Serverless::SimpleTable"},
        "Function": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.13", "Handler": "app.handler", "CodeUri": "s3://bucket/key",
                "Environment": {"Variables": {"URL": {"Ref": "ApiUrl"}}},
            },
        },
    },
}  # fmt: skip


def test_kept_translation_has_the_urls_of_this_start(tmp_path):
    first = translate(SAM, {"ApiUrl": "http://127.0.0.1:1"}, "t", tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_text(
        kept.read_text()
        .replace("python3.13", "as it was kept")
        .replace('"app.handler"', '"https://apiurl.parameter.invalid"')
    )
    second = translate(SAM, {"ApiUrl": "http://127.0.0.1:2"}, "t", tmp_path)
    assert first["Resources"]["Function"]["Properties"]["Runtime"] == "python3.13"
    properties = second["Resources"]["Function"]["Properties"]
    assert (properties["Runtime"], properties["Handler"]) == ("as it was kept", "http://127.0.0.1:2")


def test_another_template_or_parameter_is_translated_again(tmp_path):
    translate(SAM, {"ApiUrl": "x"}, "t", tmp_path)
    translate(SAM, {"ApiUrl": "y"}, "t", tmp_path)
    translate(SAM | {"Description": "d"}, {"ApiUrl": "y"}, "t", tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_template_that_is_not_valid_is_not_kept(tmp_path):
    broken = SAM | {"Resources": {"Function": {"Type": "AWS::Serverless::Function", "Properties": {}}}}
    with pytest.raises(LocalStackError, match="t is not valid SAM"):
        translate(broken, {}, "t", tmp_path)
    assert not list(tmp_path.iterdir())


def test_project_template_is_the_same_with_and_without_what_was_kept():
    ours = {"CallbackBaseUrl": "http://127.0.0.1:7", "JwtIssuer": "https://issuer.example.com"}
    first, second = (load_template(REPOSITORY / "template.yaml", ours, {}) for _ in range(2))
    assert json.dumps(first.cloudformation) == json.dumps(second.cloudformation)
