"""The template's Rules: what CloudFormation checks of the parameters before it creates anything.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
"""

from collections.abc import Mapping
from typing import Any

from local.stack.errors import TemplateError


def broken_rules(rules: Mapping[str, Any], parameters: Mapping[str, str]) -> list[str]:
    """Return what the assertions say that do not hold, of the rules whose condition does."""
    return [
        str(assertion.get("AssertDescription", f"rule {name} does not hold"))
        for name, rule in rules.items()
        if _holds(rule.get("RuleCondition", True), parameters)
        for assertion in rule["Assertions"]
        if not _holds(assertion["Assert"], parameters)
    ]


def _holds(node: Any, parameters: Mapping[str, str]) -> bool:
    match node:
        case bool():
            return node
        case {"Fn::Equals": [one, other]}:
            return _value(one, parameters) == _value(other, parameters)
        case {"Fn::Not": [inner]}:
            return not _holds(inner, parameters)
        case {"Fn::And": list(members)}:
            return all(_holds(member, parameters) for member in members)
        case {"Fn::Or": list(members)}:
            return any(_holds(member, parameters) for member in members)
    raise TemplateError(f"the local stack does not know this part of a rule: {node}")


def _value(node: Any, parameters: Mapping[str, str]) -> str:
    return parameters[node["Ref"]] if isinstance(node, dict) and "Ref" in node else str(node)
