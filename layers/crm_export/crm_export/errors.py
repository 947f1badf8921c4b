"""The one tree of errors. Domain errors know nothing of HTTP; `http.errors` maps them.

Every message is a whole sentence for whoever can act on it: it names the thing, the value and
what is allowed, and carries no token, secret or record.
"""

from typing import ClassVar


class ExportError(Exception):
    """Base of all errors we raise on purpose.

    code: stable, upper-case, for programs. max_attempts: how often a step of an export is tried in all;
    1 is final, None leaves it to the export's deadline. retry_after: seconds to wait first, where known.
    remedy: what the user can do.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    max_attempts: ClassVar[int | None] = 1
    remedy: str = ""

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether trying again later may work."""
        return self.max_attempts != 1

    def as_failure(self) -> dict[str, str]:
        """The `failure` of an export: {"code", "message", "remedy"}."""
        return {"code": self.code, "message": self.message[:2500], "remedy": self.remedy}


class ConfigurationError(ExportError):
    """The environment of a function is not what its settings need."""

    code = "CONFIGURATION"
    remedy = "Correct the stack's parameters and deploy again."


class InvalidRequest(ExportError):
    """A parameter, header or body of a request is not what it must be."""

    code = "INVALID_REQUEST"


class CallerNotIdentified(ExportError):
    """The JWT lacks account_id or uid, or carries a value that cannot be used."""

    code = "CALLER_NOT_IDENTIFIED"


class TypeNotSupported(ExportError):
    """The {type} in the path is none that we export."""

    code = "TYPE_NOT_SUPPORTED"


class QueryRefused(ExportError):
    """The query of an export cannot work: we or Zoho refuse it."""

    code = "QUERY_REFUSED"
    remedy = "Change the query as the message says and start a new export."


class IdempotencyConflict(ExportError):
    """The Idempotency-Key of a request belongs to another request."""

    code = "IDEMPOTENCY_CONFLICT"


class RequestInProgress(ExportError):
    """The same request, with the same Idempotency-Key, is being worked on."""

    code = "REQUEST_IN_PROGRESS"


class ExportNotFound(ExportError):
    """No such export, or it is another account's."""

    code = "EXPORT_NOT_FOUND"


class InvalidSignature(ExportError):
    """The signature in a callback URL does not belong to its export and part."""

    code = "INVALID_SIGNATURE"


# --- connections -----------------------------------------------------------------------------


class ConnectionNotFound(ExportError):
    """No OAuth grant is stored for the account and owner."""

    code = "CONNECTION_NOT_FOUND"
    remedy = "Connect the account to Zoho and store its refresh token."


class ConnectionMalformed(ExportError):
    """What is stored for the account and owner is not a connection."""

    code = "CONNECTION_MALFORMED"
    remedy = "Store the connection anew: it needs token.refresh_token and token.api_domain."


class UntrustedOrigin(ExportError):
    """A connection names a host that is not Zoho's nor in TrustedZohoOrigins."""

    code = "UNTRUSTED_ORIGIN"
    remedy = "Correct the connection, or add the origin to the parameter TrustedZohoOrigins."


class TokenInvalidated(ExportError):
    """Zoho no longer takes the refresh token: the user must connect again."""

    code = "TOKEN_INVALIDATED"
    remedy = "Connect the account to Zoho again."


class StoreUnavailable(ExportError):
    """The store of connections did not answer."""

    code = "STORE_UNAVAILABLE"
    max_attempts = None


class StoreTimeout(StoreUnavailable):
    """The store of connections did not answer in time."""

    code = "STORE_TIMEOUT"


# --- Zoho ------------------------------------------------------------------------------------


class ZohoError(ExportError):
    """Zoho refused or failed. zoho_code, http_status, request_id as Zoho gave them, else None.

    A remedy given is the error's own, instead of its class's.
    """

    code = "ZOHO_ERROR"
    remedy = "Look the Zoho code up in Zoho's API documentation."

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
        super().__init__(message, retry_after=retry_after)
        self.remedy = remedy or self.remedy
        self.zoho_code = zoho_code
        self.http_status = http_status
        self.request_id = request_id


class ZohoTokenRejected(ZohoError):
    """401 INVALID_TOKEN: the access token is not valid any more."""

    code = "ZOHO_TOKEN_REJECTED"


class ZohoPermissionDenied(ZohoError):
    """The Zoho user, or the scope of the grant, does not allow this."""

    code = "ZOHO_PERMISSION_DENIED"
    remedy = "Give the Zoho user the permission; where the message names scopes, connect again with them."


class ZohoQueryRefused(ZohoError):
    """Zoho refuses the request for what it asks."""

    code = "ZOHO_QUERY_REFUSED"
    remedy = "Change the query as Zoho's message says and start a new export."

    # What Zoho's answer names, where it does.
    json_path: str | None = None
    api_name: str | None = None


class ZohoFieldRefused(ZohoQueryRefused):
    """Zoho does not take one of `query.fields`: `field`, where its answer names it."""

    field: str | None = None


class ZohoModuleNotSupported(ZohoQueryRefused):
    """Bulk Read does not take the module; where the records API lists it, it is read there instead."""

    code = "ZOHO_MODULE_NOT_SUPPORTED"
    remedy = "Check the module's API name and the Zoho user's permission for it."


