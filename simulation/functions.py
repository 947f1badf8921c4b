"""The Lambda functions: the real handlers, each invocation a task that may die.

An execution environment is a `wiring.Container` that gets its AWS clients, HTTP session, clock and random
numbers from the simulation.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from random import Random
from typing import Any, override

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.exports.pipeline import Pipeline
from crm_export.system import System
from crm_export.wiring import Container, running_in
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.records import RecordsReader
from simulation.calls import Calls, refusal
from simulation.dynamodb import TABLE
from simulation.queues import target_of
from simulation.scheduler import Scheduler, Task
from simulation.zoho import API_DOMAIN, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, SIGNING_KEY
from simulation.zoho_http import Session

# As in template.yaml: tests/simulation compares them.
TIMEOUTS = {
    "bulk_read_submitter": 29,
    "callback_receiver": 29,
    "result_downloader": 900,
    "export_reconciler": 240,
}
QUIET_SECONDS, DOWNLOADS_PER_MINUTE, JOB_DEADLINE_MINUTES = 300, 10, 180
ACCOUNT, OWNER = "acct-1", "user-1"
CALLBACK_BASE_URL = "https://api.example.com"
_CONNECTION = {"token": {"refresh_token": REFRESH_TOKEN, "api_domain": API_DOMAIN}}  # of every account
_SECRETS = {
    "zoho-client": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
}
_LAST_CALL_TO_DIE_AT = 30
_MOST_INVOCATIONS = 2000  # of one run: eight hours of faults took 1,195
_SKEWS = (-400.0, -60.0, -5.0, 5.0, 60.0, 400.0)

type Done = Callable[[Any], None]


class SecretsManager:
    """A boto3 client of Secrets Manager with the secrets of the stack and of one connection."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get_secret_value(self, *, SecretId: str, VersionStage: str = "AWSCURRENT") -> dict[str, str]:
        """See boto3."""
        return self._calls.aws(
            f"secretsmanager get {SecretId}", lambda again: self._read(SecretId, VersionStage), seconds=0.01,
            refused="table unreachable",
        )  # fmt: skip

    def _read(self, secret_id: str, stage: str) -> dict[str, str]:
        if stage != "AWSCURRENT":
            raise refusal("ResourceNotFoundException", "GetSecretValue")
        if secret_id == "callback-key":
            return {"SecretString": SIGNING_KEY.decode(), "VersionId": "1"}
        secret = _CONNECTION if secret_id.startswith("connections/") else _SECRETS[secret_id]
        return {"SecretString": json.dumps(secret), "VersionId": "1"}


class Context:
    """What our handlers read of a LambdaContext."""

    memory_limit_in_mb = 512

    def __init__(self, function: str, request_id: str, milliseconds: Callable[[], int]) -> None:
        self.function_name = function
        self.invoked_function_arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
        self.aws_request_id = request_id
        self.get_remaining_time_in_millis = milliseconds


@dataclass(frozen=True)
class Sizes:
    """What is made small, so that a few records fill many parts and pages."""

    s3_part_bytes: int
    records_page: int


class SmallContainer(Container):
    """A container with small sizes, whose S3 writer sends parts without a thread.

    table: instead of the one in DynamoDB.
    """

    def __init__(self, sizes: Sizes, env: dict[str, str], table: Any = None, **given: Any) -> None:
        super().__init__(env, **given)
        self._sizes = sizes
        self._table = table

    @override
    def _table_and_queues(self, settings: Any) -> dict[str, Any]:
        members = super()._table_and_queues(settings)
        return members if self._table is None else members | {"table": self._table}

    @override
    @cached_property
    def downloader(self) -> Pipeline:
        """See Container."""
        pipeline = super().downloader
        limits = replace(pipeline.limits, records_per_part=2 * self._sizes.records_page)
        return replace(pipeline, limits=limits)

    @override
    def _results(self, bucket: str) -> ResultsBucket:
        return ResultsBucket(
            self._aws("s3"), bucket, part_bytes=self._sizes.s3_part_bytes, make_executor=InlineExecutor
        )

    @override
    def _records(self, client: ZohoClient) -> RecordsReader:
        return RecordsReader(client, page_size=self._sizes.records_page)


