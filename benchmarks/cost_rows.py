"""Runs exports and pages through the functions' handlers, and prints what they used, for `cost`.

`python -m benchmarks.cost_rows JSON` starts moto and the Zoho simulator as processes of their own, deploys
the template, and calls the handlers in this process: so it can count their calls and CPU seconds by function.
"""

import contextlib
import importlib
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.meter import Meter, items_by_key, metrics_in
from benchmarks.pricing import Account, Work
from local.cloudformation.deploy import deploy
from local.cloudformation.resources import Deployment, Function
from local.cloudformation.template import load_template
from local.host.aws import REGION, LocalAws
from local.host.processes import REPOSITORY, Child, isolate_from_aws
from local.runtime.environments import lambda_variables
from local.triggers.pollers import build_event

ACCOUNT, OWNER = "acct-1", "user-1"
_CLIENT = {"ZohoClientId": "1000.LOCAL", "ZohoClientSecret": "local-secret"}
_REFRESH_TOKEN = "1000.local.refresh"  # noqa: S105 (the simulator's)
_CONSUMERS = {"SubmitQueue": "BulkReadSubmitter", "DownloadQueue": "ResultDownloader"}
_FOLDERS = {
    "ExportHandler": "export_handler",
    "BulkReadSubmitter": "bulk_read_submitter",
    "CallbackReceiver": "callback_receiver",
    "ResultDownloader": "result_downloader",
}
_SECONDS = 600
_RECORDS_PER_JOB = 200_000
_ONE_DELIVERY = 2  # requests to SQS: Lambda receives a message and deletes it


class Context:
    """The attributes of a LambdaContext that the handlers read."""

    function_name = "bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        """Return much time: here, nothing is ended by the clock."""
        return _SECONDS * 1000


class _Callbacks(BaseHTTPRequestHandler):
    """Takes Zoho's callbacks, as the HTTP API does, and keeps them for the main thread."""

    arrived: deque[tuple[str, str]] = deque()

    def do_POST(self) -> None:
        """Keep a callback."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.arrived.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@dataclass
class Stack:
    """The deployed stack, with one warm container per function."""

    deployment: Deployment
    aws: LocalAws
    meter: Meter
    session: Any
    logs: io.StringIO
    work: dict[str, Counter[str]] = field(default_factory=dict)
    containers: dict[str, Any] = field(default_factory=dict)

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Call a handler and add up what it used."""
        from crm_export.wiring import Container, running_in  # noqa: PLC0415 (after the environment is set)

        variables = _variables(self.deployment.functions[function])
        os.environ.update(variables)
        container = self.containers.setdefault(function, Container(variables, session=self.session))
        handler = importlib.import_module(f"functions.{_FOLDERS[function]}.app").lambda_handler
        calls, zoho, cpu = self.meter.operations.total(), self.session.sent, _cpu_seconds()
        with running_in(container), self.meter.counting():
            response: dict[str, Any] = handler(event, Context())
        used = self.work.setdefault(function, Counter())
        used["cpu_us"] += round((_cpu_seconds() - cpu) * 1e6)
        used["invocations"] += 1
        used["zoho_calls"] += self.session.sent - zoho
        used["aws_calls"] += self.meter.operations.total() - calls
        return response

    def http(self, function: str, method: str, path: str, **event: Any) -> dict[str, Any]:
        """Send a request as the account's caller, and return the body of the response."""
        response = self.invoke(function, _http_event(method, path, **event))
        if response["statusCode"] >= 400:
            raise RuntimeError(f"{method} {path} returned {response['statusCode']}: {response['body']}")
        body: dict[str, Any] = json.loads(response["body"])
        return body

    def account(self, *, http_requests: int, deliveries: int, downloaded: float) -> dict[str, Any]:
        """Return what was used since `clear`, as JSON."""
        table = self.deployment.outputs["ExportsTableName"]
        pages = self.aws.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        units = self.meter.units(items_by_key([item for page in pages for item in page["Items"]]))
        units["httpapi_request"] = http_requests
        units["sqs_request"] = units.get("sqs_request", 0) + deliveries * _ONE_DELIVERY
        units["logs_gb"] = len(self.logs.getvalue().encode()) / 1e9
        work = {
            name: Work(
                self.deployment.functions[name].memory_mb,
                used["invocations"],
                used["cpu_us"] / 1e6,
                used["zoho_calls"],
                used["aws_calls"],
                downloaded if name == "ResultDownloader" else 0,
            )
            for name, used in self.work.items()
        }
        account = asdict(Account(units, work))
        metrics = len(metrics_in(self.logs.getvalue()))
        return {**account, "operations": dict(self.meter.operations), "metrics": metrics}

    def clear(self) -> None:
        """Begin to count again."""
        self.meter.clear()
        self.work.clear()
        self.logs.seek(0)
        self.logs.truncate()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _variables(function: Function) -> dict[str, str]:
    found = lambda_variables(function, "stream", "none", REGION)
    return {name: value for name, value in found.items() if name not in ("PYTHONPATH", "TZ")}


def _http_event(
    method: str, path: str, *, query: dict[str, str] | None = None, **event: Any
) -> dict[str, Any]:
    context = {
        "http": {"method": method, "path": path, "sourceIp": "127.0.0.1", "userAgent": "bench"},
        "authorizer": {"jwt": {"claims": {"account_id": ACCOUNT, "uid": OWNER}, "scopes": None}},
        "requestId": "request-1",
        "domainName": "api.example.com",
        "routeKey": "$default",
        "stage": "$default",
        "timeEpoch": 0,
    }
    query_string = "&".join(f"{name}={value}" for name, value in (query or {}).items())
    more = (
        {"queryStringParameters": query, "rawQueryString": query_string} if query else {"rawQueryString": ""}
    )
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {"content-type": "application/json"},
        "requestContext": context,
        "isBase64Encoded": False,
        **more,
        **event,
    }


