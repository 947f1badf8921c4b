"""A deployed stack, found by its name in CloudFormation with the AWS credentials of the environment.

These tests run only by `make smoke`, which names the stack.
"""

import json
import os
import time
from functools import cached_property
from typing import Any

import boto3
import pytest
import requests

_EXPORT_SECONDS = 1800
collect_ignore_glob = [] if "STACK" in os.environ else ["test_*.py"]


class LiveStack:
    """A deployed stack.

    Environment: STACK (its name), TOKEN (a JWT of a connected caller), API (in place of the output ApiUrl).
    """

    def __init__(self) -> None:
        self.name, self._token = os.environ["STACK"], os.environ["TOKEN"]
        self.session = boto3.Session()

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self.session.client(service)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @cached_property
    def resources(self) -> dict[str, str]:
        """Physical names of the stack's resources, by logical name."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources")
        found = [
            item for page in pages.paginate(StackName=self.name) for item in page["StackResourceSummaries"]
        ]
        return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in found}

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return os.environ.get("API") or self.outputs["ApiUrl"]

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """Call the API as the caller of TOKEN."""
        headers = {"Authorization": f"Bearer {self._token}", **more.pop("headers", {})}
        return requests.request(method, self.api + path, headers=headers, timeout=60, **more)

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke a function directly; return its HTTP response."""
        response = self.client("lambda").invoke(
            FunctionName=self.resources[function], Payload=json.dumps(event)
        )
        answer: dict[str, Any] = json.load(response["Payload"])
        return answer

    def export(self, module: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run an export to its end and return it."""
        started = self.call("POST", f"/v1/e/zoho/bulk-read/{module}", json=body or {})
        assert started.status_code == 202, started.text
        path = f"/v1/e/zoho/bulk-read/exports/{started.json()['data']['export_id']}"
        deadline = time.monotonic() + _EXPORT_SECONDS
        while (found := self.call("GET", path).json()["data"])["state"] == "RUNNING":
            assert time.monotonic() < deadline, json.dumps(found, indent=1)
            time.sleep(1)
        return dict(found)

    def manifest(self, export: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest of a COMPLETED export."""
        assert export["state"] == "COMPLETED", json.dumps(export["failure"], indent=1)
        bucket = self.resources["ResultsBucket"]
        found = self.client("s3").get_object(Bucket=bucket, Key=export["manifest_key"])
        document: dict[str, Any] = json.load(found["Body"])
        return document


@pytest.fixture(scope="session")
def stack() -> LiveStack:
    return LiveStack()


@pytest.fixture(scope="session")
def contacts(stack: LiveStack) -> dict[str, Any]:
    """An export of all contacts, after it has ended."""
    return stack.export("contacts")
