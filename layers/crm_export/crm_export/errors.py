"""Every error this project raises on purpose. `crm_export.api.responses` maps them to HTTP.

    ExportError
    ├── ConfigurationError
    ├── CallerNotIdentified · RouteNotFound · InvalidRequest · TypeNotSupported · QueryRefused
    ├── IdempotencyConflict · RequestInProgress · ExportNotFound · InvalidSignature · TooManyOpenExports
    ├── ExportNotCancellable · SyncNotFound · RunInProgress · CreditShareSpent · ChainBroken
    ├── ConnectionNotFound · ConnectionMalformed · UntrustedOrigin · WrongDataCentre · TokenInvalidated
    ├── ConnectionReplaced
    ├── StoreUnavailable
    │   └── StoreTimeout
    ├── PagingBroken · JobOverdue · DeadlineExceeded · WorkerDied · StepFailed
    ├── HeadersDiffer · PartsOverlap · ObjectConflict · ManifestConflict · ResultTooSlow
    ├── StepPostponed · PartBusy · DownloadsSpent
    ├── StateUnavailable · StorageUnavailable · QueueUnavailable · EventNotSent
    ├── ResultError
    │   ├── TruncatedZip · CorruptZip · UnsupportedZip · ResultTooLarge
    │   ├── CountMismatch · RecordWithoutId · RecordRepeated · IndexCorrupt
    │   └── StorageRefused
    └── ZohoError
        ├── ZohoTokenRejected · ZohoPermissionDenied · ZohoClientRejected
        ├── ZohoRequestMalformed · ZohoNotFound · ZohoThrottled · ZohoJobFailed · ZohoResponseInvalid
        ├── ZohoUnavailable
        │   └── ZohoTimeout
        │       └── ZohoTooSlow
        └── ZohoQueryRefused
            ├── ZohoFieldRefused · ZohoModuleNotSupported
            └── ZohoPageRangeExceeded · ZohoPaginationLimit · ZohoPageTokenExpired

A message says what failed (with its value), why, and what is allowed. It never contains a token, a secret
or a record: messages, remedies and Zoho's codes are redacted here, before they are stored, logged or sent.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

from crm_export.redaction import redact

# What the user can do about an error, by code. A class without an entry inherits its base's remedy.
_REMEDIES = {
    "CONFIGURATION": "Correct the stack's parameters and deploy again.",
    "CALLER_NOT_IDENTIFIED": (
        "Send a token that has this claim, or set AccountClaim and OwnerClaim to claims of your tokens."
    ),
    "INVALID_REQUEST": "Change the request as the message says and send it again.",
    "IDEMPOTENCY_CONFLICT": "Use a new Idempotency-Key for a different request.",
    "REQUEST_IN_PROGRESS": "Send the same request again after Retry-After.",
    "TOO_MANY_OPEN_EXPORTS": "Wait until an export has ended, or raise MaxOpenExports.",
    "EXPORT_NOT_FOUND": "Use an export id that GET /v1/e/zoho/bulk-read/exports lists.",
    "EXPORT_NOT_CANCELLABLE": "Leave the export as it is; to be rid of its files, delete its folder.",
    "SYNC_NOT_FOUND": "Create it with PUT, or use a module that GET /v1/e/zoho/syncs lists.",
    "RUN_IN_PROGRESS": "Wait until the run has ended, or cancel its export.",
    "CREDIT_SHARE_SPENT": "Wait: the sync goes on by itself. Raise CreditShare, or let it run less often.",
    "CHAIN_BROKEN": "Start a full run; keep manifests longer than the time between two full runs.",
    "ROUTE_NOT_FOUND": "Use a method and a path that docs/openapi.yaml lists.",
    "INVALID_SIGNATURE": "Use the callback URL as it was given to Zoho; only its host may differ.",
    "STORE_UNAVAILABLE": "Send the request again; if it fails for long, look at the store of connections.",
    "STATE_UNAVAILABLE": "Send the request again.",
    "STORAGE_UNAVAILABLE": "Send the request again.",
    "QUEUE_UNAVAILABLE": "Send the request again.",
    "EVENT_NOT_SENT": "Look at the parameter EventBus and the function's permission events:PutEvents.",
    "STEP_POSTPONED": "Wait: the step is attempted again.",
    "PART_BUSY": "Wait: another worker is busy with the part.",
    "DOWNLOADS_SPENT": "Wait: the part is downloaded later.",
    "QUERY_REFUSED": "Change the query as the message says and send the request again.",
    "CONNECTION_NOT_FOUND": "Connect the account to Zoho: crm-export connect.",
    "CONNECTION_MALFORMED": (
        "Store the connection again, for example with `crm-export connect`: token.api_domain with "
        "token.refresh_token, or with the fields of client credentials."
    ),
    "UNTRUSTED_ORIGIN": "Correct the connection, or add the origin to the parameter TrustedZohoOrigins.",
    "WRONG_DATA_CENTRE": "Store the connection again with the token.api_domain that the message names.",
    "CONNECTION_REPLACED": "Send the request again.",
    "TOKEN_INVALIDATED": "Connect the account to Zoho again.",
    "PAGING_BROKEN": "Start a new export; if it fails again, ask Zoho's support.",
    "JOB_OVERDUE": "See Zoho's status page, then start a new export; if it hangs again, ask Zoho's support.",
    "DEADLINE_EXCEEDED": "Start a new export; raise ExportDeadlineHours if the module needs longer.",
    "WORKER_DIED": "Look in the function's log for a timeout or too little memory, then start a new export.",
    "HEADERS_DIFFER": "Start a new export when nobody changes the module's fields.",
    "PARTS_OVERLAP": "Start a new export; deploy with BulkReadApiVersion v7 or later for one snapshot.",
    "OBJECT_CONFLICT": "Start a new export; nothing but this stack may write to the results bucket.",
    "MANIFEST_CONFLICT": "Trust the manifest in the bucket, which was not touched; start a new export.",
    "RESULT_TOO_SLOW": "Export fewer records or fields at once: split by criteria, or name the fields.",
    "INTERNAL_ERROR": "Look at the function's log for the export's id; then start a new export.",
    "RESULT_INVALID": "Start a new export; if it fails again, ask Zoho's support.",
    "STORAGE_REFUSED": "Look at the results bucket and the function's permissions, then start a new export.",
    "ZOHO_ERROR": "Look the Zoho code up in Zoho's API documentation.",
    "ZOHO_PERMISSION_DENIED": "Give the Zoho user the permission, or connect again with the named scopes.",
    "ZOHO_CLIENT_REJECTED": (
        "Correct ZohoClientId and ZohoClientSecret and deploy again, or correct the connection's "
        "token.accounts_server: a data centre may have a client secret of its own."
    ),
    "ZOHO_REQUEST_MALFORMED": "Report the message to the maintainers: Zoho cannot read our request.",
    "ZOHO_NOT_FOUND": "A result is kept for one day; start a new export.",
    "ZOHO_THROTTLED": "Send the request again after Retry-After.",
    "ZOHO_TOKEN_REJECTED": "Connect the account to Zoho again.",
    "ZOHO_JOB_FAILED": "Start a new export; if it fails again, ask Zoho's support.",
    "ZOHO_RESPONSE_INVALID": "Start a new export; if it fails again, ask Zoho's support.",
    "ZOHO_UNAVAILABLE": "Look at Zoho's status page, then send the request again.",
    "ZOHO_QUERY_REFUSED": "Change the query as Zoho's message says and send the request again.",
    "ZOHO_MODULE_NOT_SUPPORTED": "Check the module's API name and the Zoho user's permission for it.",
    "ZOHO_PAGE_RANGE_EXCEEDED": "Split the export by criteria, or deploy with BulkReadApiVersion v7.",
    "ZOHO_PAGINATION_LIMIT": "Export a smaller custom view, or read pages with modified_since.",
    "ZOHO_PAGE_TOKEN_EXPIRED": "Start with the first page; split a large export by criteria.",
}

_AS_THE_BASE = 0  # max_attempts of a class that does not state its own


class ExportError(Exception):
    """Base of all errors we raise on purpose.

    code: stable and upper-case, for programs. max_attempts: how many times an export tries a step that fails
    with this error; 1: never again, None: until the export's deadline. remedy: what the user can do; one
    given here replaces the class's. retry_after: seconds to wait before the next attempt, if known.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    max_attempts: ClassVar[int | None] = 1
    remedy: str = _REMEDIES["INTERNAL_ERROR"]

    def __init_subclass__(cls, *, code: str | None = None, max_attempts: int | None = _AS_THE_BASE) -> None:
        """Set `code`, its remedy and max_attempts."""
        super().__init_subclass__()
        cls.code = code or cls.code
        cls.remedy = _REMEDIES.get(cls.code, cls.remedy)
        if max_attempts != _AS_THE_BASE:
            cls.max_attempts = max_attempts

    def __init__(self, message: str, *, retry_after: int | None = None, remedy: str = "") -> None:
        # Zoho may send a lone surrogate, which can be neither stored nor sent.
        self.message = redact(message).encode(errors="replace").decode()
        super().__init__(self.message)
        self.retry_after = retry_after
        self.remedy = redact(remedy) or self.remedy

    @property
    def retryable(self) -> bool:
        """True if a later attempt may succeed."""
        return self.max_attempts != 1


