"""Records every AWS call a function makes in this process as the requests that IAM would judge.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.handlers import BUILTIN_HANDLERS
from botocore.model import OperationModel

from local.host.aws import ACCOUNT_ID, REGION
from tests.support.policies import Request, queue_arn, table_arn


@dataclass(frozen=True)
class Call:
    """A request to IAM by a function, with the environment variables the function had."""

    function: str
    environment: tuple[tuple[str, str], ...]
    request: Request


class Recorder:
    """Records the calls of every boto3 client that is created after `listen`."""

    def __init__(self) -> None:
        self.calls: set[Call] = set()
        self._actor: tuple[str, tuple[tuple[str, str], ...]] | None = None

    def listen(self) -> None:
        """Register with botocore's built-in handlers, which every new client gets."""
        BUILTIN_HANDLERS.append(("before-parameter-build", self._record))

    def stop(self) -> None:
        """Undo `listen`; clients that exist go on recording."""
        BUILTIN_HANDLERS.remove(("before-parameter-build", self._record))

    @contextmanager
    def acting(self, function: str, environment: Mapping[str, str]) -> Iterator[None]:
        """Record the calls of all threads as this function's while the context lasts."""
        assert self._actor is None, f"{function} was invoked inside {self._actor}"
        self._actor = (function, tuple(sorted(environment.items())))
        try:
            yield
        finally:
            self._actor = None

    def _record(self, *, model: OperationModel, params: dict[str, Any], **_: Any) -> None:
        if self._actor is not None:  # a call outside a function is the test's own
            for request in requests_of(model.service_model.service_name, model.name, params):
                self.calls.add(Call(*self._actor, request))


def requests_of(service: str, operation: str, params: Mapping[str, Any]) -> list[Request]:
    """Return the requests IAM judges for a call. An unknown operation fails: add it to _REQUESTS."""
    assert (service, operation) in _REQUESTS, (
        f"{service} {operation} has no entry in {__name__}._REQUESTS: add what IAM judges for it"
    )
    return _REQUESTS[service, operation](params)


type ToRequests = Callable[[Mapping[str, Any]], list[Request]]


def _leading(*keys: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("dynamodb:LeadingKeys", keys),)


def _item(action: str, member: str = "Key") -> ToRequests:
    def requests(params: Mapping[str, Any]) -> list[Request]:
        # All items are in one table with the partition key pk; its indexes are only queried.
        key = _string(params[member]["pk"])
        return [Request(f"dynamodb:{action}", table_arn(params["TableName"]), _leading(key))]

    return requests


def _string(value: Any) -> str:
    """Return a string attribute as a client (typed) or a table resource (plain) sends it."""
    return str(value["S"]) if isinstance(value, dict) else str(value)


def _query(params: Mapping[str, Any]) -> list[Request]:
    match = re.match(r"\s*[#\w]+\s*=\s*(:\w+)", params["KeyConditionExpression"])
    assert match, params["KeyConditionExpression"]
    key = _string(params["ExpressionAttributeValues"][match[1]])
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    return [Request("dynamodb:Query", table_arn(params["TableName"]) + index, _leading(key))]


_MEMBERS = {
    "Put": _item("PutItem", "Item"),
    "Update": _item("UpdateItem"),
    "Delete": _item("DeleteItem"),
    "ConditionCheck": _item("ConditionCheckItem"),
    "Get": _item("GetItem"),
}


def _transaction(params: Mapping[str, Any]) -> list[Request]:
    """Return the requests of all members: IAM judges each of them."""
    return [
        request
        for member in params["TransactItems"]
        for kind, part in member.items()
        for request in _MEMBERS[kind](part)
    ]


