"""Turns counted usage into dollars, at the prices of prices.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

_PRICES = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True)
class Service:
    """A managed service's list price: per month, per million rows beyond those included, and per GB.

    tenant_month: for each further tenant, which needs a connector of its own.
    """

    name: str
    month: float
    tenant_month: float
    included_million_rows: float
    million_rows: float
    gb: float
    page: str
    seen: str

    def dollars(self, million_rows: float, gb: float, tenants: int = 1) -> float:
        """Return the price of a month with this many rows, gigabytes and tenants."""
        rows = max(0.0, million_rows - self.included_million_rows)
        return self.month + (tenants - 1) * self.tenant_month + rows * self.million_rows + gb * self.gb


@dataclass(frozen=True)
class Prices:
    """All prices. `aws` has dollars for one unit of each name; `pages` the public page of each price."""

    region: str
    architecture: str
    date: str
    checked: str
    aws: Mapping[str, float]
    pages: Mapping[str, str]
    assumptions: Mapping[str, float]
    services: tuple[Service, ...]

    @classmethod
    def load(cls, path: Path = _PRICES) -> Self:
        """Read the file."""
        found: dict[str, Any] = tomllib.loads(path.read_text())
        return cls(
            found["region"],
            found["architecture"],
            found["date"],
            found["checked"],
            {name: price["usd"] / price["per"] for name, price in found["aws"].items()},
            {name: price["page"] for name, price in found["aws"].items()},
            found["assumptions"],
            tuple(Service(**service) for service in found["service"]),
        )

    def dollars(self, usage: Mapping[str, float]) -> float:
        """Return the price of a usage. Raises KeyError for a name that has no price."""
        return sum(self.aws[name] * quantity for name, quantity in usage.items())


@dataclass(frozen=True)
class Work:
    """What one function did: how often it ran, its CPU seconds, its calls, and its memory.

    downloaded: results of 200,000 records that it received; less if they had fewer records.
    """

    memory_mb: int
    invocations: int = 0
    cpu: float = 0.0
    zoho_calls: int = 0
    aws_calls: int = 0
    downloaded: float = 0.0

    def gb_seconds(self, assumptions: Mapping[str, float], *, waiting: bool) -> float:
        """Return the billed GB-seconds. Without `waiting` they are a lower bound: the CPU time alone.

        CPU time takes longer with less than a whole core. While a result arrives, the function works: so a
        download takes the longer of the two times.
        """
        share = min(1.0, self.memory_mb / assumptions["full_core_mb"])
        seconds = self.cpu / share
        if waiting:
            seconds = max(seconds, self.downloaded * assumptions["zoho_download_seconds"])
            seconds += self.zoho_calls * assumptions["zoho_call_seconds"]
            seconds += self.aws_calls * assumptions["aws_call_seconds"]
        return seconds * self.memory_mb / 1024


@dataclass(frozen=True)
class Account:
    """Everything that was used: AWS units by the names of prices.toml, and the work of each function."""

    units: Mapping[str, float]
    work: Mapping[str, Work] = field(default_factory=dict)

    def usage(self, prices: Prices, *, waiting: bool = True) -> dict[str, float]:
        """Return all quantities that have a price."""
        gb_seconds = sum(work.gb_seconds(prices.assumptions, waiting=waiting) for work in self.work.values())
        invocations = sum(work.invocations for work in self.work.values())
        logs = invocations * prices.assumptions["lambda_log_bytes"] / 1e9
        return {
            **self.units,
            "logs_gb": self.units.get("logs_gb", 0) + logs,
            "lambda_gb_second": gb_seconds,
            "lambda_request": invocations,
        }


def between(small: float, large: float, share: float) -> float:
    """Return a value on the line from `small` (share 0) to `large` (share 1), and beyond."""
    return small + (large - small) * share