def types_to_use(export_type: str, existing: Iterable[str]) -> str:
    """Return the sentences that list the existing types and ask for the one that is spelled alike."""
    by_lower_case = {name.lower(): name for name in existing}
    near = get_close_matches(export_type.lower(), by_lower_case, n=1)
    question = f" Did you mean {by_lower_case[near[0]]}?" if near else ""
    return f"Use one of these types: {', '.join(by_lower_case.values())}.{question}"


# --- Requests to our API ----------------------------------------------------------------------


class ConfigurationError(ExportError, code="CONFIGURATION"):
    """An environment variable, secret or parameter of the stack is missing or invalid."""


class CallerNotIdentified(ExportError, code="CALLER_NOT_IDENTIFIED"):
    """The JWT has no usable account or owner claim."""


class InvalidRequest(ExportError, code="INVALID_REQUEST"):
    """A parameter, header or body of the request is invalid."""


class TypeNotSupported(ExportError, code="TYPE_NOT_SUPPORTED"):
    """The {type} in the path names no module that can be exported. The message is the original API's."""

    def __init__(self, export_type: str, existing: Iterable[str]) -> None:
        super().__init__("Type is not Selected yet", remedy=types_to_use(export_type, existing))


class QueryRefused(ExportError, code="QUERY_REFUSED"):
    """The query of an export cannot work, so it is not sent to Zoho."""