class ZohoPageRangeExceeded(ZohoQueryRefused):
    """There are more records than Zoho's numbered pages reach."""

    code = "ZOHO_PAGE_RANGE_EXCEEDED"
    remedy = "Split the export by criteria, or deploy with BulkReadApiVersion v7 or later, and start anew."


class ZohoPaginationLimit(ZohoQueryRefused):
    """There are more records than Zoho's page tokens reach: 100,000 of the records API."""

    code = "ZOHO_PAGINATION_LIMIT"
    remedy = "Read fewer records at once: an export of a smaller custom view, pages with modified_since."


class ZohoPageTokenExpired(ZohoQueryRefused):
    """A page token is past its 24 hours."""

    code = "ZOHO_PAGE_TOKEN_EXPIRED"
    remedy = "Begin with the first page; a large export finishes sooner when it is split by criteria."


class ZohoRequestMalformed(ZohoError):
    """Zoho cannot read a request as we write it, or as this deployment is set up: no caller's fault."""

    code = "ZOHO_REQUEST_MALFORMED"
    remedy = "Report the message: this software writes a request that Zoho does not take."


class ZohoNotFound(ZohoError):
    """The job or its result does not exist, not yet, or not any more."""

    code = "ZOHO_NOT_FOUND"
    max_attempts = 3
    remedy = "A result is kept for one day; start a new export."


class ZohoClientRejected(ZohoError):
    """The client id or secret of this deployment is not valid at Zoho."""

    code = "ZOHO_CLIENT_REJECTED"
    remedy = "Correct ZohoClientId and ZohoClientSecret and deploy again."


class ZohoThrottled(ZohoError):
    """429, or too many token requests: come back after retry_after seconds."""

    code = "ZOHO_THROTTLED"
    max_attempts = None
    remedy = "Wait, then start a new export."


class ZohoUnavailable(ZohoError):
    """Zoho answered 5xx, or something that is not its API, or could not be reached."""

    code = "ZOHO_UNAVAILABLE"
    max_attempts = None
    remedy = "Look at Zoho's status page, then start a new export."


class ZohoTimeout(ZohoUnavailable):
    """Zoho did not answer in time."""

    code = "ZOHO_TIMEOUT"


class ZohoJobFailed(ZohoError):
    """Zoho ended a Bulk Read job in FAILURE."""

    code = "ZOHO_JOB_FAILED"
    remedy = "Start a new export; ask Zoho's support if it fails again."


# --- results ---------------------------------------------------------------------------------


class ResultError(ExportError):
    """A result is not what it must be; it is downloaded again."""

    code = "RESULT_INVALID"
    max_attempts = 8
    remedy = "Start a new export; ask Zoho's support if it fails again."


class TruncatedZip(ResultError):
    """The ZIP ends before its end."""

    code = "RESULT_TRUNCATED"


class CorruptZip(ResultError):
    """CRC, size or structure of the ZIP do not agree with its content."""

    code = "RESULT_CORRUPT"


class UnsupportedZip(ResultError):
    """The ZIP is encrypted, holds no or several entries, or uses another compression; or a byte is wrong."""

    code = "RESULT_UNSUPPORTED"
    max_attempts = 3


class ResultTooLarge(ResultError):
    """The file is larger than its records can be: it is no result of Zoho's."""

    code = "RESULT_TOO_LARGE"
    max_attempts = 1


class CountMismatch(ResultError):
    """The file does not hold the number of records Zoho counted."""

    code = "RECORD_COUNT_MISMATCH"


class RecordWithoutId(ResultError):
    """A record of the records API has no id to be known by."""

    code = "RECORD_WITHOUT_ID"


# --- exports ---------------------------------------------------------------------------------


class StorageRefused(ResultError):
    """S3 does not take, give or delete an object."""

    code = "STORAGE_REFUSED"
    remedy = "Look at the results bucket and the function's permissions, then start a new export."


class PagingBroken(ExportError):
    """Zoho says there are more records, but not how to go on, or what it says leads nowhere."""

    code = "PAGING_BROKEN"
    remedy = "Start a new export; ask Zoho's support if it fails again."


class DeadlineExceeded(ExportError):
    """An export was still open at its deadline."""

    code = "DEADLINE_EXCEEDED"
    remedy = "Start a new export; raise ExportDeadlineHours if the module is that large."


class DownloadsSpent(ExportError):
    """The account has begun as many downloads as Zoho allows in a minute."""

    code = "DOWNLOADS_SPENT"
    max_attempts = None


class JobOverdue(ExportError):
    """Zoho did not finish a Bulk Read job, nor those made in its place."""

    code = "JOB_OVERDUE"
    remedy = "Look at Zoho's status page, then start a new export; ask Zoho's support if it hangs again."


class PartBusy(ExportError):
    """Another worker looks at the part just now."""

    code = "PART_BUSY"
    max_attempts = None


class WorkerDied(ExportError):
    """The function ended without a word while it worked on a part, again and again."""

    code = "WORKER_DIED"
    remedy = "Look at the function's log for a timeout or its memory, then start a new export."


class StepFailed(ExportError):
    """A step failed in a way we do not know."""

    code = "INTERNAL_ERROR"
    max_attempts = 8
    remedy = "Look at the function's log for the export's id; then start a new export."
