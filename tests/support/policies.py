"""Evaluates the template's policies as IAM does.

Supports what our policies use: Allow, and conditions with StringEquals and StringLike. Anything else
raises an AssertionError, so that no policy is judged by a rule this module does not know. Deny statements
only restrict AWS's managed policies, which tests/template checks.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from local.host.aws import ACCOUNT_ID, REGION

_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::StackName": "zoho-crm-export",
    "AWS::URLSuffix": "amazonaws.com",
}
# StringEquals has no wildcards; our values of it contain none.
_CONDITIONS = {"ForAllValues:StringEquals", "ForAllValues:StringLike", "StringEquals", "StringLike"}


@dataclass(frozen=True)
class Request:
    """An action on a resource, with the keys of the request's context."""

    action: str
    resource: str
    context: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class Permission:
    """One action on one resource of one statement, resolved for a deployment."""

    sid: str
    action: str
    resource: str
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    # The resource as written in the template, which identifies the permission in every deployment.
    written: str = field(default="", compare=False)

    def allows(self, request: Request) -> bool:
        """Return True if it covers `request`. A missing key satisfies only ForAllValues."""
        context = dict(request.context)
        return (
            _like(request.action.lower(), self.action.lower())
            and _like(request.resource, self.resource)
            and all(
                (operator.startswith("ForAllValues:") or key in context)
                and all(_like(value, *allowed) for value in context.get(key, ()))
                for operator, key, allowed in self.conditions
            )
        )


def _like(value: str, *patterns: str) -> bool:
    # IAM has the wildcards * and ?, but not [...].
    return any(fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)


class Policies:
    """The functions' policies of a translated template.

    `values` maps parameters and logical ids of resources to what `Ref` returns for them.
    """

    def __init__(self, cloudformation: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self._resources = cloudformation["Resources"]
        self._conditions = cloudformation.get("Conditions", {})
        defaults = {
            name: str(item["Default"])
            for name, item in cloudformation.get("Parameters", {}).items()
            if "Default" in item
        }
        self._values = {**_PSEUDO, **defaults, **values}

    def permissions(self, function: str) -> list[Permission]:
        """Return every permission that the function's own policies give."""
        permissions: list[Permission] = []
        for statement in statements_of(self._resources, function):
            if (resolved := self._resolve(statement)) is not None:
                permissions += list(self._permissions(resolved, statement))
        return permissions

    def _permissions(self, statement: Mapping[str, Any], written: Mapping[str, Any]) -> Iterator[Permission]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, statement
        assert statement["Effect"] == "Allow", statement
        conditions = tuple(
            (operator, key, tuple(as_list(allowed)))
            for operator, keys in statement.get("Condition", {}).items()
            for key, allowed in keys.items()
        )
        assert {operator for operator, *_ in conditions} <= _CONDITIONS, conditions
        source = written["Fn::If"][1] if "Fn::If" in written else written
        for action in as_list(statement["Action"]):
            for resource, as_written in zip(
                as_list(statement["Resource"]), as_list(source["Resource"]), strict=True
            ):
                yield Permission(statement["Sid"], action, resource, conditions, str(as_written))

    def _resolve(self, value: Any) -> Any:
        """Return `value` with its intrinsic functions evaluated; None for AWS::NoValue."""
        if isinstance(value, list):
            return [self._resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (key := next(iter(value))) in _INTRINSICS:
            return _INTRINSICS[key](self, value[key])
        return {name: self._resolve(item) for name, item in value.items()}

    def _ref(self, name: str) -> str | None:
        if name == "AWS::NoValue":
            return None
        return self._values[name]

    def _get_att(self, path: list[str] | str) -> str:
        name, attribute = path.split(".") if isinstance(path, str) else path
        kind = self._resources[name]["Type"]
        assert (kind, attribute) in _ARNS, f"{name}: add how to build {kind}.{attribute} to _ARNS"
        return _ARNS[kind, attribute](self._values[name])

    def _sub(self, argument: str | list[Any]) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument
        variables = self._resolve(given)

        def value(match: re.Match[str]) -> str:
            if match[1] in variables:
                return str(variables[match[1]])
            return self._get_att(match[1]) if "." in match[1] else str(self._ref(match[1]))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _if(self, arguments: list[Any]) -> Any:
        condition, yes, no = arguments
        return self._resolve(yes if self._holds(self._conditions[condition]) else no)

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        ((operator, arguments),) = condition.items()
        if operator == "Fn::Not":
            return not self._holds(arguments[0])
        if operator == "Fn::And":
            return all(map(self._holds, arguments))
        assert operator == "Fn::Equals", operator
        left, right = (str(self._resolve(argument)) for argument in arguments)
        return left == right


_INTRINSICS = {
    "Ref": Policies._ref,
    "Fn::GetAtt": Policies._get_att,
    "Fn::Sub": Policies._sub,
    "Fn::If": Policies._if,
}


def table_arn(name: str) -> str:
    """Return the ARN of a table."""
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{name}"


def queue_arn(url: str) -> str:
    """Return the ARN of a queue from its URL."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{url.rpartition('/')[2]}"


_ARNS = {
    ("AWS::DynamoDB::Table", "Arn"): table_arn,
    ("AWS::S3::Bucket", "Arn"): lambda name: f"arn:aws:s3:::{name}",
    ("AWS::SQS::Queue", "Arn"): queue_arn,
}


def as_list(value: Any) -> list[Any]:
    """Return `value` if it is a list, else a list of it."""
    return value if isinstance(value, list) else [value]


def statements_of(resources: Mapping[str, Any], function: str, effect: str = "Allow") -> list[Any]:
    """Return the statements of a function's own policies as written: inline, and shared with other functions.

    The statements of a policy that a role has under a condition are under that condition.
    """
    role = resources[f"{function}Role"]["Properties"]
    items = [item for policy in role.get("Policies", []) for item in policy["PolicyDocument"]["Statement"]]
    for arn in role["ManagedPolicyArns"]:
        if isinstance(arn, str):  # one of AWS's
            continue
        condition, policy = arn["Fn::If"][:2] if "Fn::If" in arn else (None, arn)
        shared = resources[policy["Ref"]]["Properties"]["PolicyDocument"]["Statement"]
        nothing = {"Ref": "AWS::NoValue"}
        items += [{"Fn::If": [condition, item, nothing]} if condition else item for item in shared]
    return [item for item in items if (item["Fn::If"][1] if "Fn::If" in item else item)["Effect"] == effect]
