"""The log lines of a stack's functions, from CloudWatch Logs or from the files of the local stack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crm_export_cli.stack.functions import Stack, aws_errors

FUNCTIONS = (
    "ExportHandler", "BulkReadSubmitter", "CallbackReceiver", "ResultDownloader", "ExportReconciler",
    "ParquetWriter",
)  # fmt: skip


def stack_lines(stack: Stack, since: float, export_id: str | None) -> list[dict[str, Any]]:
    """Return the lines since a moment (seconds since 1970), oldest first. Raises CliError.

    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    texts = _of_files(stack.logs) if stack.logs else _of_cloudwatch(stack, since, export_id)
    lines = [line for line in map(_parsed, texts) if line is not None]
    return sorted(lines, key=lambda line: str(line.get("timestamp", "")))


def _of_cloudwatch(stack: Stack, since: float, export_id: str | None) -> Iterator[str]:
    only = {"filterPattern": f'"{export_id}"'} if export_id else {}
    for function in FUNCTIONS:
        group = stack.find(f"{function}LogGroup")
        if group is None:  # ParquetWriter is part of a stack with LakeOutput only
            continue
        with aws_errors():
            pages = stack.client("logs").get_paginator("filter_log_events")
            for page in pages.paginate(logGroupName=group, startTime=int(since * 1000), **only):
                yield from (event["message"] for event in page["events"])


def _of_files(folder: Path) -> Iterator[str]:
    for function in FUNCTIONS:
        path = folder / f"{function}.log"
        if path.exists():
            yield from path.read_text(errors="replace").splitlines()


def _parsed(text: str) -> dict[str, Any] | None:
    """Return a log line of ours, without metrics; None for Lambda's own lines."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "_aws" not in line and "message" in line else None
