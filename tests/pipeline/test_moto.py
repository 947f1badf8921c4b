"""moto's own process: what is deployed to it, and DynamoDB calls that would lose writes without our lock."""

import json
from pathlib import Path
from threading import Thread

import pytest
from botocore.exceptions import ClientError

from local.cloudformation.deploy import deploy
from local.cloudformation.resources import QueueMapping
from local.cloudformation.template import load_template
from local.host.aws import LocalAws
from local.host.processes import LocalStackError
from tests.support.sam_project import write_project


def test_version_that_receives_the_current_label_is_the_one_that_is_read(aws: LocalAws) -> None:
    secrets = aws.client("secretsmanager")
    secrets.create_secret(Name="s", SecretString="first")
    first = secrets.get_secret_value(SecretId="s")["VersionId"]
    labels = {"SecretId": "s", "VersionStage": "AWSCURRENT", "RemoveFromVersionId": first}
    for text in ("second", "third"):
        new = secrets.put_secret_value(SecretId="s", SecretString=text, VersionStages=["new"])["VersionId"]
        if text == "second":
            secrets.update_secret_version_stage(**labels, MoveToVersionId=new)
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "second"
    with pytest.raises(ClientError, match="AWSCURRENT"):  # `first` no longer has it
        secrets.update_secret_version_stage(**labels, MoveToVersionId=new)
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "second"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path)


def test_queue_with_fifteen_messages_of_one_account_delivers_anothers_second(aws: LocalAws) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="fair")["QueueUrl"]
    for group in [*["noisy"] * 15, "quiet"]:
        sqs.send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group)
    received = [
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, MessageSystemAttributeNames=["All"])[
            "Messages"
        ][0]
        for _ in range(16)
    ]
    assert [message["Body"] for message in received] == ["noisy", "quiet", *["noisy"] * 14]
    assert received[1]["Attributes"]["MessageGroupId"] == "quiet"


def test_deployment_has_what_the_template_declares(project: Path, aws: LocalAws) -> None:
    template = load_template(project / "template.yaml", {}, {"Needed": "this"})
    deployed = deploy(template, aws, "http://127.0.0.1:8080")
    worker = deployed.functions["Worker"]
    secrets = {
        secret["Name"]: secret["ARN"] for secret in aws.client("secretsmanager").list_secrets()["SecretList"]
    }
    assert worker.environment == {
        "QUEUE": deployed.queues["Work"],
        "SECRET": secrets["zoho-crm-export-Secret"],
        "SECRET_NAME": f"is {secrets['zoho-crm-export-Secret']}",
        "SIZE": "3",
    }
    assert deployed.queues["Work"].startswith(aws.url)
    assert (worker.memory_mb, worker.timeout, worker.handler) == (256, 5, "app.lambda_handler")
    assert worker.layers == [project / "layers/shared"]

    queue = deployed.queues["Work"].rpartition("/")[2]
    queue_arn = f"arn:aws:sqs:us-east-1:123456789012:{queue}"
    assert deployed.mappings == [QueueMapping(queue_arn, worker.name, 4, 3, True, True)]
    assert deployed.schedules[0]["ScheduleExpression"] == "rate(2 minutes)"
    assert deployed.schedules[0]["Target"]["Arn"] == worker.arn
    assert set(deployed.api_bodies[0]["paths"]) == {"/things/{id}", "/hook"}
    assert set(deployed.outputs) == {"ApiUrl", "BucketName"}
    assert deployed.not_made == []
    alarm = aws.client("cloudwatch").describe_alarms()["MetricAlarms"][0]
    assert alarm["Dimensions"][0]["Value"] == queue

    # moto would invoke, in Docker and within SendMessage, if it knew the event source mapping.
    assert aws.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=deployed.queues["Work"], MessageBody="hello")
    assert sqs.receive_message(QueueUrl=deployed.queues["Work"])["Messages"][0]["Body"] == "hello"


@pytest.mark.parametrize(("flavour", "extra"), [("plain", None), ("spicy", "hot")])
def test_secrets_are_created_if_their_condition_is_true(
    project: Path, aws: LocalAws, flavour: str, extra: str | None
) -> None:
    parameters = {"Needed": "this", "Flavour": flavour}
    deploy(load_template(project / "template.yaml", {}, parameters), aws, "http://127.0.0.1:8080")
    manager = aws.client("secretsmanager")
    secrets = {
        secret["Name"].removeprefix("zoho-crm-export-"): manager.get_secret_value(SecretId=secret["ARN"])[
            "SecretString"
        ]
        for secret in manager.list_secrets()["SecretList"]
    }
    generated = json.loads(secrets.pop("Secret"))
    assert json.loads(secrets.pop("Given")) == {"needed": "this"}
    assert generated["user"] == "me"
    assert len(generated["password"]) == 32
    assert secrets == ({"Extra": extra} if extra else {})


def test_template_that_cloudformation_refuses_is_an_error(project: Path, aws: LocalAws) -> None:
    template = load_template(project / "template.yaml", {}, {"Needed": "x"})
    template.cloudformation["Outputs"]["Broken"] = {"Value": {"Fn::GetAtt": ["Work", "Colour"]}}
    with pytest.raises(LocalStackError, match="CloudFormation refuses the template"):
        deploy(template, aws, "http://x")


def test_acknowledged_write_survives_a_failing_transaction(aws: LocalAws) -> None:
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )

    def fail() -> None:
        put = {"TableName": "t", "Item": {"pk": {"S": "x"}}, "ConditionExpression": "attribute_exists(pk)"}
        for _ in range(100):
            with pytest.raises(ClientError):
                dynamodb.transact_write_items(TransactItems=[{"Put": put}])

    thread = Thread(target=fail)
    thread.start()
    for _ in range(200):
        dynamodb.update_item(
            TableName="t",
            Key={"pk": {"S": "n"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
    thread.join()
    item = dynamodb.get_item(TableName="t", Key={"pk": {"S": "n"}}, ConsistentRead=True)["Item"]
    assert item["n"]["N"] == "200"
