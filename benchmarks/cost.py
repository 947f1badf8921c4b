"""Cost: what a million records and a thousand pages cost on AWS, by counted calls and CPU seconds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks.landing import BASE, land, serving
from benchmarks.measure import run_row
from benchmarks.pricing import Account, Prices, Work, between
from benchmarks.report import Cell, Plot, Report, Table, medians, run_interleaved
from benchmarks.servers import ROOT
from benchmarks.shapes import SHAPES, archive_of

_MIB = 1024 * 1024
_PART_SIZES = (5, 8, 16, 32)  # MiB
_SMALL = 200  # records of an export that costs little more than being an export
_DOWNLOADER_MB = 768
_RECORD_BYTES = 450  # of a contact as CSV; managed services that charge by volume are given this
_TICKS = 30 * 24 * 12  # of the reconciler in a month
_TICK_CPU, _TICK_MB = 0.02, 512
_NAMES = {
    "lambda_gb_second": "Lambda, GB-seconds",
    "lambda_request": "Lambda, invocations",
    "s3_write": "S3, PUT and POST",
    "s3_read": "S3, GET",
    "dynamodb_write_unit": "DynamoDB, write units",
    "dynamodb_read_unit": "DynamoDB, read units",
    "sqs_request": "SQS, requests",
    "eventbridge_event": "EventBridge, events",
    "httpapi_request": "HTTP API, requests",
    "secret_call": "Secrets Manager, calls",
    "logs_gb": "CloudWatch Logs, GB",
}
_TEXT = """\
Exports and pages run through the real handlers of the template's functions, against moto and the Zoho
simulator in processes of their own. Every AWS call is counted in the units that AWS bills (DynamoDB units
by the sizes of the items, twice for transactions, and again for the index), and CPU seconds are taken for
each function. Containers are warm. Two things cannot be measured on loopback and are assumptions of
`benchmarks/prices.toml`: how long Zoho and AWS let a function wait, and how many bytes Lambda itself logs.
So GB-seconds are given twice: as a lower bound (CPU time only) and with waiting, which is what the dollars
use.
"""


@dataclass(frozen=True)
class Measured:
    """What a run used: a large and a small export in each format, and pages."""

    large: Mapping[str, Account]
    small: Mapping[str, Account]
    pages: Account
    records: int
    page_count: int
    metrics: int


def _account(found: Mapping[str, Any]) -> Account:
    return Account(found["units"], {name: Work(**work) for name, work in found["work"].items()})


def measure(quick: bool) -> Measured:
    """Run exports and pages."""
    records, pages = (400_000, 20) if quick else (1_000_000, 200)
    print(f"cost: exports of {records:,} records, {pages} pages ...", flush=True)
    large = run_row("benchmarks.cost_rows", {"records": records, "pages": pages}, {})
    small = run_row("benchmarks.cost_rows", {"records": _SMALL, "pages": 1}, {})
    return Measured(
        {name: _account(large[name]) for name in ("csv", "csv.gz")},
        {name: _account(small[name]) for name in ("csv", "csv.gz")},
        _account(large["pages"]),
        records,
        pages,
        large["csv"]["metrics"],
    )


def per_million(
    found: Measured, prices: Prices, file_format: str, *, waiting: bool = True
) -> dict[str, float]:
    """Return the usage of a million records: on the line through the small and the large export."""
    small, large = (
        accounts[file_format].usage(prices, waiting=waiting) for accounts in (found.small, found.large)
    )
    share = (1_000_000 - _SMALL) / (found.records - _SMALL)
    return {name: between(small.get(name, 0), large[name], share) for name in large}


def per_thousand_pages(found: Measured, prices: Prices, *, waiting: bool = True) -> dict[str, float]:
    """Return the usage of 1,000 pages."""
    usage = found.pages.usage(prices, waiting=waiting)
    return {name: quantity * 1000 / found.page_count for name, quantity in usage.items()}


def fixed_month(prices: Prices, metrics: int, connections: int = 1) -> dict[str, float]:
    """Return what a stack uses in a month in which nothing is exported."""
    template = (ROOT / "template.yaml").read_text()
    tick = Work(_TICK_MB, _TICKS, _TICKS * _TICK_CPU, aws_calls=_TICKS)
    return {
        **Account({"dynamodb_read_unit": _TICKS * 0.5}, {"reconciler": tick}).usage(prices),
        "alarm_month": len(re.findall(r"Type: AWS::CloudWatch::Alarm\b", template)),
        "secret_month": len(re.findall(r"Type: AWS::SecretsManager::Secret\b", template)) + connections,
        "sqs_request": prices.assumptions["idle_sqs_requests"],
        "metric_month": metrics,
    }


def run(quick: bool) -> Report:
    """Measure, and return all tables."""
    prices, found = Prices.load(), measure(quick)
    tables = [
        _per_million_table(found, prices),
        _pages_table(found, prices),
        _functions_table(found, prices),
        _part_size_table(prices, quick),
        _growth_table(found, prices),
        _tenants_table(found, prices),
        _prices_table(prices),
    ]
    return Report(
        "Cost",
        tables,
        [_growth_plot(found, prices), _tenants_plot(found, prices)],
        _facts(found, prices),
        _TEXT,
    )


def _facts(found: Measured, prices: Prices) -> dict[str, str]:
    csv, gz = (prices.dollars(per_million(found, prices, name)) for name in ("csv", "csv.gz"))
    low = prices.dollars(per_million(found, prices, "csv", waiting=False))
    pages = prices.dollars(per_thousand_pages(found, prices))
    idle = prices.dollars(fixed_month(prices, found.metrics))
    return {
        "A million records": f"${csv:.4f} as csv, ${gz:.4f} as csv.gz (csv without any waiting: ${low:.4f})",
        "1,000 pages of 200 records": f"${pages:.4f}",
        "A month without exports": f"${idle:.2f} before the free tier",
        "Prices": f"{prices.region}, {prices.architecture}, list prices of {prices.date}",
    }


def _per_million_table(found: Measured, prices: Prices) -> Table:
    usages = [per_million(found, prices, name) for name in ("csv", "csv.gz")]
    rows: list[tuple[Cell, ...]] = [
        (_NAMES[name], *(cell for usage in usages for cell in (usage[name], usage[name] * prices.aws[name])))
        for name in _NAMES
        if any(usage.get(name) for usage in usages)
    ]
    totals = [prices.dollars(usage) for usage in usages]
    rows.append(("total", None, totals[0], None, totals[1]))
    note = (
        f"Measured: exports of {found.records:,} and of {_SMALL} records; the figures are on the line "
        "through both. Storage in S3 is $0.023 per GB and month."
    )
    return Table("A million records", ("per million", "csv", "$", "csv.gz", "$ gz"), rows, note)


def _pages_table(found: Measured, prices: Prices) -> Table:
    usage = per_thousand_pages(found, prices)
    rows: list[tuple[Cell, ...]] = [
        (_NAMES[name], usage[name], usage[name] * prices.aws[name]) for name in _NAMES if usage.get(name)
    ]
    rows.append(("total", None, prices.dollars(usage)))
    return Table("1,000 pages", ("per 1,000 pages of 200 records", "quantity", "$"), rows)


def _functions_table(found: Measured, prices: Prices) -> Table:
    work = {**found.large["csv"].work, "ExportHandler": found.pages.work["ExportHandler"]}
    rows = [
        (
            name,
            done.memory_mb,
            done.invocations,
            1000 * done.cpu / done.invocations,
            done.zoho_calls / done.invocations,
            done.aws_calls / done.invocations,
            done.gb_seconds(prices.assumptions, waiting=False) / done.invocations,
            done.gb_seconds(prices.assumptions, waiting=True) / done.invocations,
        )
        for name, done in work.items()
    ]
    columns = ("function", "MB", "runs", "CPU ms", "Zoho", "AWS", "GB-s", "GB-s with waits")
    note = (
        "CPU milliseconds, calls and GB-seconds per invocation, warm: of the large csv export, and of a page."
    )
    return Table("Functions", columns, rows, note)


def _part_size_table(prices: Prices, quick: bool) -> Table:
    archive = archive_of(SHAPES[0], 0.5 if quick else 1)
    numbers = iter(range(1000))
    with serving(archive, "https") as servers:

        def one(size: str) -> dict[str, float]:
            return land(BASE, archive, servers, next(numbers), part_bytes=int(size) * _MIB)

        samples = run_interleaved([str(size) for size in _PART_SIZES], 1 if quick else 5, one)
    rows = []
    for size, runs in samples.items():
        figures, gb = medians(runs), archive.csv_bytes / 1e9
        requests = figures["requests"] / gb * prices.aws["s3_write"]
        seconds = Work(_DOWNLOADER_MB, cpu=figures["cpu"]).gb_seconds(prices.assumptions, waiting=False) / gb
        compute = seconds * prices.aws["lambda_gb_second"]
        largest = int(size) * _MIB * 10_000 / 1e9
        rows.append((f"{size} MiB", figures["peak"], figures["requests"] / gb, requests, seconds, compute,
                     requests + compute, largest))  # fmt: skip
    columns = ("part", "peak MB", "requests", "$ S3", "GB-s", "$ Lambda", "$ both", "largest GB")
    note = (
        "Per GB of CSV, on contacts. Largest: what 10,000 parts hold, the most that S3 takes for one object."
    )
    return Table("Part size", columns, rows, note)


def _month(found: Measured, prices: Prices, file_format: str, million_rows: float) -> float:
    exported = prices.dollars(per_million(found, prices, file_format)) * million_rows
    return exported + prices.dollars(fixed_month(prices, found.metrics))


_MONTHLY = (0.1, 1.0, 10.0, 100.0, 1000.0)  # million records


def _growth(found: Measured, prices: Prices) -> dict[str, list[float]]:
    gigabytes = {rows: rows * 1e6 * _RECORD_BYTES / 1e9 for rows in _MONTHLY}
    ours = {
        f"ours, {name}": [_month(found, prices, name, rows) for rows in _MONTHLY]
        for name in ("csv", "csv.gz")
    }
    services = {
        service.name: [service.dollars(rows, gigabytes[rows]) for rows in _MONTHLY]
        for service in prices.services
    }
    return {**ours, **services}


def _growth_table(found: Measured, prices: Prices) -> Table:
    rows: list[tuple[Cell, ...]] = [(name, *values) for name, values in _growth(found, prices).items()]
    sources = "; ".join(f"{service.name}: {service.page} ({service.seen})" for service in prices.services)
    note = (
        f"Dollars a month, ours with what an idle stack costs; {_RECORD_BYTES} bytes per record. "
        f"{sources}. Fivetran and Hevo publish no price per row that could be found, so they are left out. "
        "These services load warehouses and keep tables current, which an export to S3 does not."
    )
    return Table("Growth with records", ("million records", *map(_number, _MONTHLY)), rows, note)


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 1 else f"{value:,.0f}"


def _growth_plot(found: Measured, prices: Prices) -> Plot:
    return Plot(
        name="cost-growth",
        title="Dollars a month by records exported",
        x=[_number(value) for value in _MONTHLY],
        series=_growth(found, prices),
        x_title="million records a month",
        y_title="$",
        kind="log",
    )


_TENANTS, _MODULES = (1, 10, 100, 1000), (1, 10)
_DAILY_RECORDS = 10_000  # of each module of each tenant


def _tenants_month(found: Measured, prices: Prices, exports: int, secrets: int) -> float:
    """Return the dollars of a month with so many small exports and so many connections as secrets."""
    per_export = prices.dollars(found.small["csv"].usage(prices))
    per_record = (prices.dollars(per_million(found, prices, "csv")) - per_export) / 1e6
    fixed = prices.dollars(fixed_month(prices, found.metrics, secrets))
    return fixed + exports * (per_export + _DAILY_RECORDS * per_record)


def _tenants_table(found: Measured, prices: Prices) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for tenants, modules in product(_TENANTS, _MODULES):
        exports = tenants * modules * 30
        dollars = [_tenants_month(found, prices, exports, secrets) for secrets in (tenants, 0)]
        rows.append((tenants, modules, exports, exports * _DAILY_RECORDS / 1e6, *dollars))
    columns = ("tenants", "modules", "exports", "million records", "$ a month", "$ with MongoDB")
    note = (
        f"Every module of every tenant, {_DAILY_RECORDS:,} records, once a day. Each tenant's connection is "
        "a secret ($0.40 a month), unless connections are in a MongoDB that is there anyway (not priced)."
    )
    return Table("Growth with tenants and modules", columns, rows, note)


def _tenants_plot(found: Measured, prices: Prices) -> Plot:
    series: dict[str, list[float | None]] = {}
    for modules, store in product(_MODULES, ("secrets", "MongoDB")):
        name = f"ours, {modules} {'module' if modules == 1 else 'modules'}, {store}"
        series[name] = [
            _tenants_month(found, prices, tenants * modules * 30, tenants if store == "secrets" else 0)
            for tenants in _TENANTS
        ]
    rows = 30 * _DAILY_RECORDS
    for service in prices.services:
        series[f"{service.name}, 1 module"] = [
            service.dollars(tenants * rows / 1e6, tenants * rows * _RECORD_BYTES / 1e9, tenants)
            for tenants in _TENANTS
        ]
    return Plot(
        name="cost-tenants",
        title="Dollars a month by tenants",
        x=[f"{tenants:,}" for tenants in _TENANTS],
        series=series,
        x_title=f"tenants, each module {_DAILY_RECORDS:,} records a day",
        y_title="$",
        kind="log",
    )


def _prices_table(prices: Prices) -> Table:
    rows = [(name, f"${value:.10f}".rstrip("0"), prices.pages[name]) for name, value in prices.aws.items()]
    assumed = ", ".join(f"{name} {value:g}" for name, value in prices.assumptions.items())
    return Table("Prices", ("unit", "price", "page"), rows, f"{prices.checked} Assumptions: {assumed}.")
