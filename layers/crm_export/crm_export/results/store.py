"""Puts results and manifests into the results bucket."""

import json
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export.errors import CountMismatch, StorageRefused
from crm_export.results.count import CsvCounter
from crm_export.results.sink import ObjectWriter
from crm_export.results.unzip import unzip

_CONTENT_TYPES = {"csv": "text/csv; charset=utf-8"}


class S3Results:
    """ResultStore (exports.ports) over S3."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def store(
        self, chunks: Iterable[bytes], key: str, *, file_type: str, expected_records: int
    ) -> dict[str, Any]:
        """Stream a result ZIP into an object; return {"records", "bytes", "crc32", "header"}.

        The object appears only if CRC, sizes and the number of records are right; crc32 is 8 hex
        digits. Raises ResultError, and what `chunks` raises.
        """
        try:
            return self._store(chunks, key, file_type, expected_records)
        except (ClientError, BotoCoreError) as error:
            raise StorageRefused(f"S3 did not take {key}: {_reason(error)}.") from error

    def _store(
        self, chunks: Iterable[bytes], key: str, file_type: str, expected_records: int
    ) -> dict[str, Any]:
        entry, content = unzip(chunks)
        counter = CsvCounter()
        with ObjectWriter(self._s3, self._bucket, key, _CONTENT_TYPES[file_type]) as writer:
            for chunk in content:
                counter.feed(chunk)
                writer.write(chunk)
            records, header = counter.finish()
            if records != expected_records:
                raise CountMismatch(f"The result holds {records} records; Zoho counted {expected_records}.")
            writer.commit(entry.crc32)
        return {"records": records, "bytes": entry.size, "crc32": f"{entry.crc32:08x}", "header": header}

    def put_manifest(self, key: str, manifest: dict[str, Any]) -> None:
        """Write a manifest once: written again, it would announce the export a second time."""
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=json.dumps(manifest, ensure_ascii=False, indent=1).encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "PreconditionFailed":
                raise


def _reason(error: Exception) -> str:
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__