def _object(action: str) -> ToRequests:
    return lambda params: [Request(f"s3:{action}", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")]


def _bucket(action: str) -> ToRequests:
    def requests(params: Mapping[str, Any]) -> list[Request]:
        # ListBucketMultipartUploads does not have this key.
        context = (
            (("s3:prefix", (params["Prefix"],)),) if action == "ListBucket" and "Prefix" in params else ()
        )
        return [Request(f"s3:{action}", f"arn:aws:s3:::{params['Bucket']}", context)]

    return requests


def _delete_objects(params: Mapping[str, Any]) -> list[Request]:
    keys = [item["Key"] for item in params["Delete"]["Objects"]]
    return [Request("s3:DeleteObject", f"arn:aws:s3:::{params['Bucket']}/{key}") for key in keys]


def _copy(params: Mapping[str, Any]) -> list[Request]:
    source = params["CopySource"]
    return [*_object("GetObject")(source), *_object("PutObject")(params)]


def _secret(action: str) -> ToRequests:
    def requests(params: Mapping[str, Any]) -> list[Request]:
        name = params["SecretId"]
        # AWS appends a dash and six random characters to a secret's name.
        arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{name}-a1B2c3"
        return [Request(f"secretsmanager:{action}", name if name.startswith("arn:") else arn)]

    return requests


def _queue(action: str) -> ToRequests:
    return lambda params: [Request(f"sqs:{action}", queue_arn(params["QueueUrl"]))]


def _put_events(params: Mapping[str, Any]) -> list[Request]:
    """Return a request for each event: IAM judges the source of each."""
    bus = f"arn:aws:events:{REGION}:{ACCOUNT_ID}:event-bus/"
    return [
        Request(
            "events:PutEvents",
            bus + entry.get("EventBusName", "default").rpartition("/")[2],
            (("events:source", (entry["Source"],)),),
        )
        for entry in params["Entries"]
    ]


def _batch_get(params: Mapping[str, Any]) -> list[Request]:
    """Return one request for each table: IAM judges the keys of all its items together."""
    return [
        Request(
            "dynamodb:BatchGetItem",
            table_arn(table),
            _leading(*(_string(key["pk"]) for key in batch["Keys"])),
        )
        for table, batch in params["RequestItems"].items()
    ]


def _glue_table(action: str) -> ToRequests:
    def requests(params: Mapping[str, Any]) -> list[Request]:
        database, name = params["DatabaseName"], params["TableInput"]["Name"]
        arn = f"arn:aws:glue:{REGION}:{ACCOUNT_ID}:"
        resources = ("catalog", f"database/{database}", f"table/{database}/{name}")
        return [Request(f"glue:{action}", arn + resource) for resource in resources]

    return requests


_REQUESTS: dict[tuple[str, str], ToRequests] = {
    **{
        ("dynamodb", action): _item(action, "Item" if action == "PutItem" else "Key")
        for action in ("GetItem", "PutItem", "UpdateItem", "DeleteItem")
    },
    ("dynamodb", "BatchGetItem"): _batch_get,
    ("dynamodb", "Query"): _query,
    ("events", "PutEvents"): _put_events,
    ("glue", "CreateTable"): _glue_table("CreateTable"),
    ("glue", "UpdateTable"): _glue_table("UpdateTable"),
    ("dynamodb", "TransactWriteItems"): _transaction,
    ("dynamodb", "TransactGetItems"): _transaction,
    ("s3", "GetObject"): _object("GetObject"),
    ("s3", "HeadObject"): _object("GetObject"),
    ("s3", "PutObject"): _object("PutObject"),
    ("s3", "CreateMultipartUpload"): _object("PutObject"),
    ("s3", "UploadPart"): _object("PutObject"),
    ("s3", "CompleteMultipartUpload"): _object("PutObject"),
    ("s3", "AbortMultipartUpload"): _object("AbortMultipartUpload"),
    ("s3", "ListParts"): _object("ListMultipartUploadParts"),
    ("s3", "DeleteObject"): _object("DeleteObject"),
    ("s3", "DeleteObjects"): _delete_objects,
    ("s3", "CopyObject"): _copy,
    ("s3", "ListObjectsV2"): _bucket("ListBucket"),
    ("s3", "ListMultipartUploads"): _bucket("ListBucketMultipartUploads"),
    ("secretsmanager", "GetSecretValue"): _secret("GetSecretValue"),
    ("secretsmanager", "PutSecretValue"): _secret("PutSecretValue"),
    ("secretsmanager", "UpdateSecretVersionStage"): _secret("UpdateSecretVersionStage"),
    ("secretsmanager", "DescribeSecret"): _secret("DescribeSecret"),
    ("secretsmanager", "ListSecrets"): lambda _: [Request("secretsmanager:ListSecrets", "*")],
    ("sqs", "SendMessage"): _queue("SendMessage"),
    ("sqs", "SendMessageBatch"): _queue("SendMessage"),
    ("sqs", "DeleteMessage"): _queue("DeleteMessage"),
    ("sqs", "ChangeMessageVisibility"): _queue("ChangeMessageVisibility"),
    ("sqs", "ChangeMessageVisibilityBatch"): _queue("ChangeMessageVisibility"),
}
