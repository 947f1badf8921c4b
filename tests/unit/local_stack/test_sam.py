"""The template, variables and events that `python -m local sam` and `event` write for SAM's emulator."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from crm_export.exports.callbacks import verify
from local.__main__ import main
from local.host.processes import REPOSITORY, LocalStackError
from local.sam.events import (
    EVENTS,
    SAMPLE_EXPORT,
    SAMPLE_JOB,
    SAMPLE_SIGNATURE,
    event,
    fill_in,
    read_sample,
)
from local.sam.project import endpoint_variables, sam_template, this_architecture, variables_file
from local.sam.source import Source, find_source

ENDPOINT = "http://172.17.0.1:5000"
KEY = "k" * 64
EXPORT_ID, JOB_ID = "20261126T140000Z-00000000000000aa", "3652397000000000001"
RESOURCES = yaml_parse((REPOSITORY / "template.yaml").read_text())["Resources"]
FUNCTIONS = {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Function"}
# More than any function declares.
VARIABLES = {
    variable: f"value of {variable}"
    for name in FUNCTIONS
    for variable in [
        *RESOURCES[name]["Properties"]["Environment"]["Variables"],
        "POWERTOOLS_METRICS_NAMESPACE",
        "POWERTOOLS_LOG_LEVEL",
        "NOT_DECLARED",
    ]
}


class Aws:
    """A table with the part of one export, and the key of callback URLs."""

    def __init__(self, part: dict[str, Any] | None) -> None:
        self.part = part

    def query(self, *, ExpressionAttributeValues: dict[str, Any], **_: object) -> dict[str, Any]:  # noqa: N803
        found = self.part is not None and ExpressionAttributeValues[":account"] == {"S": "acct-1"}
        return {"Items": [{"pk": {"S": f"EXPORT#{EXPORT_ID}"}}] if found else []}

    def get_item(self, *, Key: dict[str, Any], **_: object) -> dict[str, Any]:  # noqa: N803
        key = {"pk": {"S": f"EXPORT#{EXPORT_ID}"}, "sk": {"S": "PART#00001"}}
        return {"Item": self.part} if self.part is not None and Key == key else {}

    def get_secret_value(self, **_: object) -> dict[str, str]:
        return {"SecretString": KEY}


def source(endpoint: str | None = ENDPOINT, part: dict[str, Any] | None = None) -> Source:
    aws = Aws(part)
    return Source(dict.fromkeys(FUNCTIONS, VARIABLES), "us-east-1", endpoint, lambda _service: aws)


def written(folder: Path, architecture: str = "x86_64", endpoint: str | None = ENDPOINT) -> dict[str, Any]:
    variables = endpoint_variables(source(endpoint))
    return sam_template(REPOSITORY / "template.yaml", folder, architecture, variables)


@pytest.mark.parametrize("architecture", ["x86_64", "arm64"])
def test_template_has_one_architecture_for_functions_and_layers(tmp_path: Path, architecture: str) -> None:
    template = written(tmp_path, architecture)
    assert template["Globals"]["Function"]["Architectures"] == [architecture]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            assert resource["Properties"]["CompatibleArchitectures"] == [architecture]
            assert resource["Metadata"]["BuildArchitecture"] == architecture
    other = {"x86_64": "arm64", "arm64": "x86_64"}[architecture]
    assert other not in json.dumps(template)


def test_template_names_the_code_from_its_own_folder(tmp_path: Path) -> None:
    resources = written(tmp_path / "deep/sam")["Resources"]
    folders = {
        (tmp_path / "deep/sam" / resource["Properties"][key]).resolve()
        for resource in resources.values()
        for key in ("CodeUri", "ContentUri")
        if key in resource["Properties"]
    }
    assert folders == {
        *(REPOSITORY / "layers").glob("*"),
        *(path.parent for path in REPOSITORY.glob("functions/*/app.py")),
    }


def test_template_can_be_read_back_as_plain_yaml(tmp_path: Path) -> None:
    template = written(tmp_path)
    assert yaml.safe_load(yaml.safe_dump(template)) == template


def test_template_declares_the_local_endpoint_and_no_account_id_in_it(tmp_path: Path) -> None:
    declared = written(tmp_path)["Globals"]["Function"]["Environment"]["Variables"]
    assert declared["AWS_ENDPOINT_URL"] == ENDPOINT
    assert declared["AWS_ACCOUNT_ID_ENDPOINT_MODE"] == "disabled"


def test_template_for_a_deployed_stack_declares_no_endpoint(tmp_path: Path) -> None:
    assert "AWS_ENDPOINT_URL" not in json.dumps(written(tmp_path, endpoint=None))


@pytest.mark.parametrize("endpoint", [ENDPOINT, None])
def test_every_variable_in_env_json_is_declared_for_its_function(
    tmp_path: Path, endpoint: str | None
) -> None:
    template = written(tmp_path, endpoint=endpoint)
    values = variables_file(template, source(endpoint))
    shared = set(template["Globals"]["Function"]["Environment"]["Variables"])
    assert values.keys() == FUNCTIONS
    for name, variables in values.items():
        own = set(template["Resources"][name]["Properties"]["Environment"]["Variables"])
        assert set(variables) == shared | own


def test_env_json_has_the_endpoint_and_the_stack_s_values(tmp_path: Path) -> None:
    values = variables_file(written(tmp_path), source())["BulkReadSubmitter"]
    assert values["AWS_ENDPOINT_URL"] == ENDPOINT
    assert values["EXPORTS_TABLE"] == "value of EXPORTS_TABLE"


def test_env_json_leaves_out_what_the_stack_does_not_have(tmp_path: Path) -> None:
    older = Source({"ExportHandler": {"TOKEN_STORE": "mongo"}}, "eu-west-1", None, lambda _service: None)
    values = variables_file(written(tmp_path, endpoint=None), older)
    assert values == {"ExportHandler": {"TOKEN_STORE": "mongo"}}


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("aarch64", "arm64"), ("arm64", "arm64"), ("x86_64", "x86_64"), ("AMD64", "x86_64")],
)
def test_architecture_is_named_as_lambda_does(machine: str, architecture: str) -> None:
    assert this_architecture(machine) == architecture


@pytest.mark.parametrize("export_id", ["latest", EXPORT_ID])
@pytest.mark.parametrize("path", sorted(EVENTS.glob("*.json")), ids=lambda path: path.stem)
def test_event_for_an_export_keeps_no_sample_value(path: Path, export_id: str) -> None:
    stack = source(part={"job_id": {"S": JOB_ID}})
    filled = fill_in(path.read_text(), stack, export_id, "acct-1")
    json.loads(filled)
    for sample in (SAMPLE_EXPORT, SAMPLE_SIGNATURE, SAMPLE_JOB, '"results-bucket"', ":::results-bucket"):
        assert sample not in filled


@pytest.mark.parametrize("name", ["completed", "completed_flat", "failed", "not_json"])
def test_callback_event_for_an_export_has_a_valid_signature(name: str) -> None:
    stack = source(part={"job_id": {"S": JOB_ID}})
    filled = json.loads(fill_in(read_sample(f"callback_receiver.{name}"), stack, "latest", "acct-1"))
    export_id, part, signature = filled["rawPath"].split("/")[-3:]
    assert verify((KEY.encode(),), export_id, part, signature) == 1
    assert export_id == EXPORT_ID
    assert (JOB_ID in filled["body"]) == (name != "not_json")


def test_event_for_a_part_without_a_job_keeps_the_sample_job() -> None:
    filled = fill_in(read_sample("callback_receiver.completed"), source(part={}), "latest", "acct-1")
    assert SAMPLE_JOB in filled
    assert SAMPLE_EXPORT not in filled


@pytest.mark.parametrize(
    ("export_id", "account", "problem"),
    [
        ("latest", "acct-2", "acct-2 has no export; start one first"),
        (
            "20261126T140000Z-00000000000000bb",
            "acct-1",
            "there is no export 20261126T140000Z-00000000000000bb",
        ),
    ],
)
def test_event_for_an_export_that_does_not_exist_is_refused(
    export_id: str, account: str, problem: str
) -> None:
    with pytest.raises(LocalStackError, match=problem):
        fill_in(read_sample("callback_receiver.failed"), source(part={}), export_id, account)


def test_unknown_event_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LocalStackError, match=r"there is no event nope; there are .*export_reconciler\.tick"):
        read_sample("nope")


def test_event_without_an_export_needs_no_stack_and_names_the_caller(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = argparse.Namespace(name="export_handler.contacts", account="a", owner="o", export="latest")
    assert event(options) == 0
    context = json.loads(capsys.readouterr().out)["requestContext"]
    assert context["authorizer"]["jwt"]["claims"] == {"account_id": "a", "uid": "o"}


@pytest.mark.parametrize(
    ("address", "problem"),
    [("0.0.0.0", "0.0.0.0 cannot be part of a URL"), ("host.docker.internal", "is not an IPv4 address")],
)
def test_host_that_is_no_address_of_this_machine_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], address: str, problem: str
) -> None:
    with pytest.raises(SystemExit):
        main(["up", "--host", address])
    assert problem in capsys.readouterr().err


def test_deployed_stack_that_cannot_be_read_is_an_error_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(LocalStackError, match=r"the stack s cannot be read: The config profile \(nobody\)"):
        find_source(argparse.Namespace(aws="s"))
