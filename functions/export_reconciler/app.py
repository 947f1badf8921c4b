"""Queues quiet parts, fails overdue exports and announces ended ones (every five minutes)."""

from typing import Any

from crm_export.exports.reconcile import reconcile
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

at_init(lambda own: own.reconciler)


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle a tick of EventBridge Scheduler; return how many parts were queued."""
    return {"pushed": reconcile(container().reconciler)}
