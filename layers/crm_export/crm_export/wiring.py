"""Builds what the functions use, once per container; nothing is built at import.

Imports are lazy, so that a function loads only what it uses.
"""
# ruff: noqa: PLC0415

import gc
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import cache, cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from crm_export import deadline
from crm_export.errors import ConfigurationError
from crm_export.exports.pipeline import Limits, Pipeline, Zoho
from crm_export.settings import (
    ApiSettings,
    BulkReadSubmitterSettings,
    CallbackReceiverSettings,
    EventSettings,
    ExportHandlerSettings,
    ExportReconcilerSettings,
    ParquetWriterSettings,
    ResultDownloaderSettings,
    ZohoSettings,
)
from crm_export.system import MACHINE, System

if TYPE_CHECKING:
    from crm_export.aws.glue_tables import GlueTables
    from crm_export.aws.lake_bucket import LakeBucket
    from crm_export.aws.part_queue import SqsPartQueue
    from crm_export.aws.results_bucket import ResultsBucket
    from crm_export.cached import Cached
    from crm_export.connections.broker import Refresh
    from crm_export.connections.model import Connection, ConnectionStore
    from crm_export.exports.callbacks import KeyRing
    from crm_export.sync.model import Syncs, SyncTable
    from crm_export.zoho.checks import Report
    from crm_export.zoho.client import TokenSource, ZohoClient
    from crm_export.zoho.records import RecordsReader

_LINK_SECONDS = 900
_MOST_CLIENTS = 1000  # connections whose tokens and metadata a container keeps

# All AWS services that the functions call: `make build` removes botocore's data of the others from the layer.
SERVICES = ("dynamodb", "events", "glue", "s3", "secretsmanager", "sqs")


@cache
def boto3_client(service: str) -> Any:
    """Return a boto3 client. Except for S3, all its retries end well before API Gateway gives up."""
    # Where awscrt is installed, botocore's signer in it copies each payload, even if it is not signed.
    os.environ.setdefault("BOTO_DISABLE_CRT", "true")
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=2,
        read_timeout=60 if service == "s3" else 4,
        retries={"mode": "standard", "total_max_attempts": 4 if service == "s3" else 3},
        signature_version="s3v4" if service == "s3" else None,
        s3=s3_options(os.environ) if service == "s3" else None,
    )
    client: Any = boto3.client(service, config=config)  # type: ignore[call-overload]
    return client


def s3_options(env: Mapping[str, str]) -> Any:
    """Return how buckets are addressed, and that payloads are not signed.

    A bucket is addressed by a host of its region, and not by the global one, which redirects to a new
    bucket's region for hours, and does not serve opt-in regions. A server at an endpoint of its own has no
    hosts of buckets. Each payload has a CRC32 that S3 verifies: a SHA-256 of it would only cost time.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
    """
    unsigned = {"payload_signing_enabled": False}
    if env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"):
        return unsigned | {"addressing_style": "path"}
    return unsigned | {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}


@cache
def mongo_collection(uri: str) -> Any:
    """Return the MongoDB collection of connections; one client serves all containers of a process."""
    from crm_export.connections.mongo import open_collection

    return open_collection(uri)


