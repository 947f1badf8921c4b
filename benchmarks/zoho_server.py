"""A minimal Zoho in a process of its own: tokens, and one page of 200 records, sent from memory.

`python -m benchmarks.zoho_server KIND` prints its URL and serves until it is stopped. It is faster
than the Zoho simulator, so that what is measured is the caller.
"""

import json
import sys
import threading
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

RECORDS = 200
_TOKEN = {"access_token": "1000.0123456789abcdef0123456789abcdef", "expires_in": 3600}


def page(kind: str) -> bytes:
    """Return the body of a page: `narrow` records have 20 fields, `wide` ones 60."""
    records = [_record(number, 20 if kind == "narrow" else 60) for number in range(1, RECORDS + 1)]
    info = {"per_page": RECORDS, "count": RECORDS, "page": 1, "more_records": True}
    return json.dumps({"data": records, "info": info}, ensure_ascii=False, separators=(",", ":")).encode()


def _record(number: int, fields: int) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": str(3652397000000624000 + number),
        "Owner": {"name": "José Álvarez", "id": "3652397000000186017", "email": "jose@example.com"},
        "Modified_Time": "2026-10-05T14:30:00+05:30",
    }
    kinds: list[Any] = [
        f'He said "call {number} back", then left.',
        None,
        number * 1.25 + 0.1,
        number % 2 == 0,
        number * 7919,
        "+1 (555) 010-2030",
        "2026-02-22T15:39:26+05:30",
        f"contact{number}@example.com",
        {"name": f"Account {number}", "id": str(3652397000000700000 + number)},
        ["Option 1", "Option 2"],
    ]
    more = {f"Custom_Field_{index}": kinds[index % len(kinds)] for index in range(fields - len(record))}
    return record | more


class _Zoho(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.page, self.calls, self.lock = _response(body), {"pages": 0, "tokens": 0}, threading.Lock()

    def response(self, path: bytes) -> bytes:
        """Return the response for a path, and count it."""
        if path.startswith(b"/calls"):
            return _response(json.dumps(self.calls).encode())
        kind = "tokens" if path.startswith(b"/oauth/") else "pages"
        with self.lock:
            self.calls[kind] += 1
        return _response(json.dumps(_TOKEN).encode()) if kind == "tokens" else self.page


class _Connection(StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Zoho

    def handle(self) -> None:
        """Respond to all requests of a connection."""
        while request := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            self.wfile.write(self.server.response(request.split()[1]))


def _response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def main() -> None:
    """Serve until this process is stopped."""
    with _Zoho(page(sys.argv[1])) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
