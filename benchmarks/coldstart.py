"""The init of each function on its built layers, next to that of a bare handler with the same clients.

A bare handler imports boto3 and requests, and creates its clients with boto3.client. Both have bytecode, and
both run in fresh interpreters, interleaved.
"""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.report import Cell, Plot, Report, Table, medians, ratio, run_interleaved
from crm_export import settings
from local.host.processes import REPOSITORY
from local.package import finish, trim

FOLDER = REPOSITORY / ".local" / "bench" / "coldstart"
_UV = (Path(sys.prefix) / "bin" / "uv", "pip")
_INSTALL = (
    "install",
    "--quiet",
    "--no-config",
    "--only-binary",
    ":all:",
    "--require-hashes",
    "--link-mode",
    "copy",
)
_KINDS = ("ours", "bare", "trimmed")
_ROUNDS, _QUICK_ROUNDS = 15, 3
_LAMBDA = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": os.devnull,
}
_MEASURE = """
import time, resource
cpu = time.process_time()
import app
cpu = time.process_time() - cpu
print(cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
_COLUMNS = ("function", "ours ms", "bare ms", "ratio", "trimmed ms", "ratio", "ours MB", "bare MB")
_TEXT = """\
What a function does before its first event: imports, clients, settings. Each row runs in a fresh
interpreter on a whole core, and all rows take turns; the figures are medians of its CPU time. Ours runs on
packages as `make build` makes them, but for this machine, and includes a rehearsed call of each client,
without the network. *Bare* is a handler that imports boto3 and requests and creates the same clients, with
the packages as pip installs them and with bytecode. *Trimmed* is the same handler with botocore's data
trimmed as in our layer, which nobody gets without extra work. MB is the peak memory of the process.
"""


@dataclass(frozen=True)
class Subject:
    """A function of ours: its settings, and the AWS clients that it creates at init."""

    settings: type[settings.Settings]
    clients: tuple[str, ...]


FUNCTIONS = {
    "export_handler": Subject(settings.ExportHandlerSettings, ("dynamodb", "secretsmanager")),
    "bulk_read_submitter": Subject(settings.BulkReadSubmitterSettings, ("dynamodb", "secretsmanager", "sqs")),
    "callback_receiver": Subject(settings.CallbackReceiverSettings, ("secretsmanager", "sqs")),
    "result_downloader": Subject(
        settings.ResultDownloaderSettings, ("dynamodb", "secretsmanager", "sqs", "s3")
    ),
    "export_reconciler": Subject(settings.ExportReconcilerSettings, ("dynamodb", "sqs")),
}


def run(quick: bool) -> Report:
    """Build the packages for this machine, measure all functions, and return one table."""
    ours, bare, trimmed = _build(FOLDER)
    names = [f"{name} {kind}" for name in FUNCTIONS for kind in _KINDS]

    def measure(name: str) -> dict[str, float]:
        function, _, kind = name.partition(" ")
        if kind == "ours":
            variables = {field.name.upper(): "1" for field in fields(FUNCTIONS[function].settings)}
            paths = [ours / function, ours / "DependenciesLayer", ours / "CrmExportLayer"]
            return _measure(paths, variables)
        return _measure([FOLDER / "handlers" / function, {"bare": bare, "trimmed": trimmed}[kind]], {})

    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    figures = {name: medians(found) for name, found in run_interleaved(names, rounds, measure).items()}
    return Report(
        name="Cold start",
        tables=[Table("Init of a function", _COLUMNS, [_row(name, figures) for name in FUNCTIONS])],
        plots=[_plot(figures)],
        facts={"Rounds": rounds, "Size of the layers, unzipped (MB)": _megabytes(ours)},
        text=_TEXT,
    )


def _row(name: str, figures: dict[str, dict[str, float]]) -> list[Cell]:
    ours, bare, trimmed = (figures[f"{name} {kind}"] for kind in _KINDS)
    return [
        name,
        round(ours["cpu"]),
        round(bare["cpu"]),
        ratio(ours["cpu"], bare["cpu"]),
        round(trimmed["cpu"]),
        ratio(ours["cpu"], trimmed["cpu"]),
        round(ours["mb"]),
        round(bare["mb"]),
    ]


def _plot(figures: dict[str, dict[str, float]]) -> Plot:
    return Plot(
        name="coldstart",
        title="CPU time of a function's init",
        x=list(FUNCTIONS),
        series={kind: [figures[f"{name} {kind}"]["cpu"] for name in FUNCTIONS] for kind in _KINDS},
        y_title="ms",
    )


def _measure(paths: list[Path], variables: dict[str, str]) -> dict[str, float]:
    """Import `app` in a fresh interpreter. Returns CPU milliseconds and peak memory."""
    child = subprocess.run(
        [Path(sys.executable).resolve(), "-S", "-B", "-c", _MEASURE],
        env={**_LAMBDA, **variables, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu, megabytes = map(float, child.stdout.split())
    return {"cpu": cpu * 1000, "mb": megabytes}


def _build(folder: Path) -> tuple[Path, Path, Path]:
    """Build again: our packages as `make build` does, but for this machine; and those of bare handlers."""
    shutil.rmtree(folder, ignore_errors=True)
    ours, bare, trimmed = folder / "ours", folder / "bare", folder / "trimmed"
    _uv(*_INSTALL, "--target", ours / "DependenciesLayer", "-r", "layers/dependencies/requirements.txt")
    shutil.copytree(REPOSITORY / "layers/crm_export", ours / "CrmExportLayer", ignore=_BYTECODE)
    for name in FUNCTIONS:
        shutil.copytree(REPOSITORY / "functions" / name, ours / name, ignore=_BYTECODE)
    finish(ours)
    (folder / "bare.in").write_text("boto3\nrequests\n")
    pins = ("--constraints", "requirements.txt", "--generate-hashes")
    _uv("compile", "--quiet", *pins, "-o", folder / "bare.txt", folder / "bare.in")
    _uv(*_INSTALL, "--target", bare, "-r", folder / "bare.txt")
    shutil.copytree(bare, trimmed)
    trim(trimmed / "botocore" / "data")
    for name, subject in FUNCTIONS.items():
        _write_bare_handler(folder / "handlers" / name, subject.clients)
    for packages in (bare, trimmed, folder / "handlers"):
        compileall.compile_dir(
            packages, quiet=1, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    return ours, bare, trimmed


_BYTECODE = shutil.ignore_patterns("__pycache__")


def _uv(command: str, *arguments: str | Path) -> None:
    subprocess.run([*_UV, command, *arguments], cwd=REPOSITORY, check=True)


def _write_bare_handler(folder: Path, clients: tuple[str, ...]) -> None:
    lines = ["import boto3", "import requests", *(f'{name} = boto3.client("{name}")' for name in clients)]
    lines += ["", "def lambda_handler(event, context):", "    return requests.get(event)", ""]
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("\n".join(lines))


def _megabytes(folder: Path) -> int:
    layers = [folder / "DependenciesLayer", folder / "CrmExportLayer"]
    return round(sum(path.stat().st_size for layer in layers for path in layer.rglob("*.*")) / 1e6)
