"""The ways to bring a result ZIP from Zoho to S3 that are compared: ours, the peers', and the physical limit.

`benchmarks.landing` runs `python -m benchmarks.landing_rows JSON` once per row and round. Imports and clients
are set-up and not measured. The peers are written as their documentation shows them, with default settings.
"""

import codecs
import csv
import io
import json
import logging
import os
import shutil
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import measured
from benchmarks.servers import JOB_ID

BUCKET = "results"
_CHUNK = 64 * 1024  # stream-unzip's documentation reads so much at once


@dataclass(frozen=True)
class Landing:
    """One ZIP to bring to S3: where it is, where it goes, and how many records it has."""

    zoho: str  # URL of the server that sends the ZIP
    archive: str  # the same ZIP as a file, for the rows that measure no network
    key: str
    records: int
    certificate: str | None = None
    part_bytes: int | None = None  # of an upload by us; None: the default

    @property
    def url(self) -> str:
        """The URL of the result."""
        return f"{self.zoho}/crm/bulk/v8/read/{JOB_ID}/result"


type Run = Callable[[], dict[str, Any]]
type Row = Callable[[Landing], Run]  # sets up and returns what is measured

ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    """Register a row by the name that is shown."""

    def register(prepare: Row) -> Row:
        ROWS[name] = prepare
        return prepare

    return register


class OneToken:
    """A TokenSource with one token that is always valid."""

    def token(self, rejected: str | None = None) -> str:
        """Return the token."""
        return "1000.bench.token"

    def is_own(self, token: str) -> bool:
        """Return True, because nobody else requests tokens."""
        return True

    def reject_grant(self, token: str) -> Any:
        """Never called: the server accepts every token."""
        raise NotImplementedError


def ours(file_format: str) -> Row:
    """Return the row of our code path, from the HTTP transport to the S3 client that the wiring builds."""

    def prepare(landing: Landing) -> Run:
        from crm_export.aws.results_bucket import ResultsBucket  # noqa: PLC0415
        from crm_export.wiring import boto3_client  # noqa: PLC0415
        from crm_export.zoho.bulk_read import BulkRead  # noqa: PLC0415
        from crm_export.zoho.client import ZohoClient  # noqa: PLC0415
        from crm_export.zoho.transport import make_session  # noqa: PLC0415

        session = make_session()
        session.verify = landing.certificate or True
        bulk_read = BulkRead(ZohoClient(session, landing.zoho, OneToken()))
        more: dict[str, Any] = {"part_bytes": landing.part_bytes} if landing.part_bytes else {}
        results = ResultsBucket(boto3_client("s3"), BUCKET, **more)

        def run() -> dict[str, Any]:
            with bulk_read.open_result("v8", JOB_ID) as chunks:
                stored = results.store_result(
                    chunks,
                    landing.key,
                    file_format=file_format,
                    expected_records=landing.records,
                    job_id=JOB_ID,
                    confirm=lambda: None,
                )
            return {"records": stored.records, "ids": bool(stored.ids and stored.ids.digest)}

        return run

    return prepare


ROWS["ours, csv"] = ours("csv")
ROWS["ours, csv.gz"] = ours("csv.gz")


def _boto3_s3() -> Any:
    import boto3  # noqa: PLC0415

    return boto3.client("s3")


@row("requests + zipfile + upload_fileobj")
def in_memory(landing: Landing) -> Run:
    """The shortest script: the ZIP in memory, its file uploaded as a stream."""
    import requests  # noqa: PLC0415

    s3 = _boto3_s3()

    def run() -> dict[str, Any]:
        response = requests.get(landing.url, timeout=60)
        response.raise_for_status()
        archive = zipfile.ZipFile(io.BytesIO(response.content))
        with archive, archive.open(archive.namelist()[0]) as file:
            s3.upload_fileobj(file, BUCKET, landing.key)
        return {}

    return run


def _unzip_and_upload(s3: Any, archive: Path, landing: Landing) -> None:
    with zipfile.ZipFile(archive) as opened:
        extracted = opened.extract(opened.namelist()[0], archive.parent)
    s3.upload_file(extracted, BUCKET, landing.key)


@row("temporary file + zipfile + upload_file")
def temporary_file(landing: Landing) -> Run:
    """The usual script: ZIP and CSV in temporary files."""
    import requests  # noqa: PLC0415

    s3 = _boto3_s3()

    def run() -> dict[str, Any]:
        with TemporaryDirectory() as folder:
            archive = Path(folder) / "result.zip"
            with requests.get(landing.url, stream=True, timeout=60) as response, archive.open("wb") as file:
                response.raise_for_status()
                shutil.copyfileobj(response.raw, file)
            _unzip_and_upload(s3, archive, landing)
        return {}

    return run


