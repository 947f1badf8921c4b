"""Landing: a result ZIP from a loopback Zoho to a loopback S3, by us and by the scripts that people write."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.landing_rows import BUCKET, ROWS
from benchmarks.measure import run_row
from benchmarks.report import Plot, Report, Table, medians, ratio, run_interleaved
from benchmarks.servers import received, server, write_certificate
from benchmarks.shapes import SHAPES, Archive, Shape, archive_of
from local.host.processes import TEST_CREDENTIALS

BASE = "ours, csv"
_OURS = ("ours, csv", "ours, csv.gz")
_LIMITS = tuple(name for name in ROWS if name.startswith("limit"))
_PEERS = tuple(name for name in ROWS if name not in (*_OURS, *_LIMITS))
_ROUNDS = {"contacts": 9, "contacts, 400 MB": 3, "contacts, 1 GB": 3}  # of the full run; other shapes: 5
_QUICK_SHAPES = ("contacts", "many quotes and newlines", "200 columns")
_QUICK_SHARE, _QUICK_ROUNDS = 0.1, 2
_SHORT = {
    "contacts, 400 MB": "400 MB",
    "contacts, 1 GB": "1 GB",
    "many quotes and newlines": "quotes",
    "200 columns": "200 col.",
    "nearly incompressible": "random",
}
_TEXT = """\
One result ZIP goes from a server that sends it from memory to an S3 that accepts PUT and multipart uploads
and keeps nothing. Both are on loopback, in processes of their own, so only the client is measured. Each row
runs in a fresh process. **CPU s** is user and system time of all its threads (`getrusage`), **peak MB** how
far its resident set rose (`VmHWM`), both from after imports and the creation of clients. The rows run as A
B C A B C; the figures are medians.

"Ours" is the real path of the downloader: `BulkRead.open_result`, `ResultsBucket.store_result` and the
boto3 client of `wiring`. It verifies the ZIP, counts the records, and reads the ids of all records for the
digest that proves a whole export. The peers do as their documentation shows, with default settings: they
verify the CRC and, unless "csv" is in the name, count nothing. After each row the S3 is asked what it
received: a row that stored anything but the whole CSV ends the run.

Zoho and S3 speak TLS here, with a certificate made for the run, because the real ones do. Over plain HTTP,
boto3 signs (SHA-256) bodies that it does not sign over TLS. The last table is plain HTTP.
"""


@dataclass(frozen=True)
class Servers:
    """A Zoho that sends one archive, and an S3."""

    zoho: str
    s3: str
    certificate: str | None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a row's process."""
        trusted = {"AWS_CA_BUNDLE": self.certificate, "REQUESTS_CA_BUNDLE": self.certificate}
        return {
            **TEST_CREDENTIALS,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": self.s3,
            **{name: value for name, value in trusted.items() if value},
        }


@contextmanager
def serving(archive: Archive, scheme: str) -> Iterator[Servers]:
    """Run a Zoho with this archive, and an S3."""
    with TemporaryDirectory() as folder:
        certificate = Path(folder) / "server.pem" if scheme == "https" else None
        if certificate:
            write_certificate(certificate)
        arguments = [str(certificate)] if certificate else []
        with server("zip", str(archive.path), *arguments) as zoho, server("s3", *arguments) as s3:
            yield Servers(zoho, s3, str(certificate) if certificate else None)


def land(
    name: str, archive: Archive, servers: Servers, number: int, checkout: Path | None = None, **more: Any
) -> dict[str, float]:
    """Run one row once. Raises RuntimeError if S3 did not receive the whole file, once."""
    key = f"landing-{number}"
    arguments = {
        "row": name,
        "zoho": servers.zoho,
        "archive": str(archive.path),
        "key": key,
        "records": archive.records,
        "certificate": servers.certificate,
        **more,
    }
    outcome = run_row("benchmarks.landing_rows", arguments, servers.environment, checkout)
    stored = received(servers.s3, servers.certificate).get(f"/{BUCKET}/{key}", {"bytes": 0, "requests": 0})
    _check(name, outcome, stored["bytes"], archive)
    figures = {figure: outcome[figure] for figure in ("cpu", "wall", "peak")}
    return {**figures, "requests": stored["requests"], "ids": outcome.get("ids", False)}


def _check(name: str, outcome: Mapping[str, Any], stored: int, archive: Archive) -> None:
    if name in _LIMITS:
        return
    if outcome.get("records", archive.records) != archive.records:
        raise RuntimeError(f"{name} counted {outcome['records']} of {archive.records} records.")
    if not (0 < stored < archive.csv_bytes if "gz" in name else stored == archive.csv_bytes):
        raise RuntimeError(f"{name} stored {stored} bytes of {archive.csv_bytes}.")


type Samples = dict[str, list[dict[str, float]]]


