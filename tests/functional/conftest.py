"""Runs the functions in this process, on the template's resources in moto and on the Zoho simulator.

Handlers get their environment from the deployed template. The test moves the messages of the queues, so it
can try every order of events.
"""

import importlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import batched
from typing import Any

import boto3
import pytest

from crm_export.wiring import Container, boto3_client, running_in
from local.cloudformation.deploy import deploy
from local.cloudformation.resources import Deployment
from local.cloudformation.template import load_template
from local.host.aws import REGION, LocalAws
from local.host.processes import REPOSITORY, Child
from local.runtime.environments import lambda_variables
from local.triggers.pollers import build_event
from tests.support.http import http_event
from tests.support.look_back import look_back_of
from tests.support.privileges import FUNCTIONS, granted, refused, used
from tests.support.recorder import Recorder
from zoho_simulator.http.server import Simulator, SimulatorConfig, start_simulator

API_URL = "https://api.example.com"
FOLDERS = {
    "ExportHandler": "export_handler",
    "BulkReadSubmitter": "bulk_read_submitter",
    "CallbackReceiver": "callback_receiver",
    "ResultDownloader": "result_downloader",
    "ExportReconciler": "export_reconciler",
    "ParquetWriter": "parquet_writer",
}
CONSUMERS = {
    "SubmitQueue": "BulkReadSubmitter",
    "DownloadQueue": "ResultDownloader",
    "ParquetQueue": "ParquetWriter",
}


class Context:
    """The attributes of a LambdaContext that our handlers read."""

    function_name = "test"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@cache
def client_of(aws: LocalAws, service: str) -> Any:
    """Return a client of an AWS service; creating one takes longer than a call."""
    return aws.client(service)


@dataclass
class World:
    """The deployed stack and Zoho for one test, which has its own account."""

    deployment: Deployment
    aws: LocalAws
    zoho: Simulator
    monkeypatch: pytest.MonkeyPatch
    recorder: Recorder
    account: str = field(default_factory=lambda: f"acct-{uuid.uuid4().hex[:8]}")
    owner: str = "user-1"
    started: float = field(default_factory=time.time)
    make_container: Callable[[dict[str, str]], Container] = Container

    def client(self, service: str) -> Any:
        """Return the test's own boto3 client of a service."""
        return client_of(self.aws, service)

    def store_connection(self, **changes: Any) -> None:
        """Store the account's connection; `changes` replaces keys of its token."""
        hosts = {"api_domain": self.zoho.url, "accounts_server": self.zoho.url}
        token = {"refresh_token": f"1000.{self.account}", **hosts, **changes}
        self.zoho.config.refresh_tokens.add(token["refresh_token"])
        document = {"account_id": self.account, "owner": self.owner, "token": token}
        self.client("secretsmanager").create_secret(
            Name=f"zoho-crm-export/connections/{self.account}/{self.owner}", SecretString=json.dumps(document)
        )

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Call a function's handler as a new container, with the environment from the template."""
        variables = lambda_variables(self.deployment.functions[function], "stream", "none", REGION)
        with self.monkeypatch.context() as patch:
            for name, value in {**variables, "AWS_ENDPOINT_URL": self.aws.url}.items():
                if name not in ("PYTHONPATH", "TZ"):
                    patch.setenv(name, value)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            handler = importlib.import_module(f"functions.{FOLDERS[function]}.app").lambda_handler
            environment = self.deployment.functions[function].environment
            with self.recorder.acting(function, environment), running_in(self.make_container(variables)):
                return json.loads(json.dumps(handler(event, Context())))

    def http(self, function: str, method: str, path: str, **event: Any) -> tuple[int, dict[str, Any]]:
        """Send an HTTP request as the account's caller; return status and parsed body."""
        response = self.request(function, method, path, **event)
        return response["statusCode"], json.loads(response["body"])

    def request(self, function: str, method: str, path: str, **event: Any) -> dict[str, Any]:
        """Send an HTTP request as the account's caller; return the whole response."""
        claims = {"account_id": self.account, "uid": self.owner}
        return self.invoke(function, http_event(method, path, **{"claims": claims, **event}))

    def start(self, export_type: str = "contacts", **body: Any) -> str:
        """Start an export and return its id."""
        path = f"/v1/e/zoho/bulk-read/{export_type}"
        status, response = self.http(
            "BulkReadSubmitter", "POST", path, body=json.dumps(body) if body else None
        )
        assert status == 202, response
        return response["data"]["export_id"]

    def export(self, export_id: str) -> dict[str, Any]:
        """Return an export as the API shows it."""
        path = f"/v1/e/zoho/bulk-read/exports/{export_id}"
        status, response = self.http("BulkReadSubmitter", "GET", path)
        assert status == 200, response
        return response["data"]

    def callback(self, url: str, body: str) -> tuple[int, dict[str, Any]]:
        """Post a body to a callback URL without a token; return status and parsed body."""
        return self.http("CallbackReceiver", "POST", url.removeprefix(API_URL), body=body, claims=None)

    def callback_urls(self) -> list[str]:
        """Return the callback URLs given to Zoho, in order."""
        creations = self.zoho.journal.requests("/read$", "POST")
        return [json.loads(request["body"])["callback"]["url"] for request in creations]

    def receive(self, queue: str) -> list[dict[str, Any]]:
        """Receive all messages of a queue; messages of earlier tests are deleted."""
        client, url = self.client("sqs"), self.deployment.queues[queue]
        ours: list[dict[str, Any]] = []
        while True:
            response = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
            messages = response.get("Messages", [])
            for message in messages:
                if int(message["Attributes"]["SentTimestamp"]) < self.started * 1000:
                    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                else:
                    ours.append(message)
            if len(messages) < 10:
                return ours

    def pump(self, queue: str) -> list[list[str]]:
        """Invoke a queue's function once for each message; return the batch item failures of each."""
        failures = []
        client, url = self.client("sqs"), self.deployment.queues[queue]
        for message in self.receive(queue):
            event = build_event([message], f"arn:aws:sqs:{REGION}:123456789012:{queue}", REGION)
            failed = self.invoke(CONSUMERS[queue], event)["batchItemFailures"]
            if not failed:
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            failures.append(failed)
        return failures

    def objects(self, export_id: str) -> dict[str, bytes]:
        """Return the export's objects in S3, by the last part of their key."""
        s3, bucket = self.client("s3"), self.deployment.outputs["ResultsBucketName"]
        prefix = f"exports/account_id={self.account}/"
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]
        return {
            key.rpartition("/")[2]: s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            for key in keys
            if f"export_id={export_id}/" in key
        }

    def let_time_pass(self, export_id: str) -> None:
        """End the retry delays of all parts that are not stored yet."""
        self._end_delays(self.export(export_id))

    def _end_delays(self, export: dict[str, Any]) -> None:
        for part in export["parts"]:
            if part["state"] != "STORED":
                self.set_item(export["export_id"], f"PART#{part['part']:05d}", not_before=None)

    def set_item(self, export_id: str, sort_key: str, **values: dict[str, str] | None) -> None:
        """Change attributes of an item in the table directly; None removes an attribute."""
        self.client("dynamodb").update_item(
            TableName=self.deployment.outputs["ExportsTableName"],
            Key={"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": sort_key}},
            AttributeUpdates={
                name: {"Value": value} if value else {"Action": "DELETE"} for name, value in values.items()
            },
        )

    def configure(self, function: str, **variables: str) -> None:
        """Change environment variables of a function until the end of the test."""
        for name, value in variables.items():
            self.monkeypatch.setitem(self.deployment.functions[function].environment, name, value)

    def empty_table(self) -> None:
        """Delete all items: no later test finds them, and moto copies the whole table for a transaction."""
        table, dynamodb = self.deployment.outputs["ExportsTableName"], self.client("dynamodb")
        items = dynamodb.scan(TableName=table, ProjectionExpression="pk, sk")["Items"]
        for some in batched(items, 25, strict=False):
            deletions = [{"DeleteRequest": {"Key": item}} for item in some]
            dynamodb.batch_write_item(RequestItems={table: deletions})

    def finish(self, export_id: str, rounds: int = 15) -> dict[str, Any]:
        """Run the reconciler and the queues until the export ends; return it as the API shows it."""
        for _ in range(rounds):
            export = self.export(export_id)
            if export["state"] != "RUNNING":
                return export
            self._end_delays(export)
            self.pump("SubmitQueue")
            self.invoke("ExportReconciler", {})
            self.pump("DownloadQueue")
        return self.export(export_id)