class InlineExecutor(Executor):
    """Works at once. An error reaches only the future; LambdaKilled ends the task."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See Executor."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:  # not BaseException: LambdaKilled ends the task
            future.set_exception(error)
        return future


class Functions:
    """All functions of the stack."""

    def __init__(
        self, scheduler: Scheduler, calls: Calls, rng: Random, *,
        aws: dict[str, Any], session: Session, api_version: str, deadline_hours: int, result_format: str,
        sizes: Sizes, table: Any = None, most_invocations: int = _MOST_INVOCATIONS,
    ) -> None:  # fmt: skip
        self._most_invocations = most_invocations
        self._scheduler = scheduler
        self._calls = calls
        self._rng = rng
        self._aws = aws
        self._session = session
        self._sizes = sizes
        self._table = table
        self._env = {
            "EXPORTS_TABLE": TABLE,
            "SUBMIT_QUEUE_URL": "submit",
            "DOWNLOAD_QUEUE_URL": "download",
            "RESULTS_BUCKET": "results",
            "TOKEN_STORE": "secretsmanager",
            "CONNECTION_PREFIX": "connections",
            "MONGO_URI_SECRET_ID": "",
            "ZOHO_CLIENT_SECRET_ID": "zoho-client",
            "TRUSTED_ZOHO_ORIGINS": "",
            "ACCESS_TOKEN_CACHE": "shared",
            "CONNECTION_CACHE_SECONDS": "60",
            "CALLBACK_SECRET_ID": "callback-key",
            "CALLBACK_BASE_URL": CALLBACK_BASE_URL,
            "BULK_READ_API_VERSION": api_version,
            "RESULT_FORMAT": result_format,
            "EXPORT_DEADLINE_HOURS": str(deadline_hours),
            "STATE_RETENTION_DAYS": "30",
            "MAX_OPEN_EXPORTS": "100",
            "DOWNLOADS_PER_MINUTE": str(DOWNLOADS_PER_MINUTE),
            "JOB_DEADLINE_MINUTES": str(JOB_DEADLINE_MINUTES),
            "PART_QUIET_SECONDS": str(QUIET_SECONDS),
        }
        self._system = System(
            now=scheduler.utc_now,
            epoch=scheduler.epoch,
            monotonic=scheduler.monotonic,
            sleep=calls.sleep,
            uniform=rng.uniform,
            random_hex=lambda count: f"{rng.getrandbits(8 * count):0{2 * count}x}",
            start_thread=lambda work: work(),
            repeat=scheduler.repeat,
        )
        self._idle: defaultdict[str, list[Container]] = defaultdict(list)
        self._invocations = 0

    def post(
        self, path: str, body: dict[str, Any], key: str | None, done: Done, account: str = ACCOUNT
    ) -> None:
        """Send POST /v1/e/zoho/bulk-read/{type} as an account's caller; done(None) if it did not succeed.

        key: the Idempotency-Key.
        """
        event = _post_event(path, json.dumps(body), {"idempotency-key": key} if key else {}, account)
        self._invoke("bulk_read_submitter", None, event, _if_successful(done))

    def cancel(self, export_id: str, done: Done) -> None:
        """Send POST /v1/e/zoho/bulk-read/exports/{export_id}/cancel; done(response), with None if it died."""
        event = _post_event(f"/v1/e/zoho/bulk-read/exports/{export_id}/cancel", "", {})
        self._invoke("bulk_read_submitter", (export_id, 1), event, done)

    def submitter(self, event: dict[str, Any], done: Done) -> None:
        """Deliver a message of the submit queue."""
        self._invoke("bulk_read_submitter", target_of(event["Records"][0]["body"]), event, done)

    def downloader(self, event: dict[str, Any], done: Done) -> None:
        """Deliver a message of the download queue."""
        self._invoke("result_downloader", target_of(event["Records"][0]["body"]), event, done)

    def callback(self, url: str, body: bytes, done: Done) -> None:
        """Post to a callback URL; done(None) if it did not succeed."""
        *_, export_id, part, _signature = url.split("/")
        event = _post_event(url.removeprefix(CALLBACK_BASE_URL), body.decode(), {})
        self._invoke("callback_receiver", (export_id, int(part)), event, _if_successful(done))

    def reconciler(self, done: Done) -> None:
        """Tick."""
        self._invoke("export_reconciler", None, {}, done)

    def _invoke(
        self, function: str, target: tuple[str, int] | None, event: dict[str, Any], done: Done
    ) -> None:
        """Run a handler in a container; done(response), with None if it raised or died."""
        self._invocations += 1
        if self._invocations == self._most_invocations:
            self._calls.runaway(f"busy loop: {self._invocations} invocations, the last of {function}")
        name = f"t={self._scheduler.now:.3f} {function}#{self._invocations}"
        task = self._task(name, function, target)
        idle = self._idle[function]
        container = idle.pop() if idle else self._new_container()
        context = Context(function, name, lambda: int(1000 * (task.ends_at - self._scheduler.now)))
        handler = import_module(f"functions.{function}.app").lambda_handler

        def run() -> None:
            response = None
            try:
                with running_in(container):
                    response = handler(event, context)
                self._calls.trace(f"{name} -> {response!r:.200}")
            except Exception as error:  # Lambda counts it as an error
                self._calls.trace(f"{name} raised {type(error).__name__}: {error}")
            finally:
                task.ended = True
                if not task.dead:
                    idle.append(container)
                self._scheduler.after(0.0, partial(done, response))

        self._scheduler.start(task, run)

    def _task(self, name: str, function: str, target: tuple[str, int] | None) -> Task:
        faults, skew = self._calls.faults, self._rng.uniform(-0.05, 0.05)
        if faults.happens("function's clock wrong", target):
            skew = self._rng.choice(_SKEWS)
        task = Task(name, target, ends_at=self._scheduler.now + TIMEOUTS[function], skew=skew)
        for kind, after in (("function killed before a call", False), ("function killed after a call", True)):
            if faults.planned(kind):
                task.kill_at = (self._rng.randint(1, _LAST_CALL_TO_DIE_AT), after)
        return task

    def _new_container(self) -> Container:
        return SmallContainer(
            self._sizes, self._env, self._table, aws=self._aws.__getitem__, session=self._session,
            system=self._system,
        )  # fmt: skip


def _post_event(path: str, body: str, headers: dict[str, str], account: str = ACCOUNT) -> dict[str, Any]:
    """Return a POST event of API Gateway's HTTP API, payload format 2.0, from an account's caller."""
    claims = {"account_id": account, "uid": OWNER}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "authorizer": {"jwt": {"claims": claims}},
            "domainName": "api.example.com",
            "http": {"method": "POST", "path": path},
            "requestId": "request",
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def _if_successful(done: Done) -> Done:
    return lambda response: done(response if response and response["statusCode"] < 300 else None)
