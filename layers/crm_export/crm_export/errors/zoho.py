"""What Zoho refuses, or fails in. Which of its codes means which: zoho.error_codes."""

from crm_export.errors.base import ExportError


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
