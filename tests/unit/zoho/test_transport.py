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

    def serve(pieces, pause=0.0, length=None):
        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                size = sum(map(len, pieces)) if length is None else length
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
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


def test_a_trickle_ends_with_the_functions_time(server):
    url = server([b"x"] * 100, pause=0.1)
    began = time.monotonic()
    with pytest.raises(ZohoTimeout, match="too slowly"), deadline.ends_in(2.0):
        exchange(url)
    assert time.monotonic() - began < 3
    assert deadline.remaining() == math.inf


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
