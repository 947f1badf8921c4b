"""The functions, as functions/*/app.py put them together, each invocation a task that may die."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from crm_export import deadline
from crm_export.aws.download_budget import DynamoDownloadBudget
from crm_export.aws.export_table import DynamoExportStore
from crm_export.aws.part_queue import SqsPartQueue, consume
from crm_export.aws.results_bucket import ResultsBucket
from crm_export.aws.token_cache import DynamoTokenCache
from crm_export.connections.broker import TokenBroker
from crm_export.connections.secrets_manager import SecretsManagerConnections
from crm_export.exports.callbacks import callback_url, receive_callback, verify
from crm_export.exports.download import DownloadServices, advance_part
from crm_export.exports.model import Export
from crm_export.exports.reconcile import ReconcileServices, reconcile
from crm_export.exports.request import ExportRequest
from crm_export.exports.start import StartServices, start_export
from crm_export.exports.submit import SubmitServices, submit_part
from crm_export.zoho.bulk_read import BulkRead
from crm_export.zoho.client import ZohoClient
from crm_export.zoho.oauth import AccessToken, ZohoClientCredentials, refresh_access_token
from crm_export.zoho.records import RecordPages
from simulation.calls import Calls
from simulation.dynamodb import DynamoDb
from simulation.queues import Sqs
from simulation.scheduler import Scheduler, Task
from simulation.zoho_http import API_DOMAIN, Session

# As template.yaml has them: tests/simulation holds both to each other.
TIMEOUTS = {"start": 29, "submitter": 29, "callback": 10, "downloader": 900, "reconciler": 240}
QUIET_SECONDS, DOWNLOADS_PER_MINUTE, JOB_DEADLINE = 300, 10, timedelta(minutes=180)
ACCOUNT, OWNER = "acct-1", "user-1"
SIGNING_KEY, CLIENT_SECRET, REFRESH_TOKEN = b"signing-key-5f2c", "client-secret-77aa", "1000.refresh-31bd"
CALLBACK_BASE_URL = "https://api.example.com"
_LAST_CALL_TO_DIE_AT = 30
_SKEWS = (-400.0, -60.0, -5.0, 5.0, 60.0, 400.0)

type Done = Callable[[Any], None]


class Secrets:
    """A boto3 client of Secrets Manager with the one connection."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        """See boto3."""
        token = {"refresh_token": REFRESH_TOKEN, "api_domain": API_DOMAIN}
        found = {"SecretString": json.dumps({"token": token})}
        refused = "table unreachable"
        return self._calls.aws(
            f"secretsmanager get {SecretId}", lambda again: found, seconds=0.01,
            twice=refused, lost=refused, refused=refused,
        )  # fmt: skip


@dataclass
class Container:
    """What an execution environment keeps between invocations."""

    clients: dict[tuple[str, str], ZohoClient] = field(default_factory=dict)


class Functions:
    """All functions of the stack."""

    def __init__(
        self, scheduler: Scheduler, calls: Calls, rng: Random, *,
        dynamodb: DynamoDb, sqs: Sqs, session: Session,
        api_version: str, deadline_hours: int, result_format: str,
    ) -> None:  # fmt: skip
        self._scheduler = scheduler
        self._calls = calls
        self._rng = rng
        self._dynamodb = dynamodb
        self._session = session
        self._api_version = api_version
        self._deadline_hours = deadline_hours
        self._result_format = result_format
        self._store = DynamoExportStore(dynamodb, "exports")
        self._budget = DynamoDownloadBudget(dynamodb, "exports", DOWNLOADS_PER_MINUTE)
        self.results: ResultsBucket  # set by the world
        self._submit_queue = SqsPartQueue(sqs, "submit")
        self._download_queue = SqsPartQueue(sqs, "download")
        self._connections = SecretsManagerConnections(Secrets(calls), "connections", ())
        self._containers: defaultdict[str, list[Container]] = defaultdict(list)
        self._invocations = 0

    # --- entry points ---

    def start(self, request: ExportRequest, done: Done) -> None:
        """POST /v1/e/zoho/bulk-read/{type}."""

        def handle(container: Container) -> Export:
            self._client(container, ACCOUNT, OWNER)  # as post_export, which looks for the connection first
            services = StartServices(
                store=self._store,
                submit_queue=self._submit_queue,
                submit=self._submit(container),
                clock=self._scheduler.utc_now,
                api_version=self._api_version,
                deadline_hours=self._deadline_hours,
                retention_days=30,
                result_format=self._result_format,
            )
            return start_export(services, request, ACCOUNT, OWNER, CALLBACK_BASE_URL)

        self._invoke("start", None, handle, done)

    def submitter(self, event: dict[str, Any], done: Done) -> None:
        """A message of the submit queue."""
        self._invoke(
            "submitter", _target(event), lambda c: consume(event, self._submit_queue, self._submit(c)), done
        )

    def downloader(self, event: dict[str, Any], done: Done) -> None:
        """A message of the download queue."""

        def handle(container: Container) -> Any:
            services = DownloadServices(
                store=self._store,
                submit_queue=self._submit_queue,
                download_queue=self._download_queue,
                bulk_read=self._bulk_read(container),
                records=self._records(container),
                results=self.results,
                budget=self._budget,
                job_deadline=JOB_DEADLINE,
                clock=self._scheduler.utc_now,
            )
            return consume(
                event, self._download_queue, lambda export_id, part: advance_part(services, export_id, part)
            )

        self._invoke("downloader", _target(event), handle, done)

    def callback(self, url: str, body: bytes, done: Done) -> None:
        """POST to a callback URL."""
        *_, export_id, part, signature = url.split("/")

        def handle(container: Container) -> str:
            number = verify((SIGNING_KEY,), export_id, part, signature)
            receive_callback(self._store, self._download_queue, export_id, number, body)
            return "200"

        self._invoke("callback", (export_id, int(part)), handle, done)

    def reconciler(self, done: Done) -> None:
        """A tick."""
        services = ReconcileServices(
            self._store, self._submit_queue, self._download_queue, self._scheduler.utc_now, QUIET_SECONDS
        )
        self._invoke("reconciler", None, lambda container: reconcile(services), done)

    # --- how they run ---

    def _invoke(
        self, function: str, target: tuple[str, int] | None, handle: Callable[[Container], Any], done: Done
    ) -> None:
        self._invocations += 1
        name = f"t={self._scheduler.now:.3f} {function}#{self._invocations}"
        ends_at = self._scheduler.now + TIMEOUTS[function]
        faults, skew = self._calls.faults, self._rng.uniform(-0.05, 0.05)
        if faults.happens("function's clock wrong", target):
            skew = self._rng.choice(_SKEWS)
        task = Task(name, target, ends_at=ends_at, skew=skew)
        for kind, after in (("function killed before a call", False), ("function killed after a call", True)):
            if faults.planned(kind):
                task.kill_at = (self._rng.randint(1, _LAST_CALL_TO_DIE_AT), after)
        idle = self._containers[function]
        container = idle.pop() if idle else Container()

        def run() -> None:
            answer = None
            try:
                with deadline.ends_in(TIMEOUTS[function]):
                    answer = handle(container)
                self._calls.trace(f"{name} -> {answer!r:.200}")
            except Exception as error:  # Lambda counts it, and so it ends
                self._calls.trace(f"{name} raised {type(error).__name__}: {error}")
            finally:
                if not task.dead:
                    idle.append(container)
                self._scheduler.after(0.0, lambda: done(answer))

        self._scheduler.start(task, run)

    def _submit(self, container: Container) -> Callable[[str, int], None]:
        services = SubmitServices(
            store=self._store,
            submit_queue=self._submit_queue,
            download_queue=self._download_queue,
            bulk_read=self._bulk_read(container),
            records=self._records(container),
            callback_url=lambda export, number: callback_url(SIGNING_KEY, export, number),
            clock=self._scheduler.utc_now,
        )
        return lambda export_id, part: submit_part(services, export_id, part)

    def _bulk_read(self, container: Container) -> Callable[[str, str], BulkRead]:
        return lambda account_id, owner: BulkRead(self._client(container, account_id, owner))

    def _records(self, container: Container) -> Callable[[str, str], RecordPages]:
        return lambda account_id, owner: RecordPages(self._client(container, account_id, owner))

    def _client(self, container: Container, account_id: str, owner: str) -> ZohoClient:
        connection = self._connections.get(account_id, owner)
        client = container.clients.get((account_id, owner))
        if client is None:
            cache = DynamoTokenCache(self._dynamodb, "exports")
            tokens = TokenBroker(
                connection, self._connections, self._refresh, cache, clock=self._scheduler.epoch
            )
            session: Any = self._session
            client = container.clients[account_id, owner] = ZohoClient(session, API_DOMAIN, tokens)
        return client

    def _refresh(self, grant: Any) -> AccessToken:
        session: Any = self._session
        credentials = ZohoClientCredentials("client-1", CLIENT_SECRET)
        return refresh_access_token(session, grant.accounts_server, credentials, grant.refresh_token)


def _target(event: dict[str, Any]) -> tuple[str, int]:
    message = json.loads(event["Records"][0]["body"])
    return message["export_id"], message["part"]
