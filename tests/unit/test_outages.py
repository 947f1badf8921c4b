"""Outages of AWS are told from refusals: the first are waited for, the second count as failures."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    FlexibleChecksumError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from crm_export.errors import QueueUnavailable, StateUnavailable
from crm_export.outages import is_outage, outages_as

URL = "https://aws.example"


def error(code, status=400, *reasons):
    response = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    if reasons:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, "Operation")


OUTAGES = [
    # 5xx, whatever the code says
    error("InternalError", 500),
    error("InternalServerError", 500),
    error("ServiceUnavailable", 503),
    error("503", 503),
    error("AccessDenied", 500),
    # throttling: some services say so with 400
    error("SlowDown", 503),
    error("SlowDown"),
    error("Throttling"),
    error("ThrottlingException"),
    error("ThrottledException"),
    error("RequestThrottled"),
    error("RequestLimitExceeded"),
    error("TooManyRequestsException", 429),
    error("ProvisionedThroughputExceededException"),
    error("LimitExceededException"),
    error("BandwidthLimitExceeded"),
    # timeouts and conflicts that AWS asks to retry
    error("RequestTimeout"),
    error("RequestTimeoutException"),
    error("PriorRequestNotComplete"),
    error("ConditionalRequestConflict", 409),
    error("OperationAborted", 409),
    error("TransactionInProgressException"),
    # transactions that were cancelled because of one of their items
    error("TransactionCanceledException", 400, "None", "TransactionConflict"),
    error("TransactionCanceledException", 400, "ThrottlingError"),
    error("TransactionCanceledException", 400, "ProvisionedThroughputExceeded", "None"),
    # no response, or half of one
    EndpointConnectionError(endpoint_url=URL),
    ConnectTimeoutError(endpoint_url=URL),
    ConnectionClosedError(endpoint_url=URL),
    ReadTimeoutError(endpoint_url=URL),
    SSLError(endpoint_url=URL, error="x"),
    ResponseStreamingError(error="x"),
    IncompleteReadError(actual_bytes=1, expected_bytes=2),
]
REFUSALS = [
    error("AccessDenied", 403),
    error("403", 403),
    error("404", 404),
    error("NoSuchBucket", 404),
    error("NoSuchKey", 404),
    error("NoSuchUpload", 404),
    error("BadDigest"),
    error("InvalidRequest"),
    error("PreconditionFailed", 412),
    error("ResourceNotFoundException"),
    error("ValidationException"),
    error("ConditionalCheckFailedException"),
    error("AWS.SimpleQueueService.NonExistentQueue"),
    error("TransactionCanceledException", 400, "None", "ConditionalCheckFailed"),
    error("TransactionCanceledException", 400, "ValidationError"),
    ClientError({"Error": {}}, "Operation"),
    ClientError({}, "Operation"),
    NoCredentialsError(),
    ParamValidationError(report="x"),
    FlexibleChecksumError(error_msg="x"),
    ValueError("x"),
    TimeoutError("x"),
    None,
]


def name_of(value):
    if not isinstance(value, ClientError):
        return type(value).__name__
    reasons = "+".join(reason["Code"] for reason in value.response.get("CancellationReasons", []))
    return f"{value.response.get('Error', {}).get('Code')} {reasons}"


@pytest.mark.parametrize("outage", OUTAGES, ids=name_of)
def test_failure_of_aws_is_an_outage(outage):
    assert is_outage(outage)


@pytest.mark.parametrize("refusal", REFUSALS, ids=name_of)
def test_refusal_is_no_outage(refusal):
    assert not is_outage(refusal)


@pytest.mark.parametrize(
    ("outage", "reason"),
    [
        (error("ThrottlingException"), "ThrottlingException"),
        (ReadTimeoutError(endpoint_url=URL), "ReadTimeoutError"),
    ],
)
@pytest.mark.parametrize("kind", [StateUnavailable, QueueUnavailable])
def test_outage_is_raised_as_the_error_of_its_service(kind, outage, reason):
    with (
        pytest.raises(kind, match=f"DynamoDB is unavailable: {reason}") as raised,
        outages_as(kind, "DynamoDB"),
    ):
        raise outage
    assert raised.value.__cause__ is outage
    assert raised.value.retryable


@pytest.mark.parametrize("refusal", [error("AccessDenied", 403), NoCredentialsError(), ValueError("x")])
def test_refusal_passes_unchanged(refusal):
    with pytest.raises(type(refusal)) as raised, outages_as(StateUnavailable, "DynamoDB"):
        raise refusal
    assert raised.value is refusal
