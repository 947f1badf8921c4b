"""Queues parts that have not changed for a while, and fails overdue exports (every five minutes)."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.exports.reconcile import reconcile
from crm_export.telemetry import observed


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle a tick of EventBridge Scheduler; return how many parts were queued."""
    return {"pushed": reconcile(wiring.container().reconciler)}
