"""The HTTP API as a user calls it: the demo goes through the front door only."""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """One answer of the API."""

    status: int
    body: dict[str, Any]
    milliseconds: float

    @property
    def data(self) -> Any:
        """Return `data` of the envelope, None where there is none."""
        return self.body.get("data")


@dataclass(frozen=True)
class Api:
    """The API at `url`, called with `token`."""

    url: str
    token: str

    def call(self, method: str, path: str) -> Answer:
        """Call the API; an error of HTTP is an answer too."""
        request = urllib.request.Request(  # noqa: S310 - the stack's own loopback URL
            self.url + path, method=method, headers={"Authorization": f"Bearer {self.token}"}
        )
        started = time.perf_counter()
        try:
            with _OPENER.open(request, timeout=60) as response:
                status, text = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return Answer(status, json.loads(text or b"{}"), (time.perf_counter() - started) * 1000)


def first_bytes(url: str, size: int) -> bytes:
    """Return the first bytes behind a presigned URL."""
    with _OPENER.open(url, timeout=60) as response:
        content: bytes = response.read(size)
        return content