class Container:
    """What one execution environment of Lambda builds at its first use and keeps between invocations.

    env: the function's environment variables. aws(service): a boto3 client. Raises ConfigurationError where a
    variable is missing or invalid.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        *,
        aws: Callable[[str], Any] = boto3_client,
        session: Any = None,
        system: System = MACHINE,
    ) -> None:
        self._env = env
        self._make_client = aws
        self.clients: dict[str, Any] = {}  # those that are in use, by service
        self._given_session = session
        self.system = system

    def _aws(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = self._make_client(service)
        return self.clients[service]

    @cached_property
    def api(self) -> ApiSettings:
        """How the functions of the HTTP API read a request."""
        return ApiSettings.from_env(self._env)

    # --- One per function --------------------------------------------------------------------

    @cached_property
    def handler_settings(self) -> ExportHandlerSettings:
        """The settings of functions/export_handler."""
        return ExportHandlerSettings.from_env(self._env)

    @cached_property
    def handler_zoho(self) -> Callable[[str, str], Zoho]:
        """Zoho for functions/export_handler."""
        from crm_export.zoho import raw_records  # noqa: F401 - every page uses it; here Lambda initializes

        return self._zoho_of(self.handler_clients)

    @cached_property
    def handler_clients(self) -> Callable[[str, str], "ZohoClient"]:
        """The clients of connections, for functions/export_handler."""
        return self._clients(self.handler_settings)

    def handler_check(self, account_id: str, owner: str) -> "Report":
        """Try a connection as it is stored now, with a new access token. Nothing is changed or marked.

        Raises as ConnectionStore.get, `refresher` and Checks.run do.
        """
        from crm_export.zoho.checks import Checks

        settings = self.handler_settings
        connection = self._connections(settings).get(account_id, owner)
        token = self._refresh(settings)(connection)
        return Checks(self._session, connection.api_domain, token, self.system).run()

    @cached_property
    def submitter(self) -> Pipeline:
        """The Pipeline of functions/bulk_read_submitter."""
        settings = BulkReadSubmitterSettings.from_env(self._env)
        return Pipeline(
            **self._table_and_queues(settings),
            zoho=self._zoho(settings),
            callback_keys=self._callback_keys(settings.callback_secret_id),
            **self._events(settings),
            callback_base_url=settings.callback_base_url,
            link=partial(self._link, settings.results_bucket),
            limits=Limits(
                api_version=settings.bulk_read_api_version,
                result_format=settings.result_format,
                deadline=timedelta(hours=settings.export_deadline_hours),
                retention=timedelta(days=settings.state_retention_days),
                max_open_exports=settings.max_open_exports,
            ),
        )

    @cached_property
    def receiver(self) -> Pipeline:
        """The Pipeline of functions/callback_receiver."""
        settings = CallbackReceiverSettings.from_env(self._env)
        return Pipeline(
            download_queue=self._queue(settings.download_queue_url),
            system=self.system,
            callback_keys=self._callback_keys(settings.callback_secret_id),
        )

    @cached_property
    def downloader(self) -> Pipeline:
        """The Pipeline of functions/result_downloader."""
        from crm_export.aws.download_budget import DynamoDownloadBudget
        from crm_export.sync.finish import RunEnds
        from crm_export.sync.model import Lag

        settings = ResultDownloaderSettings.from_env(self._env)
        return Pipeline(
            **self._table_and_queues(settings),
            zoho=self._zoho(settings),
            callback_keys=self._callback_keys(settings.callback_secret_id),
            **self._events(settings),
            results=self._results(settings.results_bucket),
            budget=DynamoDownloadBudget(
                self._aws("dynamodb"), settings.exports_table, settings.downloads_per_minute
            ),
            limits=Limits(job_deadline=timedelta(minutes=settings.job_deadline_minutes)),
            runs=RunEnds(self._sync_table(settings), Lag(timedelta(minutes=settings.sync_overlap_minutes))),
        )

    @cached_property
    def reconciler(self) -> Pipeline:
        """The Pipeline of functions/export_reconciler."""
        settings = ExportReconcilerSettings.from_env(self._env)
        return Pipeline(
            **self._table_and_queues(settings),
            **self._events(settings),
            limits=Limits(quiet=timedelta(seconds=settings.part_quiet_seconds)),
        )

    # --- Syncs ---------------------------------------------------------------------------------

    @cached_property
    def syncs(self) -> "Syncs":
        """Syncs for functions/bulk_read_submitter."""
        from crm_export.sync.model import Lag, SyncLimits, Syncs

        settings = BulkReadSubmitterSettings.from_env(self._env)
        minutes = (settings.sync_overlap_minutes, settings.sync_lag_minutes)
        lag = Lag(*(timedelta(minutes=number) for number in minutes))
        return Syncs(self.submitter, self._sync_table(settings), SyncLimits(lag, settings.credit_share))

    @cached_property
    def due_syncs(self) -> "Syncs":
        """Syncs for functions/export_reconciler, which only queues them."""
        from crm_export.sync.model import Syncs

        settings = ExportReconcilerSettings.from_env(self._env)
        return Syncs(self.reconciler, self._sync_table(settings))

    def _sync_table(
        self, settings: BulkReadSubmitterSettings | ResultDownloaderSettings | ExportReconcilerSettings
    ) -> "SyncTable":
        from crm_export.aws.sync_table import DynamoSyncTable

        return DynamoSyncTable(self._aws("dynamodb"), settings.exports_table)

    @cached_property
    def lake(self) -> "LakeBucket":
        """The lake for functions/parquet_writer."""
        from crm_export.aws.lake_bucket import LakeBucket

        return LakeBucket(self._aws("s3"), self._parquet_settings.results_bucket)

    @cached_property
    def tables(self) -> "GlueTables | None":
        """Where functions/parquet_writer registers tables, or None."""
        from crm_export.aws.glue_tables import GlueTables

        database = self._parquet_settings.glue_database
        return GlueTables(self._aws("glue"), database) if database else None

    @cached_property
    def manifest_queue(self) -> "SqsPartQueue":
        """The queue of functions/parquet_writer."""
        from crm_export.aws.part_queue import SqsPartQueue

        return SqsPartQueue(self._aws("sqs"), self._parquet_settings.parquet_queue_url)

    @cached_property
    def _parquet_settings(self) -> ParquetWriterSettings:
        return ParquetWriterSettings.from_env(self._env)

    # --- Parts that several functions use ----------------------------------------------------

    def _table_and_queues(
        self, settings: BulkReadSubmitterSettings | ResultDownloaderSettings | ExportReconcilerSettings
    ) -> dict[str, Any]:
        from crm_export.aws.export_table import DynamoExportTable

        return {
            "table": DynamoExportTable(self._aws("dynamodb"), settings.exports_table),
            "submit_queue": self._queue(settings.submit_queue_url),
            "download_queue": self._queue(settings.download_queue_url),
            "system": self.system,
        }

    def _queue(self, url: str) -> "SqsPartQueue":
        from crm_export.aws.part_queue import SqsPartQueue

        return SqsPartQueue(self._aws("sqs"), url)

    def _events(self, settings: EventSettings) -> dict[str, Any]:
        from crm_export.aws.event_bus import EventBridgeBus

        bus = EventBridgeBus(partial(self._aws, "events"), settings.event_bus)
        return {"events": bus, "results_bucket": settings.results_bucket}

    def _results(self, bucket: str) -> "ResultsBucket":
        from crm_export.aws.results_bucket import ResultsBucket

        return ResultsBucket(self._aws("s3"), bucket)

    def _callback_keys(self, secret_id: str) -> "KeyRing":
        from crm_export.connections.secrets_manager import read_rotated_secret
        from crm_export.exports.callbacks import KeyRing

        client = self._aws("secretsmanager")
        return KeyRing(lambda: read_rotated_secret(client, secret_id), self.system.monotonic)

    def _link(self, bucket: str, key: str) -> str:
        url: str = self._aws("s3").generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=_LINK_SECONDS
        )
        return url

    # --- Zoho's API with the tokens of a connection ------------------------------------------

    def _zoho(self, settings: ZohoSettings) -> Callable[[str, str], Zoho]:
        """Return a function of account_id and owner, which raises as ConnectionStore.get does.

        There is one client per stored grant, so a new refresh token gets a new client.
        """
        return self._zoho_of(self._clients(settings))

    def _zoho_of(self, client_of: Callable[[str, str], "ZohoClient"]) -> Callable[[str, str], Zoho]:
        from crm_export.zoho.bulk_read import BulkRead
        from crm_export.zoho.census import Census
        from crm_export.zoho.changes import Changes
        from crm_export.zoho.metadata import known_modules

        def zoho(account_id: str, owner: str) -> Zoho:
            client = client_of(account_id, owner)
            known = partial(known_modules, client)
            return Zoho(BulkRead(client), self._records(client), Census(client), Changes(client), known)

        return zoho

    def _clients(self, settings: ZohoSettings) -> Callable[[str, str], "ZohoClient"]:
        """Return a function of account_id and owner that returns the client of their connection."""
        from crm_export.connections.kept import KeptConnections

        store = KeptConnections(
            self._connections(settings), settings.connection_cache_seconds, self.system.monotonic
        )
        build_client = self._client_factory(settings)

        def client_of(account_id: str, owner: str) -> "ZohoClient":
            return client_for(store.get(account_id, owner))

        @lru_cache(_MOST_CLIENTS)
        def client_for(connection: "Connection") -> "ZohoClient":
            successor = partial(client_of, connection.account_id, connection.owner)
            return build_client(store, connection, successor)

        return client_of

    def _records(self, client: "ZohoClient") -> "RecordsReader":
        from crm_export.zoho.records import RecordsReader

        return RecordsReader(client)

    def _connections(self, settings: ZohoSettings) -> "ConnectionStore":
        if settings.token_store == "mongo":  # noqa: S105
            from crm_export.connections.mongo import MongoConnections

            collection = self._cached_secret(settings.mongo_uri_secret_id, mongo_collection)
            return MongoConnections(collection, settings.trusted_zoho_origins)
        from crm_export.connections.secrets_manager import SecretsManagerConnections

        return SecretsManagerConnections(
            self._aws("secretsmanager"), settings.connection_prefix, settings.trusted_zoho_origins
        )

    def _client_factory(
        self, settings: ZohoSettings
    ) -> "Callable[[ConnectionStore, Connection, Callable[[], ZohoClient]], ZohoClient]":
        from crm_export.aws.token_cache import DynamoTokenCache
        from crm_export.connections.broker import FreshTokens, TokenBroker
        from crm_export.zoho.client import ZohoClient

        session, system = self._session, self.system
        token_cache = DynamoTokenCache(self._aws("dynamodb"), settings.exports_table)
        refresh = self._refresh(settings)

        def client(
            store: "ConnectionStore", connection: "Connection", successor: "Callable[[], ZohoClient]"
        ) -> "ZohoClient":
            tokens: TokenSource
            if settings.access_token_cache == "off":  # noqa: S105
                tokens = FreshTokens(connection, store, refresh)
            else:
                tokens = TokenBroker(connection, store, refresh, token_cache, system)
            return ZohoClient(session, connection.api_domain, tokens, system, successor)

        return client

    def _refresh(self, settings: ZohoSettings) -> "Refresh":
        from crm_export.connections.broker import refresher
        from crm_export.zoho.grants import ZohoClientCredentials

        def credentials(text: str) -> ZohoClientCredentials:
            stored = json.loads(text)
            return ZohoClientCredentials(stored["client_id"], stored["client_secret"])

        our_client = self._cached_secret(settings.zoho_client_secret_id, credentials)
        return refresher(self._session, our_client, self.system)

    def _cached_secret[T](self, secret_id: str, use: Callable[[str], T]) -> "Cached[T]":
        """Return what `use` makes of a secret of the stack's own."""
        from crm_export.cached import Cached
        from crm_export.connections.secrets_manager import read_secret

        client = self._aws("secretsmanager")
        return Cached(lambda: use(read_secret(client, secret_id)), self.system.monotonic)

    @cached_property
    def _session(self) -> Any:
        from crm_export.zoho.transport import make_session

        return self._given_session or make_session()


