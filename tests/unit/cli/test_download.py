"""Downloads that are interrupted and continue, from an HTTP server that behaves like S3."""

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zlib import crc32

import pytest

from crm_export_cli.download import download
from crm_export_cli.exits import CliError
from crm_export_cli.stack.backend import StackBackend
from crm_export_cli.stack.functions import Stack

EXPORT_ID = "20261122T130000Z-0123456789abcdef"
FOLDER = f"exports/account_id=a/module=Contacts/export_id={EXPORT_ID}"
KEY = f"{FOLDER}/part-00001.csv"
CONTENT = b"Id,Name\r\n" + b"".join(b"%d,%s\r\n" % (number, b"x" * 90) for number in range(1000, 41_000))
RECORDS, SIZE = 40_000, len(CONTENT)  # about 4 MB
CHUNK = 1 << 16  # what the client writes at once
WRONG = CONTENT[:1_000_000].replace(b"x", b"y") + CONTENT[1_000_000:]


class Bucket(ThreadingHTTPServer):
    """S3 with one export, and the function that describes it.

    cuts: after how many bytes the next responses to a download end; holds: responses wait there instead.
    ranges: the Range headers of the downloads.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.content, self.cuts, self.ranges = CONTENT, [], []
        self.holds, self.released, self.supports_ranges = False, threading.Event(), True

    def manifest(self):
        part = {
            "key": KEY, "bytes": SIZE, "crc32": f"{crc32(CONTENT):08x}", "records": RECORDS, "ids": None
        }  # fmt: skip
        facts = {"export_id": EXPORT_ID, "module": "Contacts", "records": RECORDS, "bytes": SIZE}
        return json.dumps({**facts, "parts": [part]}).encode()

    def view(self):
        return {
            "export_id": EXPORT_ID,
            "state": "COMPLETED",
            "module": "Contacts",
            "records": RECORDS,
            "witness": None,
            "manifest_key": f"{FOLDER}/manifest.json",
            "manifest_url": f"{self.url}/manifest.json",
            "parts": [{"key": KEY, "url": f"{self.url}/part", "bytes": SIZE}],
        }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        bucket = self.server
        if self.path == "/manifest.json":
            self.answer(200, bucket.manifest())
            return
        bucket.ranges.append(self.headers["Range"])
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if not bucket.supports_ranges:
            self.answer(200, bucket.content)
        elif start >= len(bucket.content):
            self.answer(416, b"")
        else:
            self.answer(206, bucket.content[start:])

    def do_POST(self):  # noqa: N802
        """Lambda's Invoke."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(
            200, json.dumps({"body": json.dumps({"success": True, "data": self.server.view()})}).encode()
        )

    def answer(self, status, body):
        bucket = self.server
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET" and self.path == "/part" and bucket.cuts:
            body = body[: bucket.cuts.pop(0)]
            self.close_connection = True
            self.wfile.write(body)
            if bucket.holds:
                bucket.released.wait(60)
        else:
            with suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket():
    with Bucket() as bucket:
        threading.Thread(target=bucket.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield bucket
        bucket.released.set()
        bucket.shutdown()


def fetch(bucket, root):
    stack = StackBackend(Stack(None, "f", "", "--local"), ("a", "o"))
    return download(bucket.view, stack.open_file, root, lambda size, total: None)


def wait_for(condition):
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def offsets(bucket):
    return [int(header.removeprefix("bytes=").removesuffix("-")) for header in bucket.ranges]


@pytest.mark.parametrize(
    "cuts", [[0], [1], [SIZE - 1], [CHUNK], [CHUNK + 1], [700_000] * 5, [3, 100_000, 0, 2_000_000, 5]]
)
def test_download_continues_where_the_connection_was_cut(bucket, tmp_path, cuts):
    bucket.cuts = list(cuts)
    folder = fetch(bucket, tmp_path)
    assert (folder / "part-00001.csv").read_bytes() == CONTENT
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "part-00001.csv"}
    starts = offsets(bucket)
    assert len(starts) == len(cuts) + 1
    for start, cut, following in zip(starts, cuts, starts[1:], strict=False):
        assert following == start + cut // CHUNK * CHUNK


