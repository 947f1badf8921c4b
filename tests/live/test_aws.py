"""What only a deployed stack can show about AWS."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from tests.live.conftest import LiveStack

KEY = "live-probe/object"
CALLER = {"account_id": "live-probe", "uid": "nobody"}


def test_api_was_imported_without_warnings(stack: LiveStack) -> None:
    """Does API Gateway warn about the document that SAM makes of the template?"""
    api = stack.client("apigatewayv2").get_api(ApiId=stack.resources["HttpApi"])
    assert api.get("Warnings", []) == []


def test_body_that_curl_sends_as_a_form_is_read(stack: LiveStack) -> None:
    """Does API Gateway pass the body of `curl -d` on as base64, and do we read it?"""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = stack.call("POST", "/v1/e/zoho/bulk-read/contacts", data='{"query": 1}', headers=headers)
    assert (response.status_code, "query" in response.json()["message"]) == (422, True)


def test_path_is_decoded(stack: LiveStack) -> None:
    """Is rawPath decoded, as the functions expect?"""
    response = stack.call("GET", "/v1/e/zoho/export/con%74acts?limit=1")
    assert response.status_code == 200, response.text


def test_caller_without_a_connection_gets_404(stack: LiveStack) -> None:
    """What does Secrets Manager say about a secret that is not there: not found, or access denied?"""
    claims = {"jwt": {"claims": CALLER, "scopes": None}}
    event = {
        "version": "2.0",
        "routeKey": "GET /v1/e/zoho/export/{type}",
        "rawPath": "/v1/e/zoho/export/contacts",
        "rawQueryString": "",
        "headers": {},
        "pathParameters": {"type": "contacts"},
        "requestContext": {
            "http": {"method": "GET", "path": "/v1/e/zoho/export/contacts"},
            "authorizer": claims,
            "stage": "$default",
            "requestId": "live-probe",
            "domainName": "live.probe",
        },
        "isBase64Encoded": False,
    }
    assert stack.invoke("ExportHandler", event)["statusCode"] == 404


def test_link_is_answered_without_a_redirect(stack: LiveStack, contacts: dict[str, Any]) -> None:
    """Is the host of a presigned link the bucket's own, in this region?"""
    response = requests.get(contacts["parts"][0]["url"], allow_redirects=False, stream=True, timeout=60)
    assert response.status_code == 200, response.headers.get("Location", response.reason)


def test_second_complete_upload_is_refused(stack: LiveStack) -> None:
    """Does CompleteMultipartUpload with If-None-Match refuse to replace an object?"""
    s3, target = stack.client("s3"), {"Bucket": stack.resources["ResultsBucket"], "Key": KEY}

    def complete() -> None:
        upload = s3.create_multipart_upload(**target)["UploadId"]
        tag = s3.upload_part(**target, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
        try:
            s3.complete_multipart_upload(**target, UploadId=upload, MultipartUpload=parts, IfNoneMatch="*")
        except ClientError:
            s3.abort_multipart_upload(**target, UploadId=upload)
            raise

    with _removed(s3, target):
        complete()
        with pytest.raises(ClientError) as refused:
            complete()
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"


@contextmanager
def _removed(s3: Any, target: dict[str, str]) -> Iterator[None]:
    try:
        yield
    finally:
        s3.delete_object(**target)


def test_items_expire(stack: LiveStack) -> None:
    """Is the time to live of the table's items switched on?"""
    described = stack.client("dynamodb").describe_time_to_live(TableName=stack.resources["ExportsTable"])
    assert described["TimeToLiveDescription"]["TimeToLiveStatus"] == "ENABLED"


def test_callbacks_arrive(stack: LiveStack, contacts: dict[str, Any]) -> None:
    """Does Zoho reach the callback's route? Without callbacks, each part waits for the reconciler."""
    assert contacts["state"] == "COMPLETED", contacts["failure"]
    items = stack.client("dynamodb").get_item(
        TableName=stack.resources["ExportsTable"],
        Key={"pk": {"S": f"EXPORT#{contacts['export_id']}"}, "sk": {"S": "PART#00001"}},
    )
    assert int(items["Item"]["callbacks"]["N"]) >= 1