def export(stack: Stack, file_format: str, records: int) -> dict[str, Any]:
    """Run one export of all contacts to its end, and return what it used."""
    stack.clear()
    stack.deployment.functions["BulkReadSubmitter"].environment["RESULT_FORMAT"] = file_format
    stack.containers.pop("BulkReadSubmitter", None)
    started = stack.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body="{}")
    export_id, requests, deliveries = started["data"]["export_id"], 1, 0
    until = time.monotonic() + _SECONDS
    while (state := _state(stack, export_id)) == "RUNNING":
        if time.monotonic() > until:
            raise RuntimeError(f"The export did not end within {_SECONDS} seconds.")
        while _Callbacks.arrived:
            path, body = _Callbacks.arrived.popleft()
            stack.invoke("CallbackReceiver", _http_event("POST", path, body=body))
            requests += 1
        deliveries += sum(_deliver(stack, queue) for queue in _CONSUMERS)
        time.sleep(0.02)
    if state != "COMPLETED":
        raise RuntimeError(f"The export ended as {state}.")
    return stack.account(http_requests=requests, deliveries=deliveries, downloaded=records / _RECORDS_PER_JOB)


def _state(stack: Stack, export_id: str) -> str:
    found = stack.aws.client("dynamodb").get_item(
        TableName=stack.deployment.outputs["ExportsTableName"],
        Key={"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": "META"}},
        ConsistentRead=True,
    )
    state: str = found["Item"]["state"]["S"]
    return state


def _deliver(stack: Stack, queue: str) -> int:
    """Invoke a queue's function for each message that is there; return how many were delivered."""
    client, url = stack.aws.client("sqs"), stack.deployment.queues[queue]
    found = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
    messages = found.get("Messages", [])
    for message in messages:
        event = build_event([message], f"arn:aws:sqs:{REGION}:123456789012:{queue}", REGION)
        if not stack.invoke(_CONSUMERS[queue], event)["batchItemFailures"]:
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return len(messages)


def pages(stack: Stack, count: int) -> dict[str, Any]:
    """Read pages of 200 contacts in a warm container, and return what they used."""
    query = {"page": "1", "limit": "200"}
    for _ in range(2):
        stack.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts", query=query)
    stack.clear()
    for _ in range(count):
        stack.http("ExportHandler", "GET", "/v1/e/zoho/export/contacts", query=query)
    return stack.account(http_requests=count, deliveries=0, downloaded=0)


@contextlib.contextmanager
def running(records: int, logs: io.StringIO) -> Iterator[Stack]:
    """Run moto, the simulator and the callbacks' server; deploy the template with the connection."""
    isolate_from_aws()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    callbacks = ThreadingHTTPServer(("127.0.0.1", 0), _Callbacks)
    Thread(target=callbacks.serve_forever, daemon=True).start()
    settings = (
        "downloads_per_minute=0",
        "added_seconds=0.05",
        "queued_seconds=0.05",
        "in_progress_seconds=0.1",
    )
    arguments = ["--module", f"Contacts={records}", *(word for item in settings for word in ("--set", item))]
    children = [
        Child("zoho_simulator", arguments, log=folder / "zoho.log"),
        Child("local.host.aws", log=folder / "aws.log"),
    ]
    try:
        zoho, aws = children[0].wait_for_url(), LocalAws(children[1].wait_for_url())
        yield _deployed(zoho, aws, f"http://127.0.0.1:{callbacks.server_port}", logs)
    finally:
        for child in children:
            child.stop()
        callbacks.shutdown()


def _deployed(zoho: str, aws: LocalAws, callback_url: str, logs: io.StringIO) -> Stack:
    os.environ.update({"AWS_ENDPOINT_URL": aws.url, "AWS_DEFAULT_REGION": REGION})
    parameters = {**_CLIENT, "TrustedZohoOrigins": zoho, "CallbackBaseUrl": callback_url}
    template = load_template(REPOSITORY / "template.yaml", {**parameters, "DownloadsPerMinute": "1000"}, {})
    deployment = deploy(template, aws, callback_url)
    token = {"refresh_token": _REFRESH_TOKEN, "api_domain": zoho, "accounts_server": zoho}
    document = {"account_id": ACCOUNT, "owner": OWNER, "token": token}
    name = (
        deployment.outputs["ConnectionSecretName"].replace("<account_id>", ACCOUNT).replace("<owner>", OWNER)
    )
    aws.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(document))
    meter = Meter()
    meter.listen()
    return Stack(deployment, aws, meter, _counting_session(), logs)


def _counting_session() -> Any:
    """Return the session that the wiring would make, with a count of the requests that it sent."""
    import requests  # noqa: PLC0415

    from crm_export.zoho.transport import make_session  # noqa: PLC0415

    session: Any = make_session()
    session.sent = 0

    class Counting(requests.adapters.HTTPAdapter):
        def send(self, *arguments: Any, **options: Any) -> Any:
            session.sent += 1
            return super().send(*arguments, **options)

    session.mount("http://", Counting())
    return session


def main() -> None:
    """Print what exports and pages used."""
    arguments, logs = json.loads(sys.argv[1]), io.StringIO()
    # Before crm_export is imported: its logger keeps the stream that it finds.
    with contextlib.redirect_stdout(logs), running(arguments["records"], logs) as stack:
        outcome: dict[str, Any] = {"pages": pages(stack, arguments["pages"]), "count": arguments["pages"]}
        export(stack, "csv", arguments["records"])  # warms the containers
        outcome |= {name: export(stack, name, arguments["records"]) for name in ("csv", "csv.gz")}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
