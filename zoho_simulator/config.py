"""Settings of the simulator, and what it needs from outside: time, randomness and transport."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, Literal, get_args

VERSIONS = ("v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8")


def at_least(version: str, first: str) -> bool:
    """Return True if API version `version` is `first` or newer."""
    return VERSIONS.index(version) >= VERSIONS.index(first)


@dataclass(frozen=True)
class Environment:
    """What an organisation needs from outside. The server passes real ones, a simulation virtual ones.

    clock: seconds since 1970. after(seconds, action): run the action once, that much later. post(url,
    headers, body): send a callback and return the HTTP status; raises OSError or HTTPException if the
    receiver cannot be reached. rng: the source of tokens.
    """

    after: Callable[[float, Callable[[], None]], None]
    post: Callable[[str, Mapping[str, str], bytes], int]
    clock: Callable[[], float] = time.time
    rng: Random = field(default_factory=SystemRandom)

    def token(self, count: int) -> str:
        """Return `count` random bytes as hexadecimal digits."""
        return f"{self.rng.getrandbits(8 * count):0{2 * count}x}"


_RECORDS = {
    "Contacts": 1000, "Accounts": 600, "Deals": 400, "Leads": 300, "Tasks": 200, "Events": 150, "Calls": 100,
    "Notes": 250, "Products": 80, "Campaigns": 40, "Cases": 60, "Vendors": 30, "Projects": 50, "Invoices": 70,
    "Price_Books": 10, "Purchase_Orders": 45, "Quotes": 55, "Sales_Orders": 65, "Solutions": 20,
    "Inspections": 35,
}  # fmt: skip


@dataclass
class SimulatorConfig:
    """All settings. [U] marks behaviour that Zoho does not document."""

    # Data
    records: dict[str, int] = field(default_factory=_RECORDS.copy)
    deleted: dict[str, int] = field(default_factory=lambda: {"Contacts": 12, "Accounts": 5})
    seed: int = 1
    first_day: str = "2015-01-01"  # on which the first records are created, in India's time
    hidden_fields: set[str] = field(default_factory=set)  # such as Deals.Next_Step: it does not exist (yet)
    custom_views: dict[str, dict[str, Any]] = field(default_factory=dict)  # cvid: {"module", "criteria"}
    clock_skew_seconds: float = 0.0  # of Zoho's clock, which is in the header Date and in all its times
    visibility_seconds: float = 0.0  # [U] so much later a created or modified record shows in lists and jobs
    restore_moves_modified_time: bool = False  # [U]
    # Minutes east of UTC, by the moment from which on times carry that offset: {"2026-03-29T01:00:00Z": 120}
    utc_offsets: dict[str, float] = field(default_factory=dict)
    one_offset: bool = False  # [U] True: all times carry the offset of the present, not of their own moment

    # OAuth
    client_id: str = "1000.LOCAL"
    client_secret: str = "local-secret"  # noqa: S105 - the simulator's own, public by design
    soid: str = "ZohoCRM.60000000001"  # of the organisation, for client credentials
    refresh_tokens: set[str] = field(default_factory=lambda: {"1000.local.refresh"})
    scopes: str = (
        "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL,ZohoCRM.settings.ALL,ZohoCRM.users.ALL,ZohoCRM.org.ALL,"
        "ZohoSearch.securesearch.READ"
    )
    unknown_scopes: Literal["drop", "refuse"] = "drop"  # [U] what becomes of requested scopes not in `scopes`
    token_names_scopes: bool = True  # False: the token response has no `scope`, as that of a device
    authorization_code_seconds: float = 180
    device_code_seconds: float = 300
    device_interval_seconds: float = 5  # a device that polls sooner is told slow_down
    device_approval: Literal["by_hand", "automatic"] = "by_hand"
    user_location: str = ""  # the data centre of a device's user, if it is another one: other_dc
    accounts_servers: dict[str, str] = field(default_factory=dict)  # in /oauth/serverinfo, by location
    access_token_seconds: float = 3600
    token_window_seconds: float = 600
    tokens_per_window: int = 10
    active_tokens: int = 15  # [U] 10 on another page of Zoho
    throttle_status: int = 400  # [U] Zoho's own post says 200
    expires_in_style: Literal["seconds", "expires_in_sec"] = "seconds"
    api_domain: str = ""  # of the token response; empty: the simulator's own URL
    # The response to an invalid access token: one of the codes seen in the world, or none
    stale_token: Literal[
        "INVALID_TOKEN", "AUTHENTICATION_FAILURE", "AUTHENTICATION_FAILED", "INVALID_OAUTHTOKEN", "bare",
        "redirect", "page",
    ] = "INVALID_TOKEN"  # fmt: skip  # noqa: S105

    # Limits
    credits: int = 5_000_000
    concurrency: int = 25
    downloads_per_minute: int = 10  # 0: no limit

    # Records API
    notes_admin_only: bool = False  # True: the user is not an administrator
    records_per_page: int = 200  # default and maximum of per_page
    records_page_cap: int = 2000  # v3+; records beyond it need a page token
    records_token_cap: int = 100_000
    # [U] what a page token stands for: the last record's key, an offset, or the list as it was on the first
    # page, in which records with equal sort keys come in any order
    records_paging: Literal["cursor", "offset", "snapshot"] = "cursor"
    records_sort_by: tuple[str, ...] = ("id", "Created_Time", "Modified_Time")  # v3+
    records_since_inclusive: bool = False  # [U] True: If-Modified-Since includes the moment itself
    records_dotted_fields: bool = False  # [U] False: dotted names in `fields` are ignored, as unknown ones
    # [U] where a record names the module of its parent: in $se_module, or within the lookup itself
    records_parent_module: Literal["field", "lookup"] = "field"
    restricted_modules: set[str] = field(default_factory=set)  # 403 NO_PERMISSION
    count_lag_seconds: float = 0.0  # [U] actions/count is that of so long ago
    # [U] any: the same each time, but not that of time; random: another one from each first page on
    deleted_order: Literal["newest", "any", "random"] = "newest"
    recycle_days: float = 60.0  # then a deleted record is listed as permanent
    permanent_days: float = 120.0  # then it is not listed any more

    # Bulk Read: create requests
    versions: tuple[str, ...] = VERSIONS
    bulk_notes: bool = False  # [U] True: a job for Notes is accepted and ends without records
    bulk_unsupported: set[str] = field(default_factory=set)  # modules refused with MODULE_NOT_SUPPORTED
    bulk_page_max: int = 500  # [U] 50 in the 2025 OpenAPI
    bulk_join_limit: int = 10  # [U]
    bulk_fields_limit: int = 200
    bulk_strict_keys: bool = True
    bulk_query_file_type_since: str = "v3"  # [U] in the samples of v3, in Zoho's SDK from v6
    bulk_error_envelope: Literal["flat", "data"] = "flat"  # data: {"data": [error]}, as in the 2025 OpenAPI
    page_token_seconds: float = 86_400  # [U] of Bulk Read: from the end of the job on
    bulk_page_of_token: bool = True  # [U] False: job details show no page number if a page token was sent

    # Bulk Read: jobs
    records_per_job: int = 200_000
    ics_records_per_job: int = 20_000
    added_seconds: float = 0.1
    queued_seconds: float = 0.3
    in_progress_seconds: float = 0.6
    result_seconds: float = 86_400
    result_gone_status: int = 404  # [U]

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
    csv_final_newline: bool = True  # [U]
    csv_bom: bool = False  # [U]
    id_position: Literal["first", "last"] = "first"  # [U]
    id_header: Literal["Id", "id"] = "Id"
    zip_method: Literal["deflate", "store"] = "deflate"
    zip_sizes: Literal["descriptor", "descriptor_no_signature", "header"] = "descriptor"
    zip_zip64: bool = False
    result_content_type: Literal["application/zip", "application/x-download"] = "application/zip"
    result_content_length: bool = False  # True generates the file twice, once to count it
    result_filename_style: Literal["plain", "extended"] = "plain"

    def public(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: sorted(v) if isinstance(v, set) else v for k, v in values.items()}

    def patch(self, changes: Mapping[str, Any]) -> None:
        """Change settings; dictionaries are merged. Raises ValueError without changing anything."""
        types = {f.name: f.type for f in dataclasses.fields(self)}
        if unknown := sorted(changes.keys() - types.keys()):
            raise ValueError(f"There is no setting {unknown[0]!r}.")
        checked = {
            name: _checked(name, types[name], getattr(self, name), value) for name, value in changes.items()
        }
        for name, value in checked.items():
            setattr(self, name, value)


def _checked(name: str, declared: Any, current: Any, value: Any) -> Any:
    choices = get_args(declared)
    if isinstance(value, str) and choices and all(isinstance(choice, str) for choice in choices):
        if value not in choices:
            raise ValueError(f"{name} must be one of {list(choices)}, not {value!r}.")
        return value
    if isinstance(current, set | tuple) and isinstance(value, list | tuple | set):
        return type(current)(value)
    if isinstance(current, dict) and isinstance(value, dict):
        return {**current, **value}
    if _is_number(current) and _is_number(value):  # a duration may hold an int such as 3600
        return value
    if type(current) is type(value):
        return value
    raise ValueError(f"{name} must be a {type(current).__name__}, not {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
