"""The loopback S3 counts exactly what it received, however the body is framed."""

from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Thread

import pytest

from benchmarks.servers import S3Handler, _Server


@pytest.fixture
def s3() -> Iterator[HTTPConnection]:
    server = _Server(("127.0.0.1", 0), S3Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    connection = HTTPConnection("127.0.0.1", server.server_port)
    yield connection
    connection.close()
    server.shutdown()
    server.server_close()
    S3Handler.received.clear()


def send(s3: HTTPConnection, method: str, path: str, **request: object) -> bytes:
    s3.request(method, path, **request)
    response = s3.getresponse()
    assert response.status == 200
    return response.read()


def test_parts_of_an_upload_are_added_up_by_object(s3: HTTPConnection):
    assert b"<UploadId>" in send(s3, "POST", "/b/k?uploads")
    send(s3, "PUT", "/b/k?partNumber=1&uploadId=u", body=b"x" * 300_000)
    send(s3, "PUT", "/b/k?partNumber=2&uploadId=u", body=b"y" * 7)
    assert b"<ETag>" in send(s3, "POST", "/b/k?uploadId=u", body=b"<CompleteMultipartUpload/>")
    assert S3Handler.received == {"/b/k": {"bytes": 300_007, "requests": 4}}


def test_chunked_body_with_trailer_counts_its_decoded_length(s3: HTTPConnection):
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:abc=\r\n\r\n"
    headers = {"Transfer-Encoding": "chunked", "X-Amz-Decoded-Content-Length": "5"}
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    s3.putrequest("PUT", "/b/k")
    for name, value in headers.items():
        s3.putheader(name, value)
    s3.endheaders(framed)
    assert s3.getresponse().read() == b""
    send(s3, "PUT", "/b/k", body=b"next request on the same connection")
    assert S3Handler.received["/b/k"] == {"bytes": 5 + 35, "requests": 2}
