"""One frozen dataclass of settings per function, read from its environment variables.

The field `exports_table` is the variable EXPORTS_TABLE. tests/template checks that template.yaml sets them.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self

from crm_export.errors import ConfigurationError


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


_READERS: dict[Any, Any] = {str: str, int: int, tuple[str, ...]: _split}
_MAY_BE_EMPTY = {"mongo_uri_secret_id", "trusted_zoho_origins", "callback_base_url", "glue_database"}


@dataclass(frozen=True)
class Settings:
    """Base of all settings."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read every field. Raises one ConfigurationError that names every problem.

        An empty variable counts as not set. A field with a default need not be set.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for field in fields(cls):
            name = field.name.upper()
            raw = env.get(name)
            if raw is None or (not raw and field.name not in _MAY_BE_EMPTY):
                if field.default is MISSING:
                    problems.append(f"{name} is not set")
                continue
            try:
                values[field.name] = _READERS[field.type](raw)
            except ValueError:
                problems.append(f"{name} is {raw!r}, not a whole number")
        if problems:
            raise ConfigurationError(f"{cls.__name__}: {'; '.join(problems)}.")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ApiSettings(Settings):
    """What every function of the HTTP API needs to read a request."""

    account_claim: str = "account_id"  # the claim of the JWT whose value is the account
    owner_claim: str = "uid"
    api_base_path: str = ""  # the mapping key of a custom domain, such as crm or crm/eu


@dataclass(frozen=True, kw_only=True)
class EventSettings(Settings):
    """What a function that may end an export needs to announce it."""

    event_bus: str = "default"  # name or ARN of an EventBridge bus
    results_bucket: str


@dataclass(frozen=True)
class ZohoSettings(Settings):
    """What a function needs to call Zoho with the tokens of a connection."""

    token_store: str  # secretsmanager | mongo
    connection_prefix: str
    mongo_uri_secret_id: str
    zoho_client_secret_id: str
    trusted_zoho_origins: tuple[str, ...]
    access_token_cache: str  # shared | off
    connection_cache_seconds: int  # 0: off
    exports_table: str


@dataclass(frozen=True)
class ExportHandlerSettings(ZohoSettings, ApiSettings):
    """Settings of functions/export_handler."""

    records_api_version: str


@dataclass(frozen=True)
class BulkReadSubmitterSettings(ZohoSettings, ApiSettings, EventSettings):
    """Settings of functions/bulk_read_submitter."""

    bulk_read_api_version: str
    submit_queue_url: str
    download_queue_url: str
    callback_secret_id: str
    callback_base_url: str
    result_format: str  # csv | csv.gz
    export_deadline_hours: int
    max_open_exports: int
    state_retention_days: int
    sync_overlap_minutes: int
    sync_lag_minutes: int
    credit_share: int  # percent


@dataclass(frozen=True)
class CallbackReceiverSettings(ApiSettings):
    """Settings of functions/callback_receiver, which does not use the table."""

    download_queue_url: str
    callback_secret_id: str


@dataclass(frozen=True)
class ResultDownloaderSettings(ZohoSettings, EventSettings):
    """Settings of functions/result_downloader."""

    downloads_per_minute: int
    job_deadline_minutes: int
    sync_overlap_minutes: int
    submit_queue_url: str
    download_queue_url: str
    callback_secret_id: str


@dataclass(frozen=True)
class ExportReconcilerSettings(EventSettings):
    """Settings of functions/export_reconciler."""

    exports_table: str
    submit_queue_url: str
    download_queue_url: str
    part_quiet_seconds: int


@dataclass(frozen=True)
class ParquetWriterSettings(Settings):
    """Settings of functions/parquet_writer."""

    results_bucket: str
    parquet_queue_url: str
    glue_database: str  # empty: tables are not registered
