"""Metric math for alarms: arithmetic, SUM, MIN, MAX, AVG and METRICS() over the values of one period.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "MIN": min,
    "MAX": max,
    "AVG": lambda values: sum(values) / len(values),
}

type Value = float | None  # None: the metric has no data in the period


def calculate(expression: str, values: Mapping[str, Value]) -> Value:
    """Return the value of an expression; `values` are those of the metrics in a period, by id.

    Raises ValueError for an expression that the local stack does not support.
    """
    try:
        return _one(ast.parse(expression.strip(), mode="eval").body, values)
    except (SyntaxError, KeyError, IndexError) as error:
        raise ValueError(f"the local stack does not support the expression {expression!r}") from error
    except ZeroDivisionError:
        return None


def _one(node: ast.expr, values: Mapping[str, Value]) -> Value:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _one(left, values), _one(right, values)
            if first is None or second is None:
                return None
            return _OPERATORS[type(op)](first, second)
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            present = [value for value in _many(argument, values) if value is not None]
            return _FUNCTIONS[name](present) if present else None
    raise KeyError(ast.unparse(node))


def _many(node: ast.expr, values: Mapping[str, Value]) -> list[Value]:
    match node:
        case ast.Call(func=ast.Name(id="METRICS"), args=[]):
            return list(values.values())
        case ast.List(elts=elements):
            return [_one(element, values) for element in elements]
    return [_one(node, values)]