@pytest.fixture(scope="session")
def zoho_server() -> Iterator[Simulator]:
    config = SimulatorConfig(tokens_per_window=10_000, active_tokens=10_000, downloads_per_minute=0)
    with start_simulator(config) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def deployed(zoho_server: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    moto = Child("local.host.aws", log=tmp_path_factory.mktemp("aws") / "aws.log")
    try:
        aws = LocalAws(moto.wait_for_url())
        ours = {
            "ZohoClientId": zoho_server.config.client_id,
            "ZohoClientSecret": zoho_server.config.client_secret,
            "TrustedZohoOrigins": zoho_server.url,
            "CallbackBaseUrl": API_URL,
            "DownloadsPerMinute": "1000",
            "LakeOutput": "on",
            "GlueDatabase": "crm",
        }
        aws.client("glue").create_database(DatabaseInput={"Name": "crm"})
        yield deploy(load_template(REPOSITORY / "template.yaml", ours, {}), aws, API_URL), aws
    finally:
        moto.stop()


@pytest.fixture(scope="session")
def recorder(pytestconfig: pytest.Config) -> Iterator[Recorder]:
    """Record the functions' AWS calls, and hand them to the checks at the end of the run."""
    recorder = Recorder()
    recorder.listen()
    boto3.setup_default_session()  # a session that other tests created does not record, nor do its clients
    boto3_client.cache_clear()
    yield recorder
    recorder.stop()
    record = look_back_of(pytestconfig).record
    record["refused"] += refused(recorder.calls)
    record["granted"] += [item for function in FUNCTIONS for item in granted(function)]
    record["used"] += used(recorder.calls)


@pytest.fixture
def world(
    zoho_server: Simulator, deployed: Any, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> Iterator[World]:
    deployment, aws = deployed
    zoho_server.journal.clear()
    zoho_server.organisation.faults.clear()
    settings = zoho_server.config.public()
    zoho_server.config.patch(
        {"callback_mode": "never", "added_seconds": 0.0, "queued_seconds": 0.0, "in_progress_seconds": 0.0}
    )
    world = World(deployment, aws, zoho_server, monkeypatch, recorder)
    world.store_connection()
    yield world
    zoho_server.config.patch({name: value for name, value in settings.items() if name != "refresh_tokens"})
    world.empty_table()
    assert "AWS_LAMBDA_FUNCTION_NAME" not in os.environ


@pytest.fixture
def quiet_at_once(world: World) -> World:
    """A world in which the reconciler does not wait before it queues a part again."""
    world.configure("ExportReconciler", PART_QUIET_SECONDS="0")
    return world


@pytest.fixture
def small_jobs(quiet_at_once: World) -> World:
    """The same, with 250 contacts in jobs of at most 100 records."""
    quiet_at_once.zoho.config.patch({"records": {"Contacts": 250}, "records_per_job": 100})
    return quiet_at_once
