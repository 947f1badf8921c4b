"""Header Idempotency-Key: a request sent twice is done once. Called by functions/bulk_read_submitter.

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

KEPT_SECONDS = 24 * 3600
_KEY = re.compile(r"[!-~]{1,255}")
_SHOWN = 60


class _Context:
    """What Powertools reads of a LambdaContext: once its time is over, the request may begin anew."""

    def get_remaining_time_in_millis(self) -> int:
        return int(min(deadline.remaining(), KEPT_SECONDS) * 1000)


def once(
    client: Any, table: str, *, account_id: str, owner: str, key: str, request: Any, do: Callable[[], str]
) -> str:
    """What `do` returned for the caller's key within 24 hours, else do it and keep what it returns.

    An exception of `do` is not kept: the key is free again. Raises InvalidRequest for a key that is none,
    IdempotencyConflict when the key came with another request (JSON), RequestInProgress while it is being
    done.
    """
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            f"Idempotency-Key is {key[:_SHOWN]!r}; allowed are 1 to 255 visible ASCII characters."
        )
    layer = DynamoDBPersistenceLayer(
        table_name=table,
        key_attr="pk",
        static_pk_value=f"IDEMPOTENCY#{account_id}",
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
    def answer(data: dict[str, Any]) -> dict[str, str]:  # noqa: ARG001 (Powertools reads it)
        return {"result": do()}

    try:
        return str(answer(data={"key": [owner, key], "request": request})["result"])
    except IdempotencyValidationError as error:
        raise IdempotencyConflict(
            f"Idempotency-Key {key[:_SHOWN]!r} came with another request within 24 hours; send the same "
            "request again, or another key."
        ) from error
    except (IdempotencyAlreadyInProgressError, IdempotencyInconsistentStateError) as error:
        raise RequestInProgress(
            f"The request with Idempotency-Key {key[:_SHOWN]!r} is being worked on; ask again.", retry_after=2
        ) from error
