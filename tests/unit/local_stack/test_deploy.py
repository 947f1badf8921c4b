"""A template is deployed to moto's own process, with every reference resolved."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack.aws import LocalAws
from local.stack.deploy import deploy
from local.stack.errors import TemplateError
from local.stack.functions import QueueMapping
from local.stack.processes import Child
from local.stack.template import load_template

pytestmark = pytest.mark.process


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LocalAws]:
    """An AWS with nothing in it."""
    child = Child("local.stack.aws_server", log=tmp_path / "aws.log")
    yield LocalAws(child.wait_for_url())
    child.stop()


def test_what_is_deployed_is_what_the_template_says(project: Path, aws: LocalAws) -> None:
    template = load_template(project / "template.yaml", {}, {"Needed": "this"})
    deployed = deploy(template, aws, "http://127.0.0.1:8080")
    worker = deployed.functions["Worker"]
    manager = aws.client("secretsmanager")
    secrets = {secret["Name"]: secret["ARN"] for secret in manager.list_secrets()["SecretList"]}

    assert worker.environment == {
        "QUEUE": deployed.queues["Work"],
        "SECRET": secrets["zoho-crm-export-Secret"],
        "SECRET_NAME": f"is {secrets['zoho-crm-export-Secret']}",
        "SIZE": "3",
    }
    assert deployed.queues["Work"].startswith(aws.url)
    assert (worker.memory_mb, worker.timeout, worker.handler) == (256, 5, "app.lambda_handler")
    assert worker.layers == [project / "layers/shared"]

    assert set(secrets) == {"zoho-crm-export-Secret", "zoho-crm-export-Given"}, (
        "the condition of Extra is false"
    )
    given, generated = (
        json.loads(manager.get_secret_value(SecretId=f"zoho-crm-export-{name}")["SecretString"])
        for name in ("Given", "Secret")
    )
    assert given == {"needed": "this"}
    assert generated["user"] == "me"
    assert len(generated["password"]) == 32

    queue_arn = f"arn:aws:sqs:us-east-1:123456789012:{deployed.queues['Work'].rpartition('/')[2]}"
    assert deployed.mappings == [QueueMapping(queue_arn, worker.name, 4, 3, True, True)]
    assert deployed.schedules[0]["ScheduleExpression"] == "rate(2 minutes)"
    assert deployed.schedules[0]["Target"]["Arn"] == worker.arn
    assert set(deployed.api_bodies[0]["paths"]) == {"/things/{id}", "/hook"}
    assert set(deployed.outputs) == {"ApiUrl", "BucketName"}
    assert deployed.not_made == []
    alarm = aws.client("cloudwatch").describe_alarms()["MetricAlarms"][0]
    assert alarm["Dimensions"][0]["Value"] == deployed.queues["Work"].rpartition("/")[2]

    # moto would invoke, in Docker and within SendMessage, if it knew of the event source mapping.
    assert aws.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=deployed.queues["Work"], MessageBody="hello")
    assert sqs.receive_message(QueueUrl=deployed.queues["Work"])["Messages"][0]["Body"] == "hello"


def test_what_cloudformation_refuses_is_told(project: Path, aws: LocalAws) -> None:
    template = load_template(project / "template.yaml", {}, {"Needed": "x"})
    template.cloudformation["Outputs"]["Broken"] = {"Value": {"Fn::GetAtt": ["Work", "Colour"]}}
    with pytest.raises(TemplateError, match="CloudFormation refuses the template"):
        deploy(template, aws, "http://x")
