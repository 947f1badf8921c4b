"""Tells an outage of an AWS service, which is waited for, from a refusal, which the next call meets again."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError

from crm_export.errors import ExportError

# The codes that botocore's standard mode retries, those of parts of a cancelled transaction, and S3's 409s.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_OUTAGES = {
    "BandwidthLimitExceeded",
    "ConditionalRequestConflict",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflict",
    "TransactionInProgressException",
}


def is_outage(error: object) -> bool:
    """True if AWS failed, throttled or could not be reached, so that a later call may succeed."""
    if not isinstance(error, ClientError):
        return isinstance(error, BotoConnectionError | HTTPClientError | IncompleteReadError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
    codes.add(error.response.get("Error", {}).get("Code"))
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or bool(codes & _OUTAGES)


@contextmanager
def outages_as(kind: type[ExportError], service: str) -> Iterator[None]:
    """Raise `kind` for an outage of an AWS service. Its refusals pass unchanged."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if not is_outage(error):
            raise
        code = error.response["Error"].get("Code") if isinstance(error, ClientError) else None
        raise kind(f"{service} is unavailable: {code or type(error).__name__}.") from error