class IdempotencyConflict(ExportError, code="IDEMPOTENCY_CONFLICT"):
    """The Idempotency-Key was used for a different request."""


class RequestInProgress(ExportError, code="REQUEST_IN_PROGRESS"):
    """A request with the same Idempotency-Key is still running."""


class TooManyOpenExports(ExportError, code="TOO_MANY_OPEN_EXPORTS"):
    """The account has as many RUNNING exports as MaxOpenExports allows."""


class ExportNotFound(ExportError, code="EXPORT_NOT_FOUND"):
    """The export does not exist or belongs to another account."""


class ExportNotCancellable(ExportError, code="EXPORT_NOT_CANCELLABLE"):
    """The export has ended, or all its parts are stored and its manifest is being written."""


class SyncNotFound(ExportError, code="SYNC_NOT_FOUND"):
    """The account has no sync of the module."""


class RunInProgress(ExportError, code="RUN_IN_PROGRESS"):
    """The sync has a run that has not ended, or was changed while this one began."""


class CreditShareSpent(ExportError, code="CREDIT_SHARE_SPENT"):
    """The account's syncs have spent their share of Zoho's API credits."""


class ChainBroken(ExportError, code="CHAIN_BROKEN"):
    """A manifest or an index that a sync's chain needs is missing."""


class RouteNotFound(ExportError, code="ROUTE_NOT_FOUND"):
    """The API has no such method and path."""


class InvalidSignature(ExportError, code="INVALID_SIGNATURE"):
    """The signature of a callback URL does not match its export and part."""


# --- Connections and their stores -------------------------------------------------------------


class ConnectionNotFound(ExportError, code="CONNECTION_NOT_FOUND"):
    """No OAuth grant is stored for this account and owner. The message is the original API's."""

    def __init__(self, account_id: str, owner: str) -> None:
        whose = f"No connection is stored for account {account_id} and owner {owner}."
        super().__init__("Access Token is not Found", remedy=f"{whose} {type(self).remedy}")


class ConnectionMalformed(ExportError, code="CONNECTION_MALFORMED"):
    """The stored document is not a connection."""


class UntrustedOrigin(ExportError, code="UNTRUSTED_ORIGIN"):
    """A connection names a host that is neither Zoho's nor in TrustedZohoOrigins."""


class WrongDataCentre(ExportError, code="WRONG_DATA_CENTRE"):
    """Zoho rejects the tokens of a connection, and issued them for another host than its api_domain."""