@row("stream-unzip + upload_fileobj")
def stream_unzip(landing: Landing) -> Run:
    """A stream from end to end that counts nothing."""
    return _streamed(landing, lambda chunks, _: chunks)


@row("stream-unzip + csv + upload_fileobj")
def stream_unzip_counting(landing: Landing) -> Run:
    """The same, with csv.reader on the way, to know how many records there are."""
    return _streamed(landing, _counted)


def _streamed(landing: Landing, through: Callable[[Iterator[bytes], dict[str, int]], Iterator[bytes]]) -> Run:
    import requests  # noqa: PLC0415
    from stream_unzip import stream_unzip as unzip  # noqa: PLC0415
    from to_file_like_obj import to_file_like_obj  # noqa: PLC0415

    s3 = _boto3_s3()

    def run() -> dict[str, Any]:
        counts: dict[str, int] = {}
        with requests.get(landing.url, stream=True, timeout=60) as response:
            response.raise_for_status()
            for _name, _size, chunks in unzip(response.iter_content(_CHUNK)):
                s3.upload_fileobj(to_file_like_obj(through(chunks, counts)), BUCKET, landing.key)
        return dict(counts)

    return run


def _counted(chunks: Iterator[bytes], counts: dict[str, int]) -> Iterator[bytes]:
    """Yield the chunks; afterwards `counts` has the number of records that csv.reader found."""
    passed: deque[bytes] = deque()
    decoder = codecs.getincrementaldecoder("utf-8")()

    def lines() -> Iterator[str]:
        rest = ""
        for chunk in chunks:
            passed.append(chunk)
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            for line in whole:
                yield line + "\n"
        if rest:
            yield rest

    records = -1  # without the header
    for _ in csv.reader(lines()):
        records += 1
        while passed:
            yield passed.popleft()
    yield from passed
    counts["records"] = records


@row("Zoho's SDK 8 + zipfile + upload_file")
def zoho_sdk(landing: Landing) -> Run:
    """Zoho's own SDK, as its sample of "download result" uses it, then a file, then zipfile."""
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import BulkReadOperations  # noqa: PLC0415

    s3, folder = _boto3_s3(), TemporaryDirectory()
    _initialise_sdk(landing.zoho, folder.name)

    def run() -> dict[str, Any]:
        with folder:
            stream = BulkReadOperations().download_result(int(JOB_ID)).get_object().get_file()
            archive = Path(folder.name) / stream.get_name()
            with archive.open("wb") as file:
                for chunk in stream.get_stream():
                    file.write(chunk)
            _unzip_and_upload(s3, archive, landing)
        return {}

    return run


def _initialise_sdk(url: str, folder: str) -> None:
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.api.logger import Logger  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer  # noqa: PLC0415

    token = OAuthToken(client_id="1000.BENCH", client_secret="secret", refresh_token="1000.refresh")  # noqa: S106
    Initializer.initialize(
        DataCenter.Environment(url, f"{url}/oauth/v2/token", url),
        token,
        store=FileStore(os.path.join(folder, "tokens.csv")),  # noqa: PTH118 (the SDK takes strings)
        resource_path=folder,
        logger=Logger.get_instance(Logger.Levels.WARNING, os.path.join(folder, "sdk.log")),  # noqa: PTH118
    )


@row("limit: isal inflate + CRC, from memory")
def limit(landing: Landing) -> Run:
    """What no program that verifies the ZIP can go below: no network, no upload, no counting."""
    return _from_memory(landing, lambda _: 0)


@row("limit: the same + counting newlines in C")
def limit_counting(landing: Landing) -> Run:
    """The same and bytes.count, which counts too many where cells have newlines."""
    return _from_memory(landing, lambda chunk: chunk.count(b"\n"))


def _from_memory(landing: Landing, count: Callable[[bytes], int]) -> Run:
    from isal import isal_zlib  # noqa: PLC0415

    archive = memoryview(Path(landing.archive).read_bytes())
    name, extra = (int.from_bytes(archive[at : at + 2], "little") for at in (26, 28))
    data = archive[30 + name + extra :]

    def run() -> dict[str, Any]:
        inflater, crc, counted = isal_zlib.decompressobj(-15), 0, 0
        for start in range(0, len(data), _CHUNK):
            chunk = inflater.decompress(data[start : start + _CHUNK])
            crc = isal_zlib.crc32(chunk, crc)
            counted += count(chunk)
        return {}

    return run


def main() -> None:
    """Run one row and print its figures as JSON."""
    logging.disable(logging.WARNING)
    arguments = json.loads(sys.argv[1])
    run = ROWS[arguments.pop("row")](Landing(**arguments))
    outcome, figures = measured(run)
    print(json.dumps({**figures, **outcome}))


if __name__ == "__main__":
    main()
