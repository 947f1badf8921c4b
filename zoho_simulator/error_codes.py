"""Every error code Zoho documents for Bulk Read, with its HTTP status and message, for scripted faults.

The messages are Zoho's templates with example values in them; a code that is not listed with another status
comes as HTTP 400. Of ALREADY_USED, BAD_REQUEST, LIMIT_REACHED, MANDATORY_NOT_FOUND and NOT_ALLOWED, which
only Zoho's SDK lists, the message is not known: [U].
"""

from collections.abc import Mapping
from typing import Any

from zoho_simulator.errors import ZohoError

_STATUS = {
    "AUTHENTICATION_FAILURE": 401,
    "INVALID_TOKEN": 401,
    "OAUTH_SCOPE_MISMATCH": 401,
    "NO_PERMISSION": 403,
    "INVALID_URL_PATTERN": 404,
    "RESOURCE_NOT_FOUND": 404,
    "MEDIA_TYPE_NOT_SUPPORTED": 415,
    "TOO_MANY_REQUESTS": 429,
    "INTERNAL_ERROR": 500,
    "INTERNAL_SERVER_ERROR": 500,
}
_IT = '{"api_name":"Last_Name"}'
MESSAGES = {
    "ALREADY_USED": "already used",
    "AMBIGUITY_DURING_PROCESSING": "Ambiguity while processing the request",
    "AMBIGUOUS_CRITERIA": f"Ambiguous criteria {_IT}. Criteria can have either {{group, group_operator}} or "
    "{api_name, comparator, value}.",
    "AMBIGUOUS_GROUP_IN_CRITERIA": f"Ambiguous group in criteria {_IT}. Group should be used only when there "
    "are more than one criteria",
    "AUTHENTICATION_FAILURE": "Authentication failed",
    "AUTHORIZATION_FAILED": "User does not have sufficient privilege to read.",
    "BAD_REQUEST": "Bad request",
    "CALLBACK_FAILURE": "Callback failed after 4 attempts.",
    "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "Comparator 'equal' is not supported with "
    f"value 'x' for criteria {_IT} as the value is encrypted.",
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "Comparator 'in' is not supported with value 'x' for "
    f"criteria {_IT}.",
    "CRITERIA_LIMIT_EXCEEDED": "Number of criteria exceeded the maximum limit of 25",
    "CRITERIA_NOT_SUPPORTED": f"Invalid criteria for the query. Criteria {_IT} is not supported.",
    "CVID_NOT_SUPPORTED": "The given custom view is not supported.",
    "EXPIRED_VALUE": "Page token expired",
    "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE": "Field api name 'Last_Name' is not supported with "
    f"comparator 'between' for criteria {_IT}.",
    "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": f"Field 'Visits' is not supported with value 'x' for "
    f"criteria {_IT}.",
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": "Field api name 'Last_Name' doesn't support this "
    f"comparator 'between' for criteria {_IT}.",
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": f"Field api name 'Nope' is not available for criteria {_IT}. "
    "Check visibility and permission for the field",
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": f"Field api name 'Address' for criteria {_IT} is not supported.",
    "FIELD_NOT_AVAILABLE": "Requested field api name 'Nope' is not available for the module 'Contacts'. "
    "Check permission or visibility for the field.",
    "FIELD_NOT_SUPPORTED": "Invalid field for the module provided in fields. Field api name 'Contract' is "
    "not supported for this module 'Contacts'.",
    "GROUP_OPERATOR_NOT_SUPPORTED": f"Criteria {_IT} doesn't support this logical group operator 'xor'. "
    "Supported operators are 'and', 'or'.",
    "INTERNAL_ERROR": "Internal Server Error",
    "INTERNAL_SERVER_ERROR": "Internal server error occurred.",
    "INVALID_BULK_OPERATION": "Requested operation is an invalid bulk operation",
    "INVALID_CALLBACK_METHOD": "Invalid request method get for callback.",
    "INVALID_CALLBACK_URL": "Invalid URL 'https://localhost/' for callback.",
    "INVALID_CRITERIA": f"Invalid criteria {_IT} for the query.",
    "INVALID_DATA": "invalid data",
    "INVALID_REQUEST": "Invalid request.",
    "INVALID_REQUEST_METHOD": "The http request method type is not a valid one",
    "INVALID_SERVICE_NAME": "Provided service name crm is not valid/not supported",
    "INVALID_TOKEN": "invalid oauth token",
    "INVALID_URL_PATTERN": "Please check if the URL trying to access is a correct one",
    "JOB_NOT_SUPPORTED": "Invalid bulk read job.",
    "JOIN_LIMIT_EXCEEDED": "Join limit exceeded for the query. Maximum number of joins supported in a query "
    "is 10",
    "LIMIT_REACHED": "limit reached",
    "MANDATORY_NOT_FOUND": "required field not found",
    "MEDIA_TYPE_NOT_SUPPORTED": "Media type is not supported.",
    "MODULE_NOT_AVAILABLE": "Requested module 'Nope' is not available.",
    "MODULE_NOT_SUPPORTED": "Invalid module for the query. Module 'Notes' is not supported.",
    "NOT_ALLOWED": "not allowed",
    "NOT_SUPPORTED_FEATURE": "Feature is not supported",
    "NO_PERMISSION": "Permission denied to read",
    "OAUTH_SCOPE_MISMATCH": "invalid oauth scope to access this URL",
    "PAGE_NOT_SUPPORTED": "Invalid page number for query. Page 0 is not supported for the query.",
    "PAGE_RANGE_EXCEEDED": "Page range exceeded for the query. Page range is from 1 to 500.",
    "QUERY_NOT_SUPPORTED": "Invalid query for bulk read job. Query '{}' is not supported.",
    "REQUEST_BODY_IS_EMPTY": "Request body is empty.",
    "REQUEST_BODY_NOT_READABLE": "Unable to parse the request body.",
    "REQUEST_BODY_NOT_SUPPORTED": "request body contains invalid format",
    "RESOURCE_NOT_FOUND": "The requested resource doesn't exist.",
    "TOKEN_BOUND_DATA_MISMATCH": "The page token belongs to another user",
    "TOO_MANY_REQUESTS": "Many requests fired in concurrent than the allowed limit",
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": f"Value 'x' is not supported for criteria {_IT}.",
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": "Value exceeded limit 200",
    "VALUE_TYPE_NOT_SUPPORTED": "Value type is not supported.",
}


def documented_error(code: str, details: Mapping[str, Any] | None = None) -> ZohoError:
    """The error of that code. Raises ValueError for one Zoho does not document."""
    if code not in MESSAGES:
        raise ValueError(f"Zoho documents no error {code!r} for Bulk Read; it does {sorted(MESSAGES)}")
    return ZohoError(_STATUS.get(code, 400), code, MESSAGES[code], dict(details or {}))