def measure_rows(archive: Archive, rounds: int, scheme: str, against: Path | None = None) -> Samples:
    """Run all rows on one archive, interleaved; with `against`, also our rows of another checkout."""
    others = {f"{name} at {_commit(against)}": name for name in _OURS} if against else {}
    numbers = iter(range(1_000_000))
    with serving(archive, scheme) as servers:

        def run(name: str) -> dict[str, float]:
            checkout = against if name in others else None
            return land(others.get(name, name), archive, servers, next(numbers), checkout)

        return run_interleaved([*ROWS, *others], rounds, run)


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607


def run(
    quick: bool,
    against: Path | None = None,
    rounds: int | None = None,
    schemes: Sequence[str] = ("https", "http"),
) -> Report:
    """Measure all shapes over https, and contacts over http.

    against: another checkout, whose package makes two more rows. rounds: other than usual.
    """
    shapes = [shape for shape in SHAPES if not quick or shape.name in _QUICK_SHAPES]
    found: dict[str, dict[str, dict[str, float]]] = {}
    tables = []
    for scheme in schemes:
        for shape in shapes if scheme == schemes[0] else shapes[:1]:
            archive = archive_of(shape, _QUICK_SHARE if quick else 1)
            count = rounds or (_QUICK_ROUNDS if quick else _ROUNDS.get(shape.name, 5))
            print(f"landing: {shape.name}, {scheme}, {count} rounds ...", flush=True)
            samples = measure_rows(archive, count, scheme, against)
            tables.append(_table(shape, archive, samples, count, scheme))
            if scheme == schemes[0]:
                found[shape.name] = {name: medians(runs) for name, runs in samples.items()}
    return Report("Landing", [_summary(found), *tables], _plots(found), _facts(found), _TEXT)


def _table(shape: Shape, archive: Archive, samples: Samples, rounds: int, scheme: str) -> Table:
    figures = {name: medians(runs) for name, runs in samples.items()}
    base = figures[BASE]["cpu"]
    rows = [
        (
            name,
            round(row["cpu"], 2),
            ratio(row["cpu"], base),
            round(row["wall"], 2),
            round(row["peak"], 1),
            int(row["requests"]) or None,
        )
        for name, row in figures.items()
    ]
    spread = median(abs(run["cpu"] - base) / base for run in samples[BASE])
    deviation = f"; median deviation of our CPU seconds {spread:.0%}" if rounds > 1 else ""
    note = (
        f"{archive.records:,} records, {archive.csv_bytes / 1e6:.1f} MB CSV, "
        f"{archive.zip_bytes / 1e6:.1f} MB ZIP; {rounds} {'round' if rounds == 1 else 'rounds'}{deviation}; "
        f"ids of our records {'' if figures[BASE]['ids'] else 'not '}digested."
    )
    title = f"{shape.name.capitalize()}{'' if scheme == 'https' else f', plain {scheme.upper()}'}"
    return Table(title, ("row", "CPU s", "× ours", "wall s", "peak MB", "S3 requests"), rows, note)


def _summary(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    names = list(next(iter(found.values())))
    rows = [
        (name, *(ratio(figures[name]["cpu"], figures[BASE]["cpu"]) for figures in found.values()))
        for name in names
    ]
    columns = ("CPU seconds, × ours", *(_SHORT.get(shape, shape) for shape in found))
    note = f"Relative to “{BASE}” in the same run: above 1, a row uses more CPU than we do."
    return Table("All shapes", columns, rows, note)


def _plots(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Plot]:
    shapes = [_SHORT.get(shape, shape) for shape in found]
    names = list(next(iter(found.values())))
    cpu = {
        name: [ratio(figures[name]["cpu"], figures[BASE]["cpu"]) for figures in found.values()]
        for name in names
    }
    sizes = [shape for shape in found if shape.startswith("contacts")]
    peak = {
        name: [max(found[shape][name]["peak"], 0.1) for shape in sizes]
        for name in names
        if name not in _LIMITS
    }
    return [
        Plot("landing-cpu", "CPU seconds, relative to ours (csv)", shapes, cpu, "", "× ours"),
        Plot(
            name="landing-peak",
            title="Peak memory above idle",
            x=[_SHORT.get(shape, "90 MB") for shape in sizes],
            series=peak,
            x_title="size of the CSV",
            y_title="MB",
            kind="log",
        ),
    ]


def _facts(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, str]:
    cheaper = {
        _SHORT.get(shape, shape): [name for name in _PEERS if figures[name]["cpu"] <= figures[BASE]["cpu"]]
        for shape, figures in found.items()
    }
    behind = "; ".join(f"{shape}: {', '.join(names)}" for shape, names in cheaper.items() if names)
    peaks = [figures[BASE]["peak"] for figures in found.values()]
    contacts = next(iter(found.values()))
    above = ratio(contacts[BASE]["cpu"], contacts[_LIMITS[1]]["cpu"])
    return {
        "Peers that use less CPU than ours (csv)": behind or "none, on any shape",
        "Our peak above idle (csv)": f"{min(peaks):.1f} to {max(peaks):.1f} MB over all shapes",
        "Ours (csv) over the physical limit with counting, contacts": f"{above} times its CPU",
    }
