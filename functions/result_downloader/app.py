"""Streams the results of finished jobs to S3 (the download queue)."""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.aws.part_queue import consume
from crm_export.exports.download import advance_part
from crm_export.telemetry import observed


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an SQS event of the download queue; return its batch item failures."""
    pipeline = wiring.container().downloader
    return consume(event, pipeline.download_queue, partial(advance_part, pipeline))
