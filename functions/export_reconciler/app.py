"""Queues due syncs and quiet parts, fails overdue exports, announces ended ones (every five minutes)."""

from typing import Any

from crm_export.exports.reconcile import reconcile
from crm_export.sync.schedule import start_due
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

at_init(lambda own: own.due_syncs)


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle a tick of EventBridge Scheduler; return how many parts and syncs were queued."""
    own = container()
    try:
        syncs = start_due(own.due_syncs)
    finally:  # what is wrong with a sync must not stop exports
        pushed = reconcile(own.reconciler)
    return {"pushed": pushed, "syncs": syncs}
