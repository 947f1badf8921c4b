"""Alarms change their state as their definitions say, and metric math calculates what they compare."""

from dataclasses import replace

import pytest

from local.host.cloudwatch import Alarm, Metric, Samples, next_state, statistic
from local.host.metric_math import calculate

FAILED = Metric("N", "ExportsFailed", frozenset({("service", "s")}))
ALARM = Alarm({"metric": (FAILED, "Sum")}, "metric", "GreaterThanThreshold", 0, 300, 1, 1, "notBreaching")
NOW = 1_800_000_000.0


def samples(*values: tuple[float, float], metric: Metric = FAILED) -> Samples:
    """Return samples of (seconds ago, value)."""
    found = Samples()
    for ago, value in values:
        found.add(metric, NOW - ago, value)
    return found


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([], "OK"),
        ([(10, 0)], "OK"),
        ([(10, 1)], "ALARM"),
        ([(299, 1)], "ALARM"),
        ([(301, 1)], "OK"),
        ([(-5, 1)], "OK"),  # not yet
    ],
)
def test_alarm_of_one_period_looks_at_that_period(values, state):
    assert next_state(ALARM, samples(*values), NOW, "OK") == state


@pytest.mark.parametrize(
    ("missing", "before", "state"),
    [
        ("missing", "OK", "INSUFFICIENT_DATA"),
        ("notBreaching", "ALARM", "OK"),
        ("breaching", "OK", "ALARM"),
        ("ignore", "ALARM", "ALARM"),
        ("ignore", "OK", "OK"),
    ],
)
def test_missing_data_is_treated_as_the_alarm_says(missing, before, state):
    assert next_state(replace(ALARM, missing=missing), samples(), NOW, before) == state


def test_alarm_of_three_periods_needs_its_datapoints():
    three = replace(ALARM, periods=3, datapoints=3)
    assert next_state(three, samples((10, 1), (310, 1)), NOW, "OK") == "OK"
    assert next_state(replace(three, datapoints=2), samples((10, 1), (310, 1)), NOW, "OK") == "ALARM"
    assert next_state(three, samples((10, 1), (310, 1), (610, 1)), NOW, "OK") == "ALARM"
    assert next_state(three, samples((10, 1), (310, 0), (610, 1)), NOW, "OK") == "OK"


@pytest.mark.parametrize(
    ("comparison", "breached"),
    [
        ("GreaterThanThreshold", [False, False, True]),
        ("GreaterThanOrEqualToThreshold", [False, True, True]),
        ("LessThanThreshold", [True, False, False]),
        ("LessThanOrEqualToThreshold", [True, True, False]),
    ],
)
def test_value_is_compared_with_the_threshold(comparison, breached):
    alarm = replace(ALARM, comparison=comparison, threshold=2)
    states = [next_state(alarm, samples((10, value)), NOW, "OK") for value in (1, 2, 3)]
    assert [state == "ALARM" for state in states] == breached


def test_metric_with_other_dimensions_is_another_metric():
    other = Metric("N", "ExportsFailed", frozenset())
    assert next_state(ALARM, samples((10, 1), metric=other), NOW, "OK") == "OK"


def test_alarm_on_two_metrics_calculates_its_expression():
    other = Metric("N", "Other", frozenset())
    alarm = replace(
        ALARM,
        operands={"a": (FAILED, "Sum"), "b": (other, "Maximum")},
        expression="100 * MAX([a / 50, b / 10])",
    )
    found = samples((10, 20), (20, 20))
    assert next_state(replace(alarm, threshold=79), found, NOW, "OK") == "ALARM"
    assert next_state(replace(alarm, threshold=80), found, NOW, "OK") == "OK"
    found.add(other, NOW - 1, 9)
    assert next_state(replace(alarm, threshold=80), found, NOW, "OK") == "ALARM"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sum", 10),
        ("Average", 2.5),
        ("Minimum", 1),
        ("Maximum", 4),
        ("SampleCount", 4),
        ("p99", 4),
        ("p50", 2),
    ],
)
def test_statistics_of_values(name, value):
    assert statistic(name, [4, 1, 3, 2]) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a", 6),
        ("100 * a / 8", 75),
        ("(a + 2) - 1", 7),
        ("SUM(METRICS())", 8),
        ("MAX([a, b])", 6),
        ("MIN([a, gone])", 6),
        ("AVG([a, b])", 4),
        ("a + gone", None),
        ("SUM([gone])", None),
        ("a / 0", None),
    ],
)
def test_expression_has_its_value_and_missing_data_stays_missing(expression, value):
    assert calculate(expression, {"a": 6.0, "b": 2.0, "gone": None}) == value


@pytest.mark.parametrize("expression", ["ANOMALY_DETECTION_BAND(a)", "a if b else c", "unknown", "a +"])
def test_unsupported_expression_is_named(expression):
    with pytest.raises(ValueError, match="does not support"):
        calculate(expression, {"a": 1.0})
