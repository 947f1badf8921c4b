"""The alarms and the dashboard: each measures what it says, tells somebody, and is in the runbook."""

import json
import re
from typing import Any

import pytest

from local.host.processes import REPOSITORY
from tests.support.privileges import FUNCTIONS
from tests.support.translated import RESOURCES, of_type

ALARMS = of_type("AWS::CloudWatch::Alarm")
OPTIONAL = {name for name in ALARMS if "Condition" in RESOURCES[name]}
# An alarm of all functions cannot name one that need not exist. If the Parquet writer fails, its message is
# repeated, and its dead-letter queue has an alarm.
WATCHED = sorted(set(FUNCTIONS) - {"ParquetWriter"})
DASHBOARD = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
WIDGETS: list[dict[str, Any]] = json.loads(DASHBOARD)["widgets"]
OUR_NAMESPACE = {"Fn::Sub": "ZohoCrmExport/${AWS::StackName}"}


def metrics_of(alarm: str) -> list[dict[str, Any]]:
    """Return the metrics of an alarm, alone or in an expression."""
    properties = ALARMS[alarm]
    return [
        item["MetricStat"]["Metric"] for item in properties.get("Metrics", []) if "MetricStat" in item
    ] or [properties]


def functions_of(alarm: str) -> list[str]:
    """Return the functions whose metrics the alarm evaluates."""
    return [item["Dimensions"][0]["Value"]["Ref"] for item in metrics_of(alarm)]


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_publishes_to_the_given_topic_or_to_that_of_the_email_address(alarm):
    topic = {"Fn::If": ["HasAlarmTopicArn", {"Ref": "AlarmTopicArn"}, {"Ref": "AlarmTopic"}]}
    actions = {"Fn::If": ["SendsAlarms", [topic], {"Ref": "AWS::NoValue"}]}
    assert ALARMS[alarm]["AlarmActions"] == actions


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_is_described_in_the_runbook(alarm):
    assert f"`{alarm}`" in (REPOSITORY / "docs/operations.md").read_text()
    assert ALARMS[alarm]["AlarmDescription"].endswith(".")


@pytest.mark.parametrize("alarm", ALARMS)
def test_alarm_waits_at_most_as_long_as_cloudwatch_allows(alarm):
    """Seven days with periods of an hour or more, otherwise one day.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    """
    stats = [item["MetricStat"] for item in ALARMS[alarm].get("Metrics", []) if "MetricStat" in item]
    period = (stats[0] if stats else ALARMS[alarm])["Period"]
    periods = ALARMS[alarm]["EvaluationPeriods"]
    longest = 168 if periods == {"Ref": "FreshnessHours"} else periods
    assert period * longest <= (7 * 86400 if period >= 3600 else 86400)


def test_silence_is_alarming_only_where_exports_are_expected():
    silent = {name for name, item in ALARMS.items() if item["TreatMissingData"] != "notBreaching"}
    assert silent == {"ExportFreshnessAlarm"}
    assert {"ExportFreshnessAlarm", "ParquetDeadLetterAlarm"} == OPTIONAL
    freshness = ALARMS["ExportFreshnessAlarm"]
    assert (freshness["Statistic"], freshness["Threshold"]) == ("Sum", 1)
    assert (freshness["ComparisonOperator"], freshness["TreatMissingData"]) == (
        "LessThanThreshold",
        "breaching",
    )
    assert (freshness["Period"], freshness["EvaluationPeriods"]) == (3600, {"Ref": "FreshnessHours"})


def test_throttles_and_durations_of_every_function_are_watched():
    assert sorted(functions_of("ThrottleAlarm")) == WATCHED
    assert sorted(functions_of("DurationAlarm")) == WATCHED
    # The reconciler may fail once: its next tick is the retry.
    assert sorted([*functions_of("FunctionErrorAlarm"), *functions_of("ReconcilerErrorAlarm")]) == WATCHED


def test_duration_alarm_divides_each_duration_by_the_timeout_of_its_function():
    expression, *metrics = ALARMS["DurationAlarm"]["Metrics"]
    divisors = dict(re.findall(r"(\w+) / (\d+)", expression["Expression"]))
    timeouts = {
        item["Id"]: RESOURCES[item["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"]]["Properties"][
            "Timeout"
        ]
        for item in metrics
    }
    assert {name: int(divisor) for name, divisor in divisors.items()} == {
        name: 1000 * seconds for name, seconds in timeouts.items()
    }
    assert {item["MetricStat"]["Stat"] for item in metrics} == {"p99"}
    assert ALARMS["DurationAlarm"]["Threshold"] == 80


def test_age_of_both_queues_is_watched():
    ages = [
        metric["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in ALARMS
        for metric in metrics_of(alarm)
        if metric["MetricName"] == "ApproximateAgeOfOldestMessage"
    ]
    assert sorted(ages) == ["DownloadQueue", "SubmitQueue"]


def test_concurrency_alarm_compares_the_account_with_its_quota():
    expression, metric = ALARMS["ConcurrencyAlarm"]["Metrics"]
    assert expression["Expression"] == {"Fn::Sub": "100 * claimed / ${AccountConcurrency}"}
    assert metric["MetricStat"]["Metric"] == {
        "Namespace": "AWS/Lambda",
        "MetricName": "ClaimedAccountConcurrency",
    }


def counted_in_code() -> set[str]:
    """Return the names of the metrics that the code counts."""
    code = "".join(path.read_text() for path in (REPOSITORY / "layers/crm_export").rglob("*.py"))
    calls = re.findall(r"\b(?:count|count_bytes|gauge)\(([^)]*)\)", code)
    return {name for call in calls for name in re.findall(r'"(\w+)"', call)}


def test_every_metric_of_ours_that_is_watched_or_shown_is_counted_in_the_code():
    watched = {
        metric["MetricName"]
        for alarm in ALARMS
        for metric in metrics_of(alarm)
        if metric["Namespace"] == OUR_NAMESPACE
    }
    shown = {
        metric[1]
        for widget in WIDGETS
        for metric in widget["properties"].get("metrics", [])
        if metric[0].startswith("ZohoCrmExport/")
    }
    assert watched <= counted_in_code()
    assert len(shown) > 10
    assert shown <= counted_in_code()


def test_dashboard_shows_every_alarm_that_always_exists():
    (widget,) = [item for item in WIDGETS if item["type"] == "alarm"]
    assert sorted(widget["properties"]["alarms"]) == sorted(
        f"${{{name}.Arn}}" for name in set(ALARMS) - OPTIONAL
    )


def test_dashboard_refers_only_to_resources_of_the_template():
    references = {match.partition(".")[0] for match in re.findall(r"\$\{([^}]+)\}", DASHBOARD)}
    assert {name for name in references if not name.startswith("AWS::")} <= set(RESOURCES)


def test_widgets_of_the_dashboard_do_not_overlap():
    cells = [
        (x, y)
        for item in WIDGETS
        for x in range(item["x"], item["x"] + item["width"])
        for y in range(item["y"], item["y"] + item["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
