"""The header Idempotency-Key: a request that is sent twice runs once.

https://docs.powertools.aws.dev/lambda/python/latest/utilities/idempotency/
"""

import re
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyInconsistentStateError,
    IdempotencyValidationError,
)

from crm_export import deadline
from crm_export.errors import IdempotencyConflict, InvalidRequest, RequestInProgress
from crm_export.exports.model import Caller

KEPT_SECONDS = 24 * 3600
_KEY = re.compile(r"[!-~]{1,255}")
_SHOWN = 60


class _Context:
    """What Powertools reads of a LambdaContext: when its time is over, the request may run again."""

    def get_remaining_time_in_millis(self) -> int:
        return int(min(deadline.remaining(), KEPT_SECONDS) * 1000)


def once(  # noqa: PLR0917 (wiring binds the first two)
    client: Any, table: str, caller: Caller, key: str, request: Any, do: Callable[[], str]
) -> str:
    """Return what `do` returned for the caller's key within the last 24 hours; run it if there is nothing.

    If `do` raises, the key is free again. request: JSON that identifies the request. Raises InvalidRequest
    for an unusable key, IdempotencyConflict if the key was used for a different request, and
    RequestInProgress while the same request is running.
    """
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"Idempotency-Key is {key[:_SHOWN]!r}; it must be 1 to 255 visible ASCII characters."
        )
    run = _idempotent(client, table, caller, do)
    try:
        return str(run(data={"key": [caller.owner, key], "request": request})["result"])
    except IdempotencyValidationError as error:
        raise IdempotencyConflict(
            f"Idempotency-Key {key[:_SHOWN]!r} was used for a different request within 24 hours; send the "
            "same request again, or use another key."
        ) from error
    except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError) as error:
        raise RequestInProgress(
            f"The request with Idempotency-Key {key[:_SHOWN]!r} is still running; send it again.",
            retry_after=2,
        ) from error


def _idempotent(
    client: Any, table: str, caller: Caller, do: Callable[[], str]
) -> Callable[..., dict[str, str]]:
    """Return `do` as a function of `data`, {"key", "request"}, that Powertools runs once per key."""
    layer = DynamoDBPersistenceLayer(
        table_name=table,
        key_attr="pk",
        static_pk_value=f"IDEMPOTENCY#{caller.account_id}",
        sort_key_attr="sk",
        expiry_attr="expires_at",
        boto3_client=client,
    )
    config = IdempotencyConfig(
        event_key_jmespath="key",
        payload_validation_jmespath="request",
        expires_after_seconds=KEPT_SECONDS,
        hash_function="sha256",
        lambda_context=_Context(),  # type: ignore[arg-type]
    )

    @idempotent_function(  # type: ignore[untyped-decorator]
        data_keyword_argument="data", persistence_store=layer, config=config, key_prefix="request"
    )
    def run(data: dict[str, Any]) -> dict[str, str]:  # noqa: ARG001 (Powertools reads it)
        return {"result": do()}

    wrapped: Callable[..., dict[str, str]] = run
    return wrapped
