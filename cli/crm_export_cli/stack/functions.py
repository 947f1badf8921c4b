"""Finds a stack, and sends requests to two of its functions as an operator.

The event is described in docs/deploy.md, "Operators"; `crm_export.api.operator` reads it.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected

from crm_export_cli.exits import CliError, Exit, from_response

EXPORTS, PAGES = "BulkReadSubmitter", "ExportHandler"  # the functions that an operator invokes
# The functions have 29 seconds; a request that was lost is sent again with its Idempotency-Key.
_CONFIG = Config(read_timeout=40, connect_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
_REFUSED = {
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId",
    "UnrecognizedClientException",
}  # fmt: skip
_PERMISSIONS = 'docs/deploy.md, "Operators", lists the permissions that are needed.'
LOCAL_STATE = Path(".local/stack.json")


@dataclass(frozen=True)
class Stack:
    """A stack whose functions can be invoked.

    option: how the command line names it. client: returns a boto3 client of a service. find: returns the
    physical id of a logical one, or None. status and parameters are CloudFormation's; the local stack has
    none. logs: the folder of its log files.
    """

    option: str
    api_url: str
    client: Callable[[str], Any]
    find: Callable[[str], str | None]
    status: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    logs: Path | None = None

    def request(
        self,
        caller: tuple[str, str],
        method: str,
        path: str,
        *,
        body: Any = None,
        loads: Callable[[str], Any] = json.loads,
        **query: Any,
    ) -> dict[str, Any]:
        """Send a request as an account and owner; return the response, read by `loads`. Raises CliError."""
        account_id, owner = caller
        event = {
            "account_id": account_id,
            "owner": owner,
            "method": method,
            "path": path,
            "query": {name: str(value) for name, value in query.items() if value is not None},
            "headers": {"idempotency-key": f"cli-{uuid.uuid4()}"},
            "body": body,
            "api_url": self.api_url,
        }
        function = self.physical_id(PAGES if path.startswith("/operator/") else EXPORTS)
        with aws_errors():
            response = self.client("lambda").invoke(
                FunctionName=function, Payload=json.dumps({"operator": event}).encode()
            )
            content = response["Payload"].read()
        return self._read(function, content, loads, is_error="FunctionError" in response)

    def _read(
        self, function: str, content: bytes, loads: Callable[[str], Any], *, is_error: bool
    ) -> dict[str, Any]:
        try:
            document: dict[str, Any] = loads(json.loads(content)["body"])
        except (ValueError, KeyError, TypeError):
            document = {}
        if is_error or not document:
            raise CliError(
                f"The function {function} of {self.option} did not respond as expected.",
                code="STACK_UNUSABLE",
                remedy="Look at its log; a stack of an earlier version has to be deployed again.",
            )
        if not document["success"]:
            raise from_response(document)
        return document

    def stored(self, key: str) -> bytes | None:
        """Return a small object of the results bucket, or None if there is none. Raises CliError."""
        bucket = self.physical_id("ResultsBucket")
        with aws_errors():
            try:
                content: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                return None
        return content

    def physical_id(self, logical_id: str) -> str:
        """Return the name or URL of a resource of the template. Raises CliError if the stack has none."""
        found = self.find(logical_id)
        if found is None:
            raise CliError(
                f"The stack of {self.option} has no resource {logical_id}.",
                Exit.USAGE,
                code="STACK_NOT_FOUND",
                remedy="Name a stack that was deployed from this project's template.",
            )
        return found


def deployed_stack(name: str, make_client: Callable[..., Any] = boto3.client) -> Stack:
    """Find a deployed stack with the AWS credentials of the environment. Raises CliError."""

    @cache
    def client(service: str) -> Any:
        return make_client(service, config=_CONFIG)

    @cache
    def find(logical_id: str) -> str | None:
        describe = client("cloudformation").describe_stack_resources
        with aws_errors():
            try:
                found = describe(StackName=name, LogicalResourceId=logical_id)["StackResources"]
            except ClientError as error:
                if error.response["Error"]["Code"] != "ValidationError":  # that of an unknown resource
                    raise
                found = []
        return next((item["PhysicalResourceId"] for item in found), None)

    with aws_errors():
        (stack,) = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    return Stack(
        f"--stack {name}",
        outputs.get("ApiUrl", ""),
        client,
        find,
        stack["StackStatus"],
        {item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])},
    )


def local_stack(state_file: Path) -> Stack:
    """Find the local stack that wrote a state file. Raises CliError."""
    try:
        state = json.loads(state_file.read_text())
        resources = {**state["functions"], **state["queues"], "ResultsBucket": state["results_bucket"]}
        api_url, region = state["api_url"], state["region"]
        aws = state["aws_endpoint_url"]
        endpoints = {"lambda": state["control_url"], "sqs": aws, "s3": aws}
    except FileNotFoundError as error:
        raise CliError(
            f"No local stack is running: there is no {state_file}.",
            Exit.USAGE,
            code="STACK_NOT_FOUND",
            remedy="Start it with `make local`, or name another state file with --state-file.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(f"{state_file} is not a state file of the local stack.", Exit.USAGE) from error

    @cache
    def client(service: str) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service, endpoint_url=endpoints[service], region_name=region, config=_CONFIG,
            aws_access_key_id="local", aws_secret_access_key="local",  # noqa: S106 (it takes any)
        )  # fmt: skip

    option = "--local" if state_file == LOCAL_STATE else f"--local --state-file {state_file}"
    return Stack(option, api_url, client, resources.get, logs=Path(state.get("logs", "")))


@contextmanager
def aws_errors() -> Iterator[None]:
    """Raise AWS's refusals and missing credentials as a CliError."""
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        is_refused = code in _REFUSED
        raise CliError(
            f"AWS refuses {error.operation_name}: {code} {message}".strip(),
            Exit.NOT_CONNECTED if is_refused else Exit.FAILED,
            code="AWS_REFUSED",
            remedy=_PERMISSIONS if is_refused else "Look at the name of the stack, and at the region.",
        ) from error
    except (NotConnected, HTTPClientError) as error:
        raise CliError(
            f"AWS cannot be reached: {error}",
            code="AWS_UNREACHABLE",
            remedy="Look at the network. If the local stack has ended, start it with `make local`.",
        ) from error
    except BotoCoreError as error:  # such as a missing region or missing credentials
        raise CliError(
            f"AWS cannot be used: {error}",
            Exit.NOT_CONNECTED,
            code="AWS_UNUSABLE",
            remedy="Set AWS_PROFILE, or AWS_DEFAULT_REGION and credentials.",
        ) from error
