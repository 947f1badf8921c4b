"""The loopback servers of the landing benchmark: a Zoho that sends one ZIP, and an S3.

Each runs in a process of its own: `python -m benchmarks.servers zip FILE [CERTIFICATE]` and `... s3
[CERTIFICATE]` print their URL and serve until their standard input ends. They do as little as they can.
"""

import json
import mmap
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
JOB_ID = "554023000000568002"
_RECEIVED = "/received"
_BUFFER = 256 * 1024
_TOKEN = {"access_token": "1000.bench.token", "expires_in": 3600, "token_type": "Bearer"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = _BUFFER
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def respond(self, body: Any = b"", **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and len(body):
            self.wfile.write(body)

    def discard(self) -> int:
        """Read the request's body and return its size."""
        buffer = memoryview(bytearray(_BUFFER))
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self._discard_exactly(int(self.headers.get("Content-Length", 0)), buffer)
        total = 0
        while size := int(self.rfile.readline().split(b";")[0], 16):
            total += self._discard_exactly(size, buffer)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return total

    def _discard_exactly(self, size: int, buffer: memoryview) -> int:
        left = size
        while left:
            received = self.rfile.readinto(buffer[: min(left, len(buffer))])
            if not received:
                raise ConnectionResetError("The client closed the connection within a body.")
            left -= received
        return size


class ZipHandler(_Handler):
    """Sends one ZIP for every GET, and a token for every POST."""

    def __init__(self, content: memoryview, *args: Any) -> None:
        self._content = content
        super().__init__(*args)

    def do_GET(self) -> None:
        """Send the result of the job."""
        name = f'attachment; filename="{JOB_ID}.zip"'
        self.respond(self._content, Content_Type="application/zip", Content_Disposition=name)

    def do_POST(self) -> None:
        """Send an access token, as Zoho's accounts server does."""
        self.discard()
        body = json.dumps({**_TOKEN, "api_domain": f"https://{self.headers['Host']}"}).encode()
        self.respond(body, Content_Type="application/json;charset=UTF-8")


class S3Handler(_Handler):
    """Accepts objects and multipart uploads, counts their bytes by key, and keeps nothing."""

    received: dict[str, dict[str, int]] = {}  # noqa: RUF012 (one S3 per process)
    lock = Lock()

    def _count(self, size: int) -> None:
        with self.lock:
            counts = self.received.setdefault(urlsplit(self.path).path, {"bytes": 0, "requests": 0})
            counts["bytes"] += size
            counts["requests"] += 1

    def do_PUT(self) -> None:
        """Discard an object or a part."""
        size = self.discard()
        self._count(int(self.headers.get("X-Amz-Decoded-Content-Length", size)))
        self.respond(ETag='"0123456789abcdef0123456789abcdef"')

    def do_POST(self) -> None:
        """Create or complete a multipart upload."""
        self.discard()
        self._count(0)
        if "uploadId=" in self.path:
            action, content = "Complete", "<ETag>&quot;0-1&quot;</ETag>"
        else:
            action, content = "Initiate", "<UploadId>upload-1</UploadId>"
        body = f"<{action}MultipartUploadResult>{content}</{action}MultipartUploadResult>".encode()
        self.respond(body, Content_Type="application/xml")

    def do_GET(self) -> None:
        """Say what was received."""
        self.respond(json.dumps(self.received).encode() if self.path == _RECEIVED else b"")

    def do_DELETE(self) -> None:
        """Abort an upload."""
        self._count(0)
        self.respond()


@contextmanager
def server(kind: str, *arguments: str) -> Iterator[str]:
    """Run a server of this module in a process of its own and return its URL."""
    command = [sys.executable, "-m", "benchmarks.servers", kind, *arguments]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("A server was started without pipes.")
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"The server {kind} did not start.")
        try:
            yield url
        finally:
            process.stdin.close()


def received(s3_url: str, certificate: str | None) -> dict[str, dict[str, int]]:
    """Return what an S3 server received so far: bytes and requests by the path of the object."""
    import requests  # noqa: PLC0415 (the servers themselves need only the standard library)

    response = requests.get(s3_url + _RECEIVED, verify=certificate or True, timeout=30)
    counts: dict[str, dict[str, int]] = response.json()
    return counts


def write_certificate(path: Path) -> None:
    """Write a key and a certificate for 127.0.0.1 that signs itself, as one PEM file."""
    import datetime  # noqa: PLC0415
    from ipaddress import ip_address  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing about clients that went away; a row that fails says why itself."""


def _serve(handler: Any, certificate: str | None) -> None:
    httpd = _Server(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    Thread(target=httpd.serve_forever, daemon=True).start()
    print(f"{'https' if certificate else 'http'}://127.0.0.1:{httpd.server_port}", flush=True)
    sys.stdin.read()


def main() -> None:
    """Serve until the standard input ends."""
    kind, *arguments = sys.argv[1:]
    if kind == "s3":
        _serve(S3Handler, next(iter(arguments), None))
    elif kind == "zip":
        with Path(arguments[0]).open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            _serve(partial(ZipHandler, content), next(iter(arguments[1:]), None))


if __name__ == "__main__":
    main()
