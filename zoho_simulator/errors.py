"""Zoho's error bodies: one exception that carries code, message, HTTP status and details."""

from typing import Any

from zoho_simulator.wire import Json, Response, json_response


class ZohoError(Exception):
    """A request is refused with Zoho's own error object."""

    def __init__(self, status: int, code: str, message: str, details: Json | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details or {}
        self.in_data = False  # answered as {"data": [error]}

    def body(self) -> Json:
        """The flat error object."""
        return {"code": self.code, "details": self.details, "message": self.message, "status": "error"}

    def response(self) -> Response:
        """The HTTP answer."""
        return json_response(self.status, {"data": [self.body()]} if self.in_data else self.body())


def bad_request(code: str, message: str, **details: Any) -> ZohoError:
    """An HTTP 400, by far the most frequent refusal."""
    return ZohoError(400, code, message, details)


def invalid_token() -> ZohoError:
    """The access token is unknown, expired or revoked."""
    return ZohoError(401, "INVALID_TOKEN", "invalid oauth token")


def authentication_failure() -> ZohoError:
    """There is no usable Authorization header."""
    return ZohoError(401, "AUTHENTICATION_FAILURE", "Authentication failed")


def scope_mismatch() -> ZohoError:
    """The token lacks the scope of this URL."""
    return ZohoError(401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL")


def invalid_url() -> ZohoError:
    """No API at this path."""
    message = "Please check if the URL trying to access is a correct one"
    return ZohoError(404, "INVALID_URL_PATTERN", message)


def invalid_method() -> ZohoError:
    """The path exists, but not for this method."""
    return ZohoError(400, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one")


def resource_not_found(resource: str) -> ZohoError:
    """No such job, or its result is gone."""
    message = "The requested resource doesn't exist."
    return ZohoError(404, "RESOURCE_NOT_FOUND", message, {"resource": resource})


def invalid_module() -> ZohoError:
    """The records API does not know the module in the path."""
    message = "the module name given seems to be invalid"
    return bad_request("INVALID_MODULE", message, resource_path_index=0)


def pattern_not_matched(param_name: str) -> ZohoError:
    """A query parameter is malformed."""
    message = "Please check whether the input values are correct"
    return bad_request("PATTERN_NOT_MATCHED", message, param_name=param_name)


def too_many_requests(message: str) -> ZohoError:
    """Out of credits, out of concurrency or out of downloads for this minute."""
    return ZohoError(429, "TOO_MANY_REQUESTS", message)
