"""Everything about the simulator that can be set, at start or over PATCH /__sim__/config."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

VERSIONS = ("v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8")


def _default_records() -> dict[str, int]:
    return {
        "Contacts": 1000, "Accounts": 600, "Deals": 400, "Leads": 300, "Tasks": 200, "Events": 150,
        "Calls": 100, "Notes": 250, "Products": 80, "Campaigns": 40, "Cases": 60, "Vendors": 30,
        "Projects": 50, "Invoices": 70, "Price_Books": 10, "Purchase_Orders": 45, "Quotes": 55,
        "Sales_Orders": 65, "Solutions": 20, "Inspections": 35,
    }  # fmt: skip


def _default_deleted() -> dict[str, int]:
    return {"Contacts": 12, "Accounts": 5}


@dataclass
class SimulatorConfig:
    """All switches. Those marked [U] stand for something Zoho does not document."""

    # Data
    records: dict[str, int] = field(default_factory=_default_records)
    deleted: dict[str, int] = field(default_factory=_default_deleted)
    seed: int = 1
    custom_views: dict[str, dict[str, Any]] = field(default_factory=dict)  # cvid → {"module", "criteria"}

    # OAuth
    client_id: str = "1000.LOCAL"
    client_secret: str = "local-secret"  # noqa: S105 - the simulator's own, public by design
    refresh_tokens: set[str] = field(default_factory=lambda: {"1000.local.refresh"})
    scopes: str = (
        "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL,ZohoCRM.settings.ALL,ZohoCRM.users.ALL,ZohoCRM.org.ALL"
    )
    api_domain: str = ""  # empty: the simulator's own URL
    access_token_seconds: float = 3600
    token_window_seconds: float = 600
    tokens_per_window: int = 10
    active_tokens: int = 15  # [U] 10 on another page of Zoho
    throttle_status: int = 400  # [U] Zoho's own post says 200
    expires_in_style: Literal["seconds", "expires_in_sec"] = "seconds"
    token_scope_in_answer: bool = True

    # Limits
    credits: int = 5_000_000
    credit_window_seconds: float = 86_400
    concurrency: int = 25
    downloads_per_minute: int = 10  # 0: no limit
    too_many_requests_message: str = "too many requests. please try again after some time"  # [U]

    # Records API
    notes_admin_only: bool = False  # True: the user is no administrator
    records_page_cap: int = 2000  # v3+; beyond it a page token is needed
    records_token_cap: int = 100_000
    # [U] how a page token finds its page when records have changed: behind the last record, or by counting
    records_paging: Literal["cursor", "offset"] = "cursor"
    records_dotted_fields: bool = (
        False  # [U] False: a dotted name in `fields` is ignored, as an unknown one is
    )
    restricted_modules: set[str] = field(default_factory=set)  # 403 NO_PERMISSION

    # Bulk Read: what is accepted
    versions: tuple[str, ...] = VERSIONS
    bulk_notes: bool = False  # [U] True: a job for Notes is taken and ends with no records
    bulk_unsupported: set[str] = field(default_factory=set)  # modules refused with MODULE_NOT_SUPPORTED
    bulk_page_max: int = 500  # [U] 50 in the 2025 OpenAPI
    bulk_join_limit: int = 10  # [U]
    bulk_criteria_limit: int = 25
    bulk_values_limit: int = 200
    bulk_fields_limit: int = 200
    bulk_strict_keys: bool = True
    bulk_legacy_criteria_api_name: bool = False
    bulk_page_token_with_callback: bool = True  # [U]
    bulk_query_file_type_since: str = "v3"  # [U] in the samples of v3, in Zoho's SDK from v6
    bulk_error_envelope: Literal["flat", "data"] = "flat"  # data: {"data": [error]}, as in the 2025 OpenAPI
    callback_requires_https: bool = False
    page_token_seconds: float = 86_400

    # Bulk Read: jobs
    records_per_job: int = 200_000
    ics_records_per_job: int = 20_000
    added_seconds: float = 0.1
    queued_seconds: float = 0.3
    in_progress_seconds: float = 0.6
    serial_jobs: bool = False
    result_seconds: float = 86_400
    result_gone_status: int = 404  # [U]
    result_not_ready_status: int = 404  # [U]

    # Bulk Read: callback
    callback_shape: Literal["documented", "flat"] = "documented"
    callback_mode: Literal["normal", "early", "never"] = "normal"
    callback_copies: int = 1
    callback_delay: float = 0.0
    callback_content_type: str = "application/json"  # [U]
    callback_attempts: int = 4  # [U]
    callback_retry_seconds: float = 1.0  # [U]
    callback_timeout: float = 10.0

    # Bulk Read: result file
    csv_newline: Literal["\r\n", "\n"] = "\r\n"  # [U]
    csv_quoting: Literal["minimal", "all"] = "minimal"  # [U]
    csv_bom: bool = False  # [U]
    id_position: Literal["first", "last"] = "first"  # [U]
    id_header: Literal["Id", "id"] = "Id"
    multiselect_delimiter: str = ","  # [U]
    zip_method: Literal["deflate", "store"] = "deflate"
    zip_sizes: Literal["descriptor", "descriptor_no_signature", "header"] = "descriptor"
    zip_zip64: bool = False
    result_content_type: Literal["application/zip", "application/x-download"] = "application/zip"
    result_content_length: bool = False  # True generates the file twice, once to count it
    result_filename_style: Literal["plain", "extended"] = "plain"

    clock: Callable[[], float] = time.time

    def public(self) -> dict[str, Any]:
        """The settings as JSON, without the clock."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "clock"}
        return {k: sorted(v) if isinstance(v, set) else v for k, v in values.items()}

    def patch(self, changes: Mapping[str, Any]) -> None:
        """Change settings; dictionaries are merged. Raises ValueError before anything is changed."""
        checked = {name: self._checked(name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def _checked(self, name: str, value: Any) -> Any:
        kinds = {f.name: f.type for f in dataclasses.fields(self) if f.name != "clock"}
        if name not in kinds:
            raise ValueError(f"no setting {name!r}")
        choices = get_args(kinds[name])
        if isinstance(value, str) and choices and all(isinstance(c, str) for c in choices):
            if value not in choices:
                raise ValueError(f"{name} must be one of {list(choices)}, not {value!r}")
            return value
        return _converted(name, getattr(self, name), value)


def _converted(name: str, current: Any, value: Any) -> Any:
    if isinstance(current, set | tuple) and isinstance(value, list | tuple | set):
        return type(current)(value)
    if isinstance(current, dict) and isinstance(value, dict):
        return {**current, **value}
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(current, int)
        and isinstance(value, int)
        and isinstance(current, bool) == isinstance(value, bool)
    ):
        return value
    # A duration may be declared float and hold an int such as 3600.
    if isinstance(current, int) and not isinstance(current, bool) and isinstance(value, float):
        return value
    if type(current) is type(value):
        return value
    raise ValueError(f"{name} must be a {type(current).__name__}, not {value!r}")