class TokenInvalidated(ExportError, code="TOKEN_INVALIDATED"):
    """Zoho no longer accepts the grant. The message is the original API's; the remedy has the reason.

    zoho_code: Zoho's word for it, or None.
    """

    def __init__(self, reason: str, *, zoho_code: str | None = None, **more: Any) -> None:
        super().__init__("TOKEN_INVALIDATED", remedy=f"{type(self).remedy} {reason}", **more)
        self.reason = redact(reason)
        self.zoho_code = zoho_code


class ConnectionReplaced(ExportError, code="CONNECTION_REPLACED", max_attempts=None):
    """Another grant was stored while one was in use, and again while the request was repeated with it."""


class StoreUnavailable(ExportError, code="STORE_UNAVAILABLE", max_attempts=None):
    """The store of connections failed or could not be reached."""


class StoreTimeout(StoreUnavailable, code="STORE_TIMEOUT"):
    """The store of connections did not respond in time."""


# --- Steps of an export -----------------------------------------------------------------------


class PagingBroken(ExportError, code="PAGING_BROKEN"):
    """Zoho reports more records but gives no usable way to read them."""


class JobOverdue(ExportError, code="JOB_OVERDUE"):
    """Zoho finished neither the Bulk Read job nor its replacements in time."""


class DeadlineExceeded(ExportError, code="DEADLINE_EXCEEDED"):
    """The export was still running at its deadline."""


class WorkerDied(ExportError, code="WORKER_DIED"):
    """Three workers were lost on one part: each died, or could not renew its lease during a slow call."""


class HeadersDiffer(ExportError, code="HEADERS_DIFFER"):
    """Two parts of one generation have different columns."""


class PartsOverlap(ExportError, code="PARTS_OVERLAP"):
    """Two parts contain the same record, or the same file."""


class ObjectConflict(ExportError, code="OBJECT_CONFLICT"):
    """The key of a part holds an object with another content than this attempt read."""


class ManifestConflict(ExportError, code="MANIFEST_CONFLICT"):
    """The export's folder holds a manifest of other parts, for example after the table was restored."""


class ResultTooSlow(ExportError, code="RESULT_TOO_SLOW", max_attempts=2):
    """Zoho sent a large part of a result, but not all of it, in the time that a function has."""


class StepFailed(ExportError, code="INTERNAL_ERROR", max_attempts=8):
    """A step raised an exception we did not foresee."""


class StepPostponed(ExportError, code="STEP_POSTPONED", max_attempts=None):
    """A step failed and is attempted again after `retry_after` seconds; the cause is the step's own error."""


class PartBusy(ExportError, code="PART_BUSY", max_attempts=None):
    """Another worker holds the lease on the part."""


class DownloadsSpent(ExportError, code="DOWNLOADS_SPENT", max_attempts=None):
    """The account has used the downloads that Zoho allows per minute."""


class StateUnavailable(ExportError, code="STATE_UNAVAILABLE", max_attempts=None):
    """DynamoDB failed, throttled or could not be reached."""


class StorageUnavailable(ExportError, code="STORAGE_UNAVAILABLE", max_attempts=None):
    """S3 failed, throttled or could not be reached."""


class EventNotSent(ExportError, code="EVENT_NOT_SENT", max_attempts=None):
    """EventBridge did not take an event; the export itself is not affected."""


class QueueUnavailable(ExportError, code="QUEUE_UNAVAILABLE", max_attempts=None):
    """SQS failed, throttled or could not be reached."""


# --- Results and where they are stored --------------------------------------------------------


class ResultError(ExportError, code="RESULT_INVALID", max_attempts=8):
    """A result is invalid; the part downloads it again."""


class TruncatedZip(ResultError, code="RESULT_TRUNCATED"):
    """The ZIP is truncated."""


class CorruptZip(ResultError, code="RESULT_CORRUPT"):
    """The ZIP's CRC, size or structure does not match its content."""


class UnsupportedZip(ResultError, code="RESULT_UNSUPPORTED", max_attempts=3):
    """The ZIP is encrypted, has no entry or several, or uses an unknown compression; or it is corrupted."""


class ResultTooLarge(ResultError, code="RESULT_TOO_LARGE", max_attempts=1):
    """The file is larger than its number of records can explain."""


class CountMismatch(ResultError, code="RECORD_COUNT_MISMATCH"):
    """The file does not contain the number of records that Zoho counted."""


