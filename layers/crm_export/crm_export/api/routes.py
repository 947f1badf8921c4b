"""Which function answers an event of API Gateway's HTTP API (payload format 2.0), and with which response.

Powertools' resolver does the same. It also imports asyncio and the event classes of every AWS service, which
took a tenth of a cold start.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from crm_export.errors import ExportError, RouteNotFound

type Event = dict[str, Any]


class JsonResponse(NamedTuple):
    """A response whose body is JSON."""

    status_code: int
    body: str
    headers: dict[str, str]

    def to_event(self) -> dict[str, Any]:
        """Return the response as Lambda hands it to API Gateway."""
        headers = {"Content-Type": "application/json", **self.headers}
        return {
            "statusCode": self.status_code,
            "headers": headers,
            "body": self.body,
            "isBase64Encoded": False,
        }


type Answer = Callable[..., JsonResponse]


class Routes:
    """The routes of one function. on_error: makes the response to an ExportError from it and a request id."""

    def __init__(self, on_error: Callable[[ExportError, str], JsonResponse]) -> None:
        self._on_error = on_error
        self._routes: list[tuple[str, re.Pattern[str], Answer]] = []

    def get(self, path: str) -> Callable[[Answer], Answer]:
        """Decorate the function that answers GET; `path` as for `post`."""
        return self._route("GET", path)

    def post(self, path: str) -> Callable[[Answer], Answer]:
        """Decorate the function that answers POST. `path`: a regular expression, with <name> for a segment.

        The function gets the event and the segments by their names. The first route that matches is taken.
        """
        return self._route("POST", path)

    def _route(self, method: str, path: str) -> Callable[[Answer], Answer]:
        pattern = re.compile(re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path))

        def add(answer: Answer) -> Answer:
            self._routes.append((method, pattern, answer))
            return answer

        return add

    def resolve(self, event: Event) -> dict[str, Any]:
        """Return the response to an event. Exceptions other than ExportError pass."""
        try:
            response = self._answer(event)
        except ExportError as error:
            response = self._on_error(error, event["requestContext"].get("requestId") or "")
        return response.to_event()

    def _answer(self, event: Event) -> JsonResponse:
        wanted = event["requestContext"]["http"]["method"]
        for method, pattern, answer in self._routes:
            if method == wanted and (match := pattern.fullmatch(event["rawPath"])):
                return answer(event, **match.groupdict())
        raise RouteNotFound("Route is not Found")