def test_download_ends_after_four_tries_without_a_byte_and_the_next_one_continues(bucket, tmp_path):
    bucket.cuts = [CHUNK, 0, 0, 0, 0]
    with pytest.raises(CliError, match="could not be read from S3") as raised:
        fetch(bucket, tmp_path)
    assert raised.value.code == "DOWNLOAD_FAILED"
    assert not list(tmp_path.rglob("manifest.json"))
    folder = fetch(bucket, tmp_path)
    assert (folder / "part-00001.csv").read_bytes() == CONTENT
    assert offsets(bucket) == [0, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK]


def test_file_whose_first_bytes_were_of_another_content_is_fetched_from_the_start(bucket, tmp_path):
    bucket.content, bucket.cuts = WRONG, [3 * CHUNK, 0, 0, 0, 0]
    with pytest.raises(CliError):
        fetch(bucket, tmp_path)
    bucket.content = CONTENT
    folder = fetch(bucket, tmp_path)
    assert (folder / "part-00001.csv").read_bytes() == CONTENT
    assert offsets(bucket)[-2:] == [3 * CHUNK, 0]


@pytest.mark.parametrize("left", [CONTENT + b"more", b"y" * SIZE], ids=["longer", "as long"])
def test_file_that_is_left_with_other_bytes_is_fetched_from_the_start(bucket, tmp_path, left):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "part-00001.csv.part").write_bytes(left)
    assert (fetch(bucket, tmp_path) / "part-00001.csv").read_bytes() == CONTENT
    assert offsets(bucket) == [len(left), 0]


def test_content_that_stays_wrong_is_not_accepted(bucket, tmp_path):
    bucket.content = WRONG
    with pytest.raises(CliError, match="arrived 4 times with other bytes"):
        fetch(bucket, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_server_without_ranges_sends_the_file_from_the_start(bucket, tmp_path):
    bucket.supports_ranges, bucket.cuts = False, [1_000_000]
    assert (fetch(bucket, tmp_path) / "part-00001.csv").read_bytes() == CONTENT
    assert len(bucket.ranges) == 2  # what had arrived was replaced, not added to


@pytest.mark.process
def test_killed_download_continues_in_the_next_process(bucket, tmp_path):
    """Killed at two offsets, each while the connection is open and nothing comes any more."""
    state = {
        "functions": {"BulkReadSubmitter": "f"}, "queues": {}, "results_bucket": "b", "api_url": "",
        "region": "r",
        "control_url": bucket.url, "aws_endpoint_url": bucket.url,
    }  # fmt: skip
    (tmp_path / "stack.json").write_text(json.dumps(state))
    command = [
        sys.executable, "-m", "crm_export_cli", "exports", "download", EXPORT_ID, "--json",
        "--local", "--state-file", str(tmp_path / "stack.json"), "--to", str(tmp_path / "out"),
    ]  # fmt: skip
    unfinished = tmp_path / "out" / FOLDER / "part-00001.csv.part"
    bucket.holds = True
    for size in (100_000, 3_900_000):
        had = unfinished.stat().st_size if unfinished.exists() else 0
        bucket.cuts = [size - had]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            wait_for(lambda had=had: unfinished.exists() and unfinished.stat().st_size > had)
            child.kill()
    done = subprocess.run(command, capture_output=True, check=False)
    (export,) = json.loads(done.stdout)["exports"]
    assert (done.returncode, export["folder"]) == (0, str(tmp_path / "out" / FOLDER))
    assert (tmp_path / "out" / FOLDER / "part-00001.csv").read_bytes() == CONTENT
    begins = offsets(bucket)
    assert (len(begins), begins[0]) == (3, 0)
    assert begins == sorted(set(begins))  # each went on where the one before had come to
