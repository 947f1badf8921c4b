"""POST /v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}: Zoho reports a finished job."""

from typing import Any

from crm_export.api.requests import at_root, body_bytes
from crm_export.api.responses import JsonResponse, make_app, success
from crm_export.exports.callbacks import receive_callback
from crm_export.telemetry import Context, Event, observed
from crm_export.wiring import at_init, container

app = make_app()
at_init(lambda own: own.receiver)


@app.post("/v1/e/zoho/bulk-read/callback/<export_id>/<part>/<signature>")
def post_callback(export_id: str, part: str, signature: str) -> JsonResponse:
    """Receive a callback; its signature is verified before anything is parsed."""
    body = body_bytes(app.current_event.raw_event)
    receive_callback(container().receiver, export_id, part, signature, body)
    return success("Callback is received", None)


@observed
def lambda_handler(event: Event, context: Context) -> dict[str, Any]:
    """Handle an event of the HTTP API, payload format 2.0."""
    return app.resolve(at_root(event, container().api.api_base_path), context)
