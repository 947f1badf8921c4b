"""The small HTTP server: connections stay open, and no request is taken for a part of another one."""

import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
from werkzeug.wrappers import Request, Response

from local.host.http import HOST, Server


def answer(request: Request) -> Response:
    """Return the path; the body is read by /read only."""
    match request.path:
        case "/fail":
            raise RuntimeError("the application fails")
        case "/read":
            return Response(request.get_data())
        case "/nothing":
            return Response(status=204)
    return Response(request.path)


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server(answer)) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[HTTPConnection]:
    with closing(HTTPConnection(HOST, server.port, timeout=5)) as opened:
        yield opened


def responses(connection: HTTPConnection, *requests: tuple[str, str, object]) -> list[tuple[int, bytes]]:
    """Send requests one after the other; the socket of the first one must serve all."""
    found, sockets = [], set()
    for method, path, body in requests:
        connection.request(method, path, body, encode_chunked=isinstance(body, list))
        sockets.add(connection.sock)
        response = connection.getresponse()
        found.append((response.status, response.read()))
    assert len(sockets) == 1
    return found


def test_body_that_nobody_read_is_no_part_of_the_next_request(connection: HTTPConnection) -> None:
    unread = b"GET /other HTTP/1.1\r\n\r\n" * 10_000
    requests = [
        ("POST", "/a", unread),
        ("POST", "/b", [unread]),
        ("POST", "/read", unread),
        ("GET", "/c", None),
    ]
    assert responses(connection, *requests) == [(200, b"/a"), (200, b"/b"), (200, unread), (200, b"/c")]


def test_response_without_a_body_leaves_the_connection_usable(connection: HTTPConnection) -> None:
    requests = [("HEAD", "/a", None), ("GET", "/nothing", None), ("GET", "/c", None)]
    assert responses(connection, *requests) == [(200, b""), (204, b""), (200, b"/c")]


def test_application_that_fails_is_answered_and_fails_alone(connection: HTTPConnection) -> None:
    (failed, _), last = responses(connection, ("GET", "/fail", None), ("GET", "/c", None))
    assert (failed, last) == (500, (200, b"/c"))


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: ten\r\n\r\n",
        b"Content-Length: -1\r\n\r\nten",
        b"Content-Length: 10\r\n\r\nten",
        b"Transfer-Encoding: chunked\r\n\r\nten\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nten\r\n",
    ],
)
def test_body_that_ends_early_or_has_no_length_is_refused(server: Server, rest: bytes) -> None:
    with closing(socket.create_connection((HOST, server.port), timeout=5)) as client:
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\n" + rest)
        client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(1000), b""))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_client_that_waits_for_100_continue_gets_it_before_its_body_is_read(server: Server) -> None:
    with closing(socket.create_connection((HOST, server.port), timeout=5)) as client:
        client.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ok")
        assert client.recv(1000).endswith(b"\r\n\r\nok")
