"""Finds a stack, and sends requests to its function bulk_read_submitter as an operator.

The event is described in docs/deploy.md, "Operators"; `crm_export.api.operator` reads it.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from crm_export_cli.exits import CliError, Exit, exit_of

_FUNCTION = "BulkReadSubmitter"
# The function has 29 seconds; a request that was lost is sent again with its Idempotency-Key.
_CONFIG = Config(read_timeout=40, connect_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
_REFUSED = {"AccessDenied", "AccessDeniedException", "ExpiredToken", "UnrecognizedClientException"}
LOCAL_STATE = Path(".local/stack.json")


@dataclass(frozen=True)
class Stack:
    """A stack whose function can be invoked. option: how the command line names it."""

    lambda_client: Any
    function: str
    api_url: str
    option: str

    def request(
        self, caller: tuple[str, str], method: str, path: str, *, body: Any = None, **query: Any
    ) -> dict[str, Any]:
        """Send a request as an account and owner; return the response. Raises CliError."""
        account_id, owner = caller
        event = {
            "account_id": account_id,
            "owner": owner,
            "method": method,
            "path": f"/v1/e/zoho/bulk-read/{path}",
            "query": {name: str(value) for name, value in query.items() if value is not None},
            "headers": {"idempotency-key": f"cli-{uuid.uuid4()}"},
            "body": body,
            "api_url": self.api_url,
        }
        with aws_errors():
            response = self.lambda_client.invoke(
                FunctionName=self.function, Payload=json.dumps({"operator": event}).encode()
            )
            content = response["Payload"].read()
        return self._read(content, is_error="FunctionError" in response)

    def _read(self, content: bytes, *, is_error: bool) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(json.loads(content)["body"])
        except (ValueError, KeyError, TypeError):
            document = {}
        if is_error or not document:
            raise CliError(
                f"The function {self.function} of {self.option} did not respond as expected.",
                code="STACK_UNUSABLE",
                remedy="Look at its log; a stack of an earlier version has to be deployed again.",
            )
        if not document["success"]:
            code = document["code"]
            raise CliError(document["message"], exit_of(code), code=code, remedy=document.get("remedy"))
        return document


def deployed_stack(name: str, make_client: Callable[..., Any] = boto3.client) -> Stack:
    """Find a deployed stack with the AWS credentials of the environment. Raises CliError."""
    option = f"--stack {name}"
    with aws_errors():
        cloudformation = make_client("cloudformation", config=_CONFIG)
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        resources = cloudformation.describe_stack_resources(StackName=name, LogicalResourceId=_FUNCTION)
        client = make_client("lambda", config=_CONFIG)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    for resource in resources["StackResources"]:
        return Stack(client, resource["PhysicalResourceId"], outputs.get("ApiUrl", ""), option)
    raise CliError(
        f"The stack {name} has no function {_FUNCTION}.",
        Exit.USAGE,
        code="STACK_NOT_FOUND",
        remedy="Name a stack that was deployed from this project's template.",
    )


def local_stack(state_file: Path) -> Stack:
    """Find the local stack that wrote a state file. Raises CliError."""
    try:
        state = json.loads(state_file.read_text())
        function, api_url, endpoint = state["functions"][_FUNCTION], state["api_url"], state["control_url"]
    except FileNotFoundError as error:
        raise CliError(
            f"No local stack is running: there is no {state_file}.",
            Exit.USAGE,
            code="STACK_NOT_FOUND",
            remedy="Start it with `make local`, or name another state file with --state-file.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(f"{state_file} is not a state file of the local stack.", Exit.USAGE) from error
    client = boto3.client(
        "lambda", endpoint_url=endpoint, region_name=state["region"], config=_CONFIG,
        aws_access_key_id="local", aws_secret_access_key="local",  # noqa: S106 (it takes any)
    )  # fmt: skip
    option = "--local" if state_file == LOCAL_STATE else f"--local --state-file {state_file}"
    return Stack(client, function, api_url, option)


@contextmanager
def aws_errors() -> Iterator[None]:
    """Raise AWS's refusals and missing credentials as a CliError."""
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        raise CliError(
            f"AWS refuses {error.operation_name}: {code} {message}".strip(),
            Exit.NOT_CONNECTED if code in _REFUSED else Exit.FAILED,
            code="AWS_REFUSED",
            remedy='docs/deploy.md, "Operators", lists the permissions that are needed.',
        ) from error
    except BotoCoreError as error:  # such as a missing region or missing credentials
        raise CliError(
            f"AWS cannot be used: {error}",
            Exit.NOT_CONNECTED,
            code="AWS_UNUSABLE",
            remedy="Set AWS_PROFILE, or AWS_DEFAULT_REGION and credentials.",
        ) from error
