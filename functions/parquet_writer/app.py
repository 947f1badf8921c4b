"""Writes completed exports as Parquet (the queue of their manifests' events)."""

from functools import partial
from typing import Any

from crm_export.aws.manifest_queue import consume_manifests
from crm_export.lake.tables import land_export
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

at_init(lambda own: (own.lake, own.manifest_queue, own.tables))


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle an SQS event of the parquet queue; return its batch item failures."""
    own = container()
    return consume_manifests(event, own.manifest_queue, partial(land_export, own.lake, tables=own.tables))
