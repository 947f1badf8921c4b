"""Metrics."""

from crm_export.telemetry import gauge, metrics


def test_gauge_reports_its_last_value():
    metrics().metric_set.clear()
    gauge("Waiting", 3)
    gauge("Waiting", 1)
    assert metrics().metric_set["Waiting"]["Value"] == [1.0]
    metrics().metric_set.clear()
