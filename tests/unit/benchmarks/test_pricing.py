"""From counted usage to dollars."""

import pytest

from benchmarks.cost import Measured, fixed_month, per_million, per_thousand_pages
from benchmarks.pricing import Account, Prices, Service, Work, between

PRICES = Prices.load()
ASSUMED = {
    "full_core_mb": 1769,
    "zoho_call_seconds": 0.5,
    "zoho_download_seconds": 6.0,
    "aws_call_seconds": 0.01,
}


def test_every_price_names_its_public_page():
    assert PRICES.pages.keys() == PRICES.aws.keys()
    assert all(page.startswith("https://") for page in PRICES.pages.values())
    assert all(service.page.startswith("https://") and service.seen for service in PRICES.services)


def test_dollars_are_quantities_times_price_per_unit():
    assert PRICES.dollars({"s3_write": 1_000, "lambda_request": 1_000_000}) == pytest.approx(0.205)


def test_usage_without_a_price_is_an_error():
    with pytest.raises(KeyError):
        PRICES.dollars({"unicorns": 1})


def test_cpu_time_takes_longer_with_less_than_a_core():
    work = Work(memory_mb=1024, cpu=1.0)
    assert work.gb_seconds(ASSUMED, waiting=False) == pytest.approx(1769 / 1024)
    assert Work(memory_mb=3538, cpu=1.0).gb_seconds(ASSUMED, waiting=False) == pytest.approx(3538 / 1024)


def test_download_takes_the_longer_of_arriving_and_computing():
    quick = Work(memory_mb=1024, cpu=1.0, downloaded=1)
    slow = Work(memory_mb=1024, cpu=10.0, downloaded=1)
    assert quick.gb_seconds(ASSUMED, waiting=True) == pytest.approx(6.0)
    assert slow.gb_seconds(ASSUMED, waiting=True) == pytest.approx(10 * 1769 / 1024)


def test_calls_are_waited_for_in_addition():
    work = Work(memory_mb=1024, cpu=0.0, zoho_calls=2, aws_calls=10)
    assert work.gb_seconds(ASSUMED, waiting=True) == pytest.approx(1.1)


def test_managed_service_charges_rows_beyond_those_included():
    service = Service("x", 10, 7, 2, 15, 0.5, "https://example.com", "today")
    assert service.dollars(1, 4) == 12
    assert service.dollars(4, 0) == 40
    assert service.dollars(4, 0, tenants=3) == 54


def test_line_through_two_points_goes_on_beyond_them():
    assert between(1, 3, 0) == 1
    assert between(1, 3, 2) == 5


def measured() -> Measured:
    work = {"ResultDownloader": Work(1024, 1, 2.0)}
    small = Account({"s3_write": 4.0}, {"ResultDownloader": Work(1024, 1, 0.0)})
    large = Account({"s3_write": 104.0}, work)
    pages = Account({"httpapi_request": 20.0}, {"ExportHandler": Work(512, 20, 0.2)})
    both = {"csv": small, "csv.gz": small}, {"csv": large, "csv.gz": large}
    return Measured(both[1], both[0], pages, records=500_000, page_count=20, metrics=3)


def test_million_records_are_extrapolated_from_the_small_and_the_large_export():
    usage = per_million(measured(), PRICES, "csv")
    assert usage["s3_write"] == pytest.approx(204, rel=0.001)
    assert usage["lambda_request"] == pytest.approx(1)


def test_thousand_pages_are_scaled_from_those_that_were_read():
    usage = per_thousand_pages(measured(), PRICES)
    assert usage["httpapi_request"] == 1000
    assert usage["lambda_request"] == 1000


def test_idle_month_has_the_alarms_of_the_template_and_a_secret_per_connection():
    one, many = (fixed_month(PRICES, 3, connections) for connections in (1, 11))
    assert one["alarm_month"] > 5
    assert many["secret_month"] - one["secret_month"] == 10
