"""SnapStart: all event sources call the alias, and each release publishes new versions."""

import json

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY
from local.versions import add_versions, publish_versions

FUNCTIONS = {path.parent.name for path in REPOSITORY.glob("functions/*/app.py")}


@pytest.fixture(scope="module")
def plain():
    """Our template as plain YAML."""
    return yaml.safe_dump(yaml_parse((REPOSITORY / "template.yaml").read_text()))


@pytest.fixture
def built(plain, tmp_path):
    """Our template as `sam build` writes it, next to the code."""
    for name in ("functions", "layers"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    template = tmp_path / "template.yaml"
    template.write_text(plain)
    return template


def config(folder, overrides):
    path = folder / "samconfig.local.toml"
    path.write_text(
        f"version = 0.1\n[default.deploy.parameters]\nparameter_overrides = {json.dumps(overrides)}\n"
    )
    return path


def resources_of(template):
    return load_template(template, {"SnapStart": "on"}, {}).cloudformation["Resources"]


def of_type(resources, kind):
    return {name: item for name, item in resources.items() if item["Type"] == kind}


def released(template, release):
    document = yaml.load(template.read_text(), Loader=yaml.CSafeLoader)
    add_versions(document, release)
    template.write_text(yaml.safe_dump(document))
    return resources_of(template)


def test_every_event_source_calls_the_published_version(built):
    resources = released(built, "1")
    aliases = set(of_type(resources, "AWS::Lambda::Alias"))
    assert len(aliases) == len(FUNCTIONS)
    for mapping in of_type(resources, "AWS::Lambda::EventSourceMapping").values():
        assert mapping["Properties"]["FunctionName"]["Ref"] in aliases
    for schedule in of_type(resources, "AWS::Scheduler::Schedule").values():
        assert schedule["Properties"]["Target"]["Arn"]["Ref"] in aliases
    for permission in of_type(resources, "AWS::Lambda::Permission").values():
        assert permission["Properties"]["FunctionName"]["Ref"] in aliases
    (api,) = of_type(resources, "AWS::ApiGatewayV2::Api").values()
    uris = [
        operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
        for path in api["Properties"]["Body"]["paths"].values()
        for operation in path.values()
    ]
    assert len(uris) == 11
    assert all("Aliaslive}/invocations" in uri for uri in uris)


def test_each_release_publishes_new_versions_and_deletes_the_former(built):
    first = of_type(released(built, "1"), "AWS::Lambda::Version")
    second = of_type(released(built, "2"), "AWS::Lambda::Version")
    assert len(first) == len(second) == len(FUNCTIONS)
    assert not set(first) & set(second)
    assert {version["DeletionPolicy"] for version in first.values()} == {"Delete"}


@pytest.mark.parametrize("overrides", [["JwtIssuer=x", "SnapStart=on"], "JwtIssuer=x SnapStart=on"])
def test_template_is_rewritten_if_the_configuration_sets_snapstart(built, overrides, capsys):
    publish_versions(built, [str(config(built.parent, overrides))])
    assert len(of_type(resources_of(built), "AWS::Lambda::Alias")) == len(FUNCTIONS)
    assert "SnapStart is on" in capsys.readouterr().out


@pytest.mark.parametrize("overrides", [[], "", ["SnapStart=off"], ["XSnapStart=on"]])
def test_template_stays_as_it_is_otherwise(built, overrides):
    before = built.read_text()
    publish_versions(built, [str(config(built.parent, overrides))])
    publish_versions(built, [])
    assert built.read_text() == before
    assert not of_type(resources_of(built), "AWS::Lambda::Version")
