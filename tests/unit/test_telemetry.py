"""Metrics."""

from threading import Thread

from crm_export.telemetry import count, gauge, metrics


def test_gauge_reports_its_last_value():
    metrics().metric_set.clear()
    gauge("Waiting", 3)
    gauge("Waiting", 1)
    assert metrics().metric_set["Waiting"]["Value"] == [1.0]
    metrics().metric_set.clear()


class SlowNumber(float):
    """A value that another thread tries to overtake while Powertools converts it."""

    def __float__(self):
        self.other = Thread(target=count, args=("Parts", 1))
        self.other.start()
        self.other.join(0.1)
        return 2.0


def test_count_of_another_thread_at_the_same_time_is_not_lost():
    metrics().metric_set.clear()
    slow = SlowNumber(2)
    count("Parts", slow)
    slow.other.join()
    assert sorted(metrics().metric_set["Parts"]["Value"]) == [1.0, 2.0]
    metrics().metric_set.clear()
