"""What is wrong with a request to our API, or with the deployment it came to."""

from crm_export.errors.base import ExportError


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
