"""Responses are read against the clock: a body that is too slow or too large is given up (real sockets)."""

import math
import socket
import threading
import time

import pytest
import requests

from crm_export import deadline
from crm_export.errors import ZohoTimeout, ZohoUnavailable
from crm_export.zoho import transport


@pytest.fixture
def server():
    """Return the URL of a server that responds to one request with these pieces and pauses between them."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(pieces, pause=0.0, length=None, head=None):
        def respond():
            connection, _ = listening.accept()
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
        pytest.raises(ZohoTimeout, match="too slowly"),
    ):
        list(transport.chunks(response, spare_seconds=1.3))


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
