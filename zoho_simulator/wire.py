"""HTTP without sockets: the request and the response that every handler works with."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

type Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """A received request. Header names are in lower case; of a repeated query key the last value counts."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @classmethod
    def of(cls, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Self:
        """Parse a request target (path and query, or a whole URL) and normalise the header names."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method, unquote(parts.path), query, lowered, body)

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None."""
        return self.headers.get(name.lower())

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case; empty if the header is missing."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def form(self) -> dict[str, str]:
        """Return the fields of a form-encoded body; empty for any other body."""
        if self.media_type != "application/x-www-form-urlencoded":
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass
class Response:
    """A response. If the body is an iterator, `length` None means chunked transfer.

    The transport applies the last three: wait `delay` seconds before sending, close the connection after
    `cut_after` bytes of the body, or send nothing at all (`drop`).
    """

    status: int = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""
    length: int | None = None
    delay: float = 0.0
    cut_after: int | None = None
    drop: bool = False

    def chunks(self) -> Iterator[bytes]:
        """Yield the body up to `cut_after`; an iterator as the body is consumed."""
        left = self.cut_after
        for chunk in (self.body,) if isinstance(self.body, bytes) else self.body:
            piece = chunk[:left]
            if piece:
                yield piece
            if left is not None:
                left -= len(piece)
                if not left:
                    return

    def content(self) -> bytes:
        """Return what `chunks` yields as one bytes object."""
        return b"".join(self.chunks())


def merged(document: Any, patch: Any) -> Any:
    """Return a document with a JSON merge patch (RFC 7396) applied: null removes a key."""
    if not isinstance(patch, dict):
        return patch
    base = document if isinstance(document, dict) else {}
    kept = {name: value for name, value in base.items() if name not in patch}
    return kept | {name: merged(base.get(name), value) for name, value in patch.items() if value is not None}


def json_response(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a compact JSON body, as Zoho sends it."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})}, body)
