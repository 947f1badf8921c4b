"""Bodies are read against the clock: neither a trickle nor a flood outlives the function (real sockets)."""

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
    """Gives the URL of a server that answers one request with the pieces it is told, pausing between."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads = []

    def serve(pieces, pause=0.0, length=None, head=None):
        def answer():
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

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield serve
    for thread in threads:
        thread.join()
    listening.close()


def exchange(url, **kwargs):
    with requests.Session() as session:
        return transport.exchange(session, "GET", url, **kwargs)


def test_an_answer_is_read_whole(server):
    answer = exchange(server([b"ab", b"c"]))
    assert (answer.status, answer.body) == (200, b"abc")


@pytest.mark.parametrize("pause", [0.5, 1.5])
def test_a_trickle_ends_with_the_functions_time(server, pause):
    url = server([b"x"] * 8, pause=pause)
    began = time.monotonic()
    with pytest.raises(ZohoTimeout, match="did not answer whole|stopped sending"), deadline.ends_in(2.0):
        exchange(url)
    assert time.monotonic() - began < 3.5  # of four and more
    assert deadline.remaining() == math.inf


def test_headers_that_trickle_end_with_it_too(server):
    url = server([b"X-Slow: 1\r\n"] * 8, pause=0.5, head=b"HTTP/1.1 200 OK\r\n")
    began = time.monotonic()
    with pytest.raises(ZohoTimeout, match="did not answer whole|stopped sending"), deadline.ends_in(2.0):
        exchange(url)
    assert time.monotonic() - began < 3.5  # of four and more


def test_a_stream_that_trickles_ends_in_time_to_tidy_up(server):
    with (
        deadline.ends_in(2.0),
        requests.Session() as session,
        transport.send(session, "GET", server([b"x"] * 20, pause=0.1)) as response,
        pytest.raises(ZohoTimeout, match="too slowly"),
    ):
        list(transport.chunks(response, spare_seconds=1.5))


def test_a_pause_that_is_too_long_is_a_timeout(server):
    with pytest.raises(ZohoTimeout):
        exchange(server([b"x", b"y"], pause=0.5), timeout=(1, 0.2))


def test_a_body_that_breaks_off_is_told(server):
    with pytest.raises(ZohoUnavailable, match="broke an answer off"):
        exchange(server([b"abc"], length=10))


def test_an_answer_without_end_is_refused(server, monkeypatch):
    monkeypatch.setattr(transport, "_LARGEST_ANSWER", 1000)
    with pytest.raises(ZohoUnavailable, match="larger than 1000 bytes"):
        exchange(server([b"x" * 2000]))


def test_without_time_nothing_is_sent():
    with pytest.raises(ZohoTimeout, match="No time was left"), deadline.ends_in(0.5):
        exchange("http://127.0.0.1:1/")
