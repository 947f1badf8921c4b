"""Responses are read against the clock: a body that is too slow or too large is given up (real sockets)."""

import contextlib
import math
import socket
import struct
import threading
import time

import pytest
import requests

from crm_export import deadline
from crm_export.errors import ZohoTimeout, ZohoTooSlow, ZohoUnavailable
from crm_export.zoho import transport


@pytest.fixture
def server():
    """Return the URL of a server that responds to one request with these pieces and pauses between them."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(pieces, pause=0.0, length=None, head=None):
        def respond():
            try:
                connection, _ = listening.accept()
            except OSError:  # the test ended before it sent a request
                return
            with connection:
                connection.recv(65536)
                size = sum(map(len, pieces)) if length is None else length
                connection.sendall(head or b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for piece in pieces:
                    time.sleep(pause)
                    try:
                        connection.sendall(piece)
                    except OSError:
                        return

        threads.append(threading.Thread(target=respond))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield serve
    listening.shutdown(socket.SHUT_RDWR)  # ends accept
    for thread in threads:
        thread.join()
    listening.close()


def exchange(url, **kwargs):
    with requests.Session() as session:
        return transport.exchange(session, "GET", url, **kwargs)


def test_exchange_reads_the_whole_body(server):
    response = exchange(server([b"ab", b"c"]))
    assert (response.status, response.body) == (200, b"abc")


@pytest.mark.parametrize("pause", [0.05, 0.25])
@pytest.mark.parametrize("head", [None, b"HTTP/1.1 200 OK\r\n"], ids=["body", "headers"])
def test_exchange_with_slow_server_ends_with_the_functions_time(server, pause, head):
    url = server([b"X-Slow: 1\r\n"] * 12, pause=pause, head=head)
    began = time.monotonic()
    with (
        pytest.raises(ZohoTimeout, match="did not respond|stopped sending|too slowly"),
        deadline.ends_in(1.2),
    ):
        exchange(url)
    assert time.monotonic() - began < 0.55  # the server takes 0.6 seconds and more
    assert deadline.remaining() == math.inf


def test_chunks_of_slow_server_end_in_time_to_clean_up(server):
    with (
        deadline.ends_in(1.4),
        requests.Session() as session,
        transport.send(session, "GET", server([b"x"] * 20, pause=0.02)) as response,
        pytest.raises(ZohoTooSlow, match="too slowly"),
    ):
        list(transport.chunks(response, spare_seconds=1.3))


class SlowResponse:
    """A body of pieces, each after a number of seconds on a clock of its own."""

    def __init__(self, *pieces):
        self.raw = self
        self._pieces = list(pieces)
        self.now = 0.0

    def read1(self, size, *, decode_content):
        seconds, count = self._pieces.pop(0) if self._pieces else (0, 0)
        self.now += seconds
        return b"x" * count

    def chunks(self):
        return transport.chunks(self, monotonic=lambda: self.now)


def test_response_that_trickles_for_a_minute_is_given_up():
    response = SlowResponse(*[(20, 19_999)] * 9)
    arrived = []
    with pytest.raises(ZohoTimeout, match="Zoho sent only 59997 bytes in 60 seconds"):
        arrived.extend(response.chunks())
    assert len(arrived) == 3


@pytest.mark.parametrize(
    "pieces",
    [[(20, 20_000)] * 9, [(59, 1)], [(50, 100_000), (50, 1), (1, 1)], [(1, 500_000), *[(19, 1)] * 4]],
    ids=["as fast as allowed", "within a minute", "on average", "short of a second minute"],
)
def test_response_that_is_fast_enough_is_read_to_its_end(pieces):
    assert sum(map(len, SlowResponse(*pieces).chunks())) == sum(count for _, count in pieces)


def test_time_that_the_reader_takes_does_not_count():
    response = SlowResponse(*[(10, 10_000)] * 9)
    for _ in response.chunks():
        response.now += 1000


class KeptConnections:
    """A server that closes each connection in `ways`, once its request is received; then it responds.

    Way: the bytes that it sends first, and whether it resets the connection instead of closing it. The first
    `dying` connections are reset when they are used again.
    """

    def __init__(self, *ways, dying=0):
        self.requests = 0
        self._dying = dying
        self._ways = list(ways)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self._connections = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self):
        for sock in (self._listening, *self._connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection):
        is_used = False
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(65536):
                self.requests += request.count(b" HTTP/1.1")
                if self._ways:
                    first, resets = self._ways.pop(0)
                elif is_used and connection in self._connections[: self._dying]:
                    first, resets = b"", True
                else:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    is_used = True
                    continue
                connection.sendall(first)
                if resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


@pytest.fixture
def kept_connections():
    servers = []

    def serve(*ways, **more):
        servers.append(KeptConnections(*ways, **more))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
def test_repeatable_post_is_sent_again_when_its_kept_connection_ends_without_a_response(
    kept_connections, resets
):
    server = kept_connections((b"", resets))
    with requests.Session() as session:
        response = transport.exchange(session, "POST", server.url, repeatable=True, data={"a": "b"})
    assert (response.body, server.requests) == (b"ok", 2)


def test_repeatable_post_is_sent_again_on_a_new_connection_if_all_kept_ones_are_dead(kept_connections):
    server = kept_connections(dying=2)
    with requests.Session() as session:
        for response in [session.get(server.url, stream=True) for _ in range(2)]:
            assert response.content == b"ok"  # from now on both connections are kept
        response = transport.exchange(session, "POST", server.url, repeatable=True)
    assert (response.body, server.requests) == (b"ok", 4)


def test_repeatable_post_is_sent_again_once_only(kept_connections):
    server = kept_connections((b"", True), (b"", True))
    with requests.Session() as session, pytest.raises(ZohoUnavailable, match="could not be reached"):
        transport.exchange(session, "POST", server.url, repeatable=True)
    assert server.requests == 2


@pytest.mark.parametrize(
    ("first", "repeatable"),
    [(b"", False), (b"HTT", True), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", True)],
    ids=["not repeatable", "in the status line", "in the body"],
)
def test_post_is_not_sent_again_if_it_may_not_be_or_a_response_began(kept_connections, first, repeatable):
    server = kept_connections((first, False))
    with requests.Session() as session, pytest.raises(ZohoUnavailable):
        transport.exchange(session, "POST", server.url, repeatable=repeatable)
    assert server.requests == 1


def test_exchange_may_last_as_long_as_the_function_has_left():
    limits = []

    class Session:
        def request(self, *_args, timeout, **_kwargs):
            limits.append(timeout)
            raise requests.ReadTimeout

    for left in (20, 900):
        with deadline.ends_in(left), pytest.raises(ZohoTimeout):
            transport.exchange(Session(), "GET", "http://127.0.0.1:1/")
    assert limits == [(3.05, pytest.approx(19, abs=0.5)), (3.05, transport.LONGEST_REQUEST)]


def test_redirect_is_returned_and_not_followed(server):
    url = server([b"moved"], head=b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 5\r\n\r\n")
    assert exchange(url).status == 302


def test_exchange_with_too_long_a_pause_times_out(server):
    with pytest.raises(ZohoTimeout):
        exchange(server([b"x", b"y"], pause=0.2), timeout=(1, 0.05))


def test_exchange_with_body_that_ends_early_raises(server):
    with pytest.raises(ZohoUnavailable, match="ended early"):
        exchange(server([b"abc"], length=10))


def test_exchange_with_too_large_a_body_raises(server):
    with pytest.raises(ZohoUnavailable, match="larger than 1000 bytes"):
        exchange(server([b"x" * 2000]), largest_body=1000)


def test_exchange_without_time_sends_nothing():
    with pytest.raises(ZohoTimeout, match="No time was left"), deadline.ends_in(0.5):
        exchange("http://127.0.0.1:1/")
