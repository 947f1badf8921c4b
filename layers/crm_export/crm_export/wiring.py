"""Builds what the functions use, once per container. Nothing else builds clients, and nothing at import.

Imports are lazy, so that a function loads only what it uses.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from crm_export.settings import Settings, ZohoSettings

if TYPE_CHECKING:
    from crm_export.aws.part_queue import SqsPartQueue
    from crm_export.aws.results_bucket import ResultsBucket
    from crm_export.connections.model import Connection, ConnectionStore
    from crm_export.exports.callbacks import KeyRing
    from crm_export.exports.pipeline import DownloadBudget, ExportStore
    from crm_export.zoho.bulk_read import BulkRead
    from crm_export.zoho.client import TokenSource, ZohoClient
    from crm_export.zoho.oauth import AccessToken
    from crm_export.zoho.records import RecordPages


@cache
def _settings(kind: Any) -> Any:
    return kind.from_env(os.environ)


def settings_of[S: Settings](kind: type[S]) -> S:
    """The function's settings from its environment."""
    return cast(S, _settings(cast(Any, kind)))


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


@cache
def aws(service: str) -> Any:
    """A boto3 client; but for S3, all its tries together end well before API Gateway gives up."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=2,
        read_timeout=60 if service == "s3" else 4,
        retries={"mode": "standard", "total_max_attempts": 4 if service == "s3" else 3},
        signature_version="s3v4" if service == "s3" else None,
    )
    return boto3.client(cast(Any, service), config=config)


@cache
def secret(secret_id: str) -> str:
    """The string of one of the stack's own secrets."""
    from crm_export.connections.secrets_manager import read_secret  # noqa: PLC0415

    return read_secret(aws("secretsmanager"), secret_id)


@cache
def callback_keys(secret_id: str) -> "KeyRing":
    """The keys of callback URLs, current and previous."""
    from crm_export.connections.secrets_manager import read_rotated_secret  # noqa: PLC0415
    from crm_export.exports.callbacks import KeyRing  # noqa: PLC0415

    return KeyRing(lambda: read_rotated_secret(aws("secretsmanager"), secret_id))


@cache
def export_store(table: str) -> "ExportStore":
    """The state of exports."""
    from crm_export.aws.export_table import DynamoExportStore  # noqa: PLC0415

    return DynamoExportStore(aws("dynamodb"), table)


@cache
def part_queue(url: str) -> "SqsPartQueue":
    """The submit or the download queue."""
    from crm_export.aws.part_queue import SqsPartQueue  # noqa: PLC0415

    return SqsPartQueue(aws("sqs"), url)


@cache
def download_budget(table: str, per_minute: int) -> "DownloadBudget":
    """The downloads an account may begin."""
    from crm_export.aws.download_budget import DynamoDownloadBudget  # noqa: PLC0415

    return DynamoDownloadBudget(aws("dynamodb"), table, per_minute)


@cache
def results(bucket: str) -> "ResultsBucket":
    """The results bucket."""
    from crm_export.aws.results_bucket import ResultsBucket  # noqa: PLC0415

    return ResultsBucket(aws("s3"), bucket)


def presigner(bucket: str, seconds: int = 900) -> Callable[[str], str]:
    """Makes links to objects that work for so many seconds."""

    def presign(key: str) -> str:
        url: str = aws("s3").generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
        )
        return url

    return presign


@cache
def mongo_collection(uri: str) -> Any:
    """The collection of connections, over one client."""
    from crm_export.connections.mongo import open_collection  # noqa: PLC0415

    return open_collection(uri)


@cache
def connections(settings: ZohoSettings) -> "ConnectionStore":
    """Where the OAuth grants are."""
    if settings.token_store == "mongo":  # noqa: S105
        from crm_export.connections.mongo import MongoConnections  # noqa: PLC0415

        collection = mongo_collection(secret(settings.mongo_uri_secret_id))
        return MongoConnections(collection, settings.trusted_zoho_origins)
    from crm_export.connections.secrets_manager import SecretsManagerConnections  # noqa: PLC0415

    return SecretsManagerConnections(
        aws("secretsmanager"), settings.connection_prefix, settings.trusted_zoho_origins
    )


@cache
def _zoho_session() -> Any:
    from crm_export.zoho.transport import make_session  # noqa: PLC0415

    return make_session()


@cache
def _client_of(settings: ZohoSettings, connection: "Connection") -> "ZohoClient":
    """One per connection as stored: its token is kept for as long as the stored grant is the same."""
    from crm_export.aws.token_cache import DynamoTokenCache  # noqa: PLC0415
    from crm_export.connections.broker import FreshTokens, TokenBroker  # noqa: PLC0415
    from crm_export.zoho.client import ZohoClient  # noqa: PLC0415
    from crm_export.zoho.oauth import refresh_access_token  # noqa: PLC0415

    def refresh(grant: "Connection") -> "AccessToken":
        return refresh_access_token(
            _zoho_session(), grant.accounts_server, _credentials(settings), grant.refresh_token
        )

    store = connections(settings)
    tokens: TokenSource
    if settings.access_token_cache == "off":  # noqa: S105
        tokens = FreshTokens(connection, store, refresh)
    else:
        cache = DynamoTokenCache(aws("dynamodb"), settings.exports_table)
        tokens = TokenBroker(connection, store, refresh, cache)
    return ZohoClient(_zoho_session(), connection.api_domain, tokens)


def _credentials(settings: ZohoSettings) -> Any:
    import json  # noqa: PLC0415

    from crm_export.zoho.oauth import ZohoClientCredentials  # noqa: PLC0415

    stored = json.loads(secret(settings.zoho_client_secret_id))
    return ZohoClientCredentials(stored["client_id"], stored["client_secret"])


def zoho_client(settings: ZohoSettings, account_id: str, owner: str) -> "ZohoClient":
    """Zoho in the name of a connection. Raises as ConnectionStore.get."""
    return _client_of(settings, connections(settings).get(account_id, owner))


def bulk_read(settings: ZohoSettings) -> Callable[[str, str], "BulkRead"]:
    """Bulk Read in the name of a connection."""
    from crm_export.zoho.bulk_read import BulkRead  # noqa: PLC0415

    return lambda account_id, owner: BulkRead(zoho_client(settings, account_id, owner))


def records(settings: ZohoSettings) -> Callable[[str, str], "RecordPages"]:
    """The records API in the name of a connection."""
    from crm_export.zoho.records import RecordPages  # noqa: PLC0415

    return lambda account_id, owner: RecordPages(zoho_client(settings, account_id, owner))
