"""The stack that `sam local` calls: the running local stack, or a deployed one."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.host.aws import LocalAws, closed_session
from local.host.processes import LocalStackError
from local.state import running_state

type Variables = dict[str, str]


@dataclass(frozen=True)
class Source:
    """A stack: its functions' variables by logical id, and clients for its AWS.

    `endpoint` is the URL of the local stack's AWS; None for a deployed stack.
    """

    functions: dict[str, Variables]
    region: str
    endpoint: str | None
    client: Callable[[str], Any]

    def value(self, variable: str) -> str:
        """Return the value of a variable, which is the same for every function that has it."""
        for variables in self.functions.values():
            if variable in variables:
                return variables[variable]
        raise LocalStackError(f"no function of the stack has the variable {variable}")


def find_source(options: argparse.Namespace) -> Source:
    """Return the deployed stack that --aws names, or the running local stack. Raises LocalStackError."""
    return deployed_stack(options.aws) if options.aws else local_stack(options.state_file)


def local_stack(state_file: Path) -> Source:
    """Return the running local stack of a state file, with the variables that its functions run with."""
    state = running_state(state_file)
    if state is None:
        raise LocalStackError(
            f"no running stack has the state file {state_file}; start one: python -m local up --host ADDRESS"
        )
    control = closed_session().client("lambda", endpoint_url=state.control_url)
    functions = {logical_id: _variables(control, name) for logical_id, name in state.functions.items()}
    return Source(functions, state.region, state.aws_endpoint_url, LocalAws(state.aws_endpoint_url).client)


def deployed_stack(name: str) -> Source:
    """Return the deployed stack `name`, found with the caller's credentials and region."""
    try:
        session = boto3.session.Session()
        pages = session.client("cloudformation").get_paginator("list_stack_resources")
        resources = [
            item for page in pages.paginate(StackName=name) for item in page["StackResourceSummaries"]
        ]
        lambdas = session.client("lambda")
        functions = {
            item["LogicalResourceId"]: _variables(lambdas, item["PhysicalResourceId"])
            for item in resources
            if item["ResourceType"] == "AWS::Lambda::Function"
        }
    except (BotoCoreError, ClientError) as error:
        raise LocalStackError(f"the stack {name} cannot be read: {error}") from error
    return Source(functions, str(session.region_name), None, cast("Callable[[str], Any]", session.client))


def _variables(lambdas: Any, function: str) -> Variables:
    configuration = lambdas.get_function_configuration(FunctionName=function)
    variables: Variables = configuration.get("Environment", {}).get("Variables", {})
    return variables
