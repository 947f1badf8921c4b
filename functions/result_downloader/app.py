"""Streams the results of finished jobs to S3 (the download queue)."""

from functools import partial
from typing import Any

from crm_export.aws.part_queue import consume
from crm_export.exports.download import advance_part
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

at_init(lambda own: own.downloader)


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle an SQS event of the download queue; return its batch item failures."""
    pipeline = container().downloader
    return consume(event, pipeline.download_queue, partial(advance_part, pipeline))
