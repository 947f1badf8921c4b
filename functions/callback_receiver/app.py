"""POST /v1/e/zoho/bulk-read/callback/{export_id}/{part}/{signature}: Zoho says a job is done or failed."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from crm_export import wiring
from crm_export.api.requests import body_bytes
from crm_export.api.responses import make_app, success
from crm_export.exports.callbacks import receive_callback
from crm_export.settings import CallbackReceiverSettings
from crm_export.telemetry import observed

app = make_app()


@app.post("/v1/e/zoho/bulk-read/callback/<export_id>/<part>/<signature>")
def post_callback(export_id: str, part: str, signature: str) -> Response[str]:
    """The signature is checked before anything is parsed."""
    settings = wiring.settings_of(CallbackReceiverSettings)
    number = wiring.callback_keys(settings.callback_secret_id).verify(export_id, part, signature)
    receive_callback(
        wiring.export_store(settings.exports_table),
        wiring.part_queue(settings.download_queue_url),
        export_id,
        number,
        body_bytes(app.current_event.raw_event),
    )
    return success("Callback is received", None)


@observed
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: an HTTP API event, payload 2.0."""
    return app.resolve(event, context)
