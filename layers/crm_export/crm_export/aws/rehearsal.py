"""Lets a client do at init what it does lazily at its first call, without the network.

That is to read credentials, apply the rules of endpoints, and build what signs, writes and parses. Lambda
gives the init a whole CPU, and an invocation of a small function a fraction of one.
"""

from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

# A call that the functions make, and a response to it.
_CALLS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "dynamodb": ("get_item", {"TableName": "table", "Key": {"pk": {"S": ""}, "sk": {"S": ""}}}, b"{}"),
    "events": ("put_events", {"Entries": [{"Source": "s", "DetailType": "t", "Detail": "{}"}]}, b"{}"),
    "glue": ("get_table", {"DatabaseName": "database", "Name": "table"}, b"{}"),
    "s3": ("create_multipart_upload", {"Bucket": "bucket", "Key": "key"}, b"<Result/>"),
    "secretsmanager": ("get_secret_value", {"SecretId": "secret"}, b"{}"),
    "sqs": ("send_message", {"QueueUrl": "https://localhost/queue", "MessageBody": "{}"}, b"{}"),
}


class _Body(BytesIO):
    def stream(self) -> list[bytes]:
        return [self.read()]


def rehearse(client: Any, service: str) -> None:
    """Make a call whose request is not sent: a handler of botocore's event before-send returns the response.

    https://docs.aws.amazon.com/boto3/latest/guide/events.html
    """
    operation, arguments, body = _CALLS[service]

    def respond(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, HTTPHeaders(), _Body(body))

    client.meta.events.register_first("before-send", respond)
    try:
        getattr(client, operation)(**arguments)
    finally:
        client.meta.events.unregister("before-send", respond)