class RecordWithoutId(ResultError, code="RECORD_WITHOUT_ID"):
    """A record from the records API has no usable id."""


class RecordRepeated(ResultError, code="RECORD_REPEATED"):
    """A result contains a record twice."""


class IndexCorrupt(ResultError, code="INDEX_CORRUPT"):
    """The index of a part is not what was written, or is truncated."""


class StorageRefused(ResultError, code="STORAGE_REFUSED"):
    """S3 refused to write, read or delete an object."""


# --- Zoho's refusals and failures; `crm_export.zoho.refusals` chooses the class ---------------


class ZohoError(ExportError, code="ZOHO_ERROR"):
    """Zoho refused a request or failed. zoho_code, http_status and request_id are Zoho's own, or None.

    date: the time of the refusal, as in the header Date of Zoho's response; "" if there is none.
    """

    date = ""

    def __init__(
        self,
        message: str,
        *,
        zoho_code: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        retry_after: int | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(message, retry_after=retry_after, remedy=remedy)
        self.zoho_code = redact(zoho_code) if zoho_code else None
        self.http_status = http_status
        self.request_id = redact(request_id) if request_id else None


class ZohoTokenRejected(ZohoError, code="ZOHO_TOKEN_REJECTED"):
    """A response as Zoho gives it to an access token that is no longer valid.

    otherwise: what the response means if a brand-new token gets it, too; None: the grant is invalid.
    """

    def __init__(self, message: str, *, otherwise: ZohoError | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.otherwise = otherwise


class ZohoPermissionDenied(ZohoError, code="ZOHO_PERMISSION_DENIED"):
    """The Zoho user or the scopes of the grant do not allow the request."""


class ZohoClientRejected(ZohoError, code="ZOHO_CLIENT_REJECTED"):
    """Zoho does not accept this deployment's client id or secret."""


class ZohoRequestMalformed(ZohoError, code="ZOHO_REQUEST_MALFORMED"):
    """Zoho cannot read our request. The caller cannot fix this; the deployment or our code is wrong."""


class ZohoNotFound(ZohoError, code="ZOHO_NOT_FOUND", max_attempts=3):
    """The job or its result does not exist, or no longer exists."""


class ZohoThrottled(ZohoError, code="ZOHO_THROTTLED", max_attempts=None):
    """429, or too many token requests: retry after `retry_after` seconds."""


class ZohoJobFailed(ZohoError, code="ZOHO_JOB_FAILED"):
    """The Bulk Read job ended in FAILURE."""


class ZohoResponseInvalid(ZohoError, code="ZOHO_RESPONSE_INVALID", max_attempts=5):
    """Zoho itself (no gateway) returned a response that lacks what its API promises."""


class ZohoUnavailable(ZohoError, code="ZOHO_UNAVAILABLE", max_attempts=None):
    """Zoho could not be reached, returned 5xx, or returned a response that does not fit its API."""


class ZohoTimeout(ZohoUnavailable, code="ZOHO_TIMEOUT"):
    """Zoho did not respond in time."""


class ZohoTooSlow(ZohoTimeout):
    """Zoho kept sending, but the function's time was over first."""


class ZohoQueryRefused(ZohoError, code="ZOHO_QUERY_REFUSED"):
    """Zoho refuses the content of the request. json_path and api_name are from Zoho's details, or None."""

    def __init__(
        self, message: str, *, json_path: str | None = None, api_name: str | None = None, **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.json_path = json_path
        self.api_name = api_name


class ZohoFieldRefused(ZohoQueryRefused):
    """Zoho refuses one of `query.fields`; `field` is its name, or None if Zoho does not name it."""

    def __init__(self, message: str, *, field: str | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        self.field = field


class ZohoModuleNotSupported(ZohoQueryRefused, code="ZOHO_MODULE_NOT_SUPPORTED"):
    """Bulk Read does not support the module; an export reads it through the records API if possible."""


class ZohoPageRangeExceeded(ZohoQueryRefused, code="ZOHO_PAGE_RANGE_EXCEEDED"):
    """The module has more records than Zoho's numbered pages reach."""


class ZohoPaginationLimit(ZohoQueryRefused, code="ZOHO_PAGINATION_LIMIT"):
    """The query has more records than page tokens of the records API reach (100,000)."""


class ZohoPageTokenExpired(ZohoQueryRefused, code="ZOHO_PAGE_TOKEN_EXPIRED"):
    """The page token is older than 24 hours."""
