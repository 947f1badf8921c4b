"""Finds parts that went quiet and pushes them on (every five minutes)."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.exports.reconcile import ReconcileServices, reconcile
from crm_export.settings import ExportReconcilerSettings
from crm_export.telemetry import observed


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: EventBridge Scheduler; returns how many parts were pushed on."""
    settings = wiring.settings_of(ExportReconcilerSettings)
    services = ReconcileServices(
        store=wiring.export_store(settings.exports_table),
        submit_queue=wiring.part_queue(settings.submit_queue_url),
        download_queue=wiring.part_queue(settings.download_queue_url),
        clock=wiring.utc_now,
        quiet_seconds=settings.part_quiet_seconds,
    )
    return {"pushed": reconcile(services)}
