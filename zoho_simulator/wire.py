"""HTTP as the simulator's handlers see it: a parsed request in, an answer out. No sockets here."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

type Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One received request. Header lookup is case-insensitive; of a repeated query key the last wins."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Value of a header, or None."""
        return self.headers.get(name.lower())

    def form(self) -> dict[str, str]:
        """The body as form fields; empty when it is not form-encoded."""
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass
class Response:
    """One answer. With a streamed body, `length` None means chunked transfer.

    `cut_after` closes the connection after that many body bytes; `drop` sends nothing at all.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""
    length: int | None = None
    cut_after: int | None = None
    drop: bool = False


def json_response(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body, as Zoho sends it."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, {"Content-Type": "application/json;charset=UTF-8", **(headers or {})}, body)


def html_response(status: int, title: str) -> Response:
    """An HTML page, which is what Zoho Accounts answers where no API is meant to be."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Response(status, {"Content-Type": "text/html;charset=UTF-8"}, page.encode())
