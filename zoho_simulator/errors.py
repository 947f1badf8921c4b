"""Zoho's errors: each documented code with its HTTP status and its message, stated once.

A message is a template that the handler which refuses a request fills in, and that a scripted fault fills
with examples. The codes and messages are those of Zoho's Bulk Read and records pages. [U]: only Zoho's SDK
lists ALREADY_USED, BAD_REQUEST, LIMIT_REACHED, MANDATORY_NOT_FOUND and NOT_ALLOWED; their messages are ours.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from zoho_simulator.wire import Json

_STATUS = {  # every other code comes as HTTP 400
    "AUTHENTICATION_FAILED": HTTPStatus.UNAUTHORIZED,
    "AUTHENTICATION_FAILURE": HTTPStatus.UNAUTHORIZED,
    "INVALID_OAUTHTOKEN": HTTPStatus.UNAUTHORIZED,
    "INVALID_TOKEN": HTTPStatus.UNAUTHORIZED,
    "OAUTH_SCOPE_MISMATCH": HTTPStatus.UNAUTHORIZED,
    "NO_PERMISSION": HTTPStatus.FORBIDDEN,
    "NOT_SUPPORTED": HTTPStatus.FORBIDDEN,
    "API_NOT_SUPPORTED": HTTPStatus.NOT_FOUND,
    "INVALID_URL_PATTERN": HTTPStatus.NOT_FOUND,
    "RESOURCE_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "MEDIA_TYPE_NOT_SUPPORTED": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "TOO_MANY_REQUESTS": HTTPStatus.TOO_MANY_REQUESTS,
    "INTERNAL_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
    "INTERNAL_SERVER_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
}
BULK_READ_MESSAGES = {
    "ALREADY_USED": "already used",
    "AMBIGUITY_DURING_PROCESSING": "Ambiguity while processing the request",
    "AMBIGUOUS_CRITERIA": "Ambiguous criteria {criteria}. Criteria can have either {{group, group_operator}} "
    "or {{api_name, comparator, value}}.",
    "AMBIGUOUS_GROUP_IN_CRITERIA": "Ambiguous group in criteria {criteria}. Group should be used only when "
    "there are more than one criteria",
    "AUTHENTICATION_FAILURE": "Authentication failed",
    "AUTHORIZATION_FAILED": "User does not have sufficient privilege to read.",
    "BAD_REQUEST": "Bad request",
    "CALLBACK_FAILURE": "Callback failed after {attempts} attempts.",
    "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "Comparator '{comparator}' is not supported "
    "with value '{value}' for criteria {criteria} as the value is encrypted.",
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "Comparator '{comparator}' is not supported with "
    "value '{value}' for criteria {criteria}.",
    "CRITERIA_LIMIT_EXCEEDED": "Number of criteria exceeded the maximum limit of {max_limit}",
    "CRITERIA_NOT_SUPPORTED": "Invalid criteria for the query. Criteria {criteria} is not supported.",
    "CVID_NOT_SUPPORTED": "The given custom view is not supported.",
    "EXPIRED_VALUE": "Page token expired",
    "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE": "Field api name '{api_name}' is not supported with "
    "comparator '{comparator}' for criteria {criteria}.",
    "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "Field '{api_name}' is not supported with value '{value}' "
    "for criteria {criteria}.",
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": "Field api name '{api_name}' doesn't support this "
    "comparator '{comparator}' for criteria {criteria}.",
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": "Field api name '{api_name}' is not available for criteria "
    "{criteria}. Check visibility and permission for the field",
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": "Field api name '{api_name}' for criteria {criteria} is not "
    "supported.",
    "FIELD_NOT_AVAILABLE": "Requested field api name '{api_name}' is not available for the module "
    "'{module}'. Check permission or visibility for the field.",
    "FIELD_NOT_SUPPORTED": "Invalid field for the module provided in fields. Field api name '{api_name}' is "
    "not supported for this module '{module}'.",
    "GROUP_OPERATOR_NOT_SUPPORTED": "Criteria {criteria} doesn't support this logical group operator "
    "'{operator}'. Supported operators are 'and', 'or'.",
    "INTERNAL_ERROR": "Internal Server Error",
    "INTERNAL_SERVER_ERROR": "Internal server error occurred.",
    "INVALID_BULK_OPERATION": "Requested operation is an invalid bulk operation",
    "INVALID_CALLBACK_METHOD": "Invalid request method {method} for callback.",
    "INVALID_CALLBACK_URL": "Invalid URL '{url}' for callback.",
    "INVALID_CRITERIA": "Invalid criteria {criteria} for the query.",
    "INVALID_DATA": "invalid data",
    "INVALID_REQUEST": "Invalid request.",
    "INVALID_REQUEST_METHOD": "The http request method type is not a valid one",
    "INVALID_SERVICE_NAME": "Provided service name crm is not valid/not supported",
    "INVALID_TOKEN": "invalid oauth token",
    "INVALID_URL_PATTERN": "Please check if the URL trying to access is a correct one",
    "JOB_NOT_SUPPORTED": "Invalid bulk read job.",
    "JOIN_LIMIT_EXCEEDED": "Join limit exceeded for the query. Maximum number of joins supported in a query "
    "is {max_limit}",
    "LIMIT_REACHED": "limit reached",
    "MANDATORY_NOT_FOUND": "required field not found",
    "MEDIA_TYPE_NOT_SUPPORTED": "Media type is not supported.",
    "MODULE_NOT_AVAILABLE": "Requested module '{api_name}' is not available.",
    "MODULE_NOT_SUPPORTED": "Invalid module for the query. Module '{module}' is not supported.",
    "NOT_ALLOWED": "not allowed",
    "NOT_SUPPORTED_FEATURE": "Feature is not supported",
    "NO_PERMISSION": "Permission denied to read",
    "OAUTH_SCOPE_MISMATCH": "invalid oauth scope to access this URL",
    "PAGE_NOT_SUPPORTED": "Invalid page number for query. Page {page} is not supported for the query.",
    "PAGE_RANGE_EXCEEDED": "Page range exceeded for the query. Page range is from 1 to {max_limit}.",
    "QUERY_NOT_SUPPORTED": "Invalid query for bulk read job. Query '{key}' is not supported.",
    "REQUEST_BODY_IS_EMPTY": "Request body is empty.",
    "REQUEST_BODY_NOT_READABLE": "Unable to parse the request body.",
    "REQUEST_BODY_NOT_SUPPORTED": "request body contains invalid format",
    "RESOURCE_NOT_FOUND": "The requested resource doesn't exist.",
    "TOKEN_BOUND_DATA_MISMATCH": "The page token belongs to another user",
    "TOO_MANY_REQUESTS": "Many requests fired in concurrent than the allowed limit",
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": "Value '{value}' is not supported for criteria {criteria}.",
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": "Value exceeded limit {max_limit}",
    "VALUE_TYPE_NOT_SUPPORTED": "Value type is not supported.",
}
_MESSAGES = BULK_READ_MESSAGES | {
    "API_NOT_SUPPORTED": "The API is not supported in this version",
    "AUTHENTICATION_FAILED": "Authentication failed",
    "INVALID_OAUTHTOKEN": "invalid oauth token",
    "INVALID_MODULE": "the module name given seems to be invalid",
    "INVALID_QUERY": "invalid query formed",
    "LIMIT_EXCEEDED": "limit exceeded",
    "NOT_SUPPORTED": "This API is supported only for admin users.",
    "PATTERN_NOT_MATCHED": "Please check whether the input values are correct",
    "REQUIRED_PARAM_MISSING": "One of the expected parameter is missing",
}
_EXAMPLES = {
    "api_name": "Last_Name",
    "attempts": 4,
    "comparator": "equal",
    "criteria": '{"api_name":"Last_Name"}',
    "key": "{}",
    "max_limit": 25,
    "method": "get",
    "module": "Contacts",
    "operator": "xor",
    "page": 0,
    "url": "https://localhost/",
    "value": "x",
}


class ZohoError(Exception):
    """A refusal: `details` are sent and, with `values`, fill the code's message unless one is given."""

    def __init__(
        self, code: str, details: Json | None = None, *, message: str = "", status: int = 0, **values: Any
    ) -> None:
        self.code = code
        self.details = details or {}
        self.message = message or _MESSAGES[code].format_map({**self.details, **values})
        self.status = status or _STATUS.get(code, HTTPStatus.BAD_REQUEST)
        super().__init__(f"{code}: {self.message}")

    def body(self) -> Json:
        """Return Zoho's error object."""
        return {"code": self.code, "details": self.details, "message": self.message, "status": "error"}


def documented_error(code: str, details: Mapping[str, Any] | None = None) -> ZohoError:
    """Return an error of Bulk Read with examples in its message. Raises ValueError for an unknown code."""
    if code not in BULK_READ_MESSAGES:
        raise ValueError(f"Zoho documents no Bulk Read error {code!r}; allowed: {sorted(BULK_READ_MESSAGES)}")
    return ZohoError(code, dict(details or {}), message=BULK_READ_MESSAGES[code].format_map(_EXAMPLES))
