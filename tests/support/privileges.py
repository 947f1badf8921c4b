"""Least privilege, both ways: the calls the functions made against the permissions of the template.

A call is judged by the policies as resolved for the environment its function had.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY
from tests.support.policies import Permission, Policies, as_list, statements_of
from tests.support.recorder import Call

CLOUDFORMATION = load_template(REPOSITORY / "template.yaml", {}, {}).cloudformation
FUNCTIONS = sorted(
    name for name, item in CLOUDFORMATION["Resources"].items() if item["Type"] == "AWS::Lambda::Function"
)

type Granted = tuple[str, str, str, str]  # function, Sid, action, resource as written in the template


def granted(function: str) -> set[Granted]:
    """Return every permission the template gives a function, under any condition."""
    statements = [
        branch
        for statement in statements_of(CLOUDFORMATION["Resources"], function)
        for branch in (statement["Fn::If"][1:] if "Fn::If" in statement else [statement])
        if "Sid" in branch
    ]
    return {
        (function, statement["Sid"], action, str(resource))
        for statement in statements
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def variables_of(function: str) -> dict[str, Any]:
    """Return the environment variables of a function as the template defines them."""
    return CLOUDFORMATION["Resources"][function]["Properties"]["Environment"]["Variables"]


@cache
def permissions_for(function: str, environment: tuple[tuple[str, str], ...]) -> tuple[Permission, ...]:
    """Return a function's permissions, with parameters and resources as its environment names them."""
    actual = dict(environment)
    references = {
        value["Ref"]: actual[name] for name, value in variables_of(function).items() if "Ref" in value
    }
    return tuple(Policies(CLOUDFORMATION, references).permissions(function))


def _permissions_used(call: Call) -> Iterable[Permission]:
    return (item for item in permissions_for(call.function, call.environment) if item.allows(call.request))


def refused(calls: Iterable[Call]) -> list[str]:
    """Return a problem for each call that no statement allows."""
    return sorted(
        f"{call.function} may not call {call.request.action} on {call.request.resource} "
        f"{dict(call.request.context)}"
        for call in calls
        if not any(_permissions_used(call))
    )


def used(calls: Iterable[Call]) -> set[Granted]:
    """Return the permissions that the calls needed."""
    return {
        (call.function, permission.sid, permission.action, permission.written)
        for call in calls
        for permission in _permissions_used(call)
    }
