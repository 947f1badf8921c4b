"""Streams the results of finished jobs into S3 (the download queue)."""

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.aws.part_queue import consume
from crm_export.exports.download import DownloadServices, advance_part
from crm_export.settings import ResultDownloaderSettings
from crm_export.telemetry import observed


def _advance(export_id: str, part: int) -> None:
    settings = wiring.settings_of(ResultDownloaderSettings)
    services = DownloadServices(
        store=wiring.export_store(settings.exports_table),
        submit_queue=wiring.part_queue(settings.submit_queue_url),
        download_queue=wiring.part_queue(settings.download_queue_url),
        bulk_read=wiring.bulk_read(settings),
        records=wiring.records(settings),
        results=wiring.results(settings.results_bucket),
        budget=wiring.download_budget(settings.exports_table, settings.downloads_per_minute),
        clock=wiring.utc_now,
        job_deadline=timedelta(minutes=settings.job_deadline_minutes),
    )
    advance_part(services, export_id, part)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: an SQS event of the download queue; returns its batch item failures."""
    queue = wiring.part_queue(wiring.settings_of(ResultDownloaderSettings).download_queue_url)
    return consume(event, queue, _advance)