_running_in: ContextVar[Container | None] = ContextVar("container", default=None)


@cache
def _lambda_container() -> Container:
    return Container(os.environ)


def at_init(build: Callable[[Container], object]) -> None:
    """Build what a function always uses while Lambda initializes it, with a whole CPU; elsewhere do nothing.

    An invalid setting does not end the initialization: the invocation reports it. What exists at the end
    stays as long as the process, so the garbage collector, which is off until then, never looks at it.
    """
    if not os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE"):
        return
    from crm_export.aws.rehearsal import rehearse

    own = _lambda_container()
    with suppress(ConfigurationError):
        build(own)
    for service, client in own.clients.items():
        rehearse(client, service)
    gc.freeze()
    gc.enable()
    if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start":
        from snapshot_restore_py import register_after_restore  # a part of Lambda's runtime

        register_after_restore(random.seed)  # or all environments of one snapshot would wait equally long


def container() -> Container:
    """Return the container that the calling handler runs in."""
    return _running_in.get() or _lambda_container()


@contextmanager
def running_in(other: Container) -> Iterator[None]:
    """Run handlers in this container instead of Lambda's own."""
    token = _running_in.set(other)
    try:
        with deadline.clocked_by(other.system.monotonic):
            yield
    finally:
        _running_in.reset(token)
