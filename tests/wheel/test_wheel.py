"""The wheel: what it contains, and what a clean environment can do with nothing but the wheel's dependencies.

The environment gets the pinned releases with their hashes from uv's cache, or from the package index.
CRM_EXPORT_PYTHON names another interpreter for it.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from crm_export import __version__
from local.host.processes import REPOSITORY
from zoho_simulator.http.server import SimulatorConfig, start_simulator

pytestmark = pytest.mark.process
RECORDS = 1050
SECRET = "wheel-secret"
UV = str(Path(sys.executable).with_name("uv"))
INSTALL = (UV, "pip", "install", "--quiet", "--no-config", "--python")
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "SSL_CERT_FILE")


def run(*command, cwd, **variables):
    """Run a command that imports nothing from this repository's environment; return its stdout."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | variables
    ended = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def wheel(tmp_path):
    run(UV, "build", "--quiet", "--no-config", "--wheel", "--no-build-isolation", "--python", sys.executable,
        "--out-dir", str(tmp_path / "dist"), cwd=REPOSITORY)  # fmt: skip
    (built,) = (tmp_path / "dist").glob("*.whl")
    return built


@pytest.fixture
def environment(wheel, tmp_path):
    """A clean virtual environment with the wheel and its pinned dependencies; returns its folder bin."""
    folder = tmp_path / "venv"
    interpreter = os.environ.get("CRM_EXPORT_PYTHON") or sys.executable
    run(
        UV,
        "venv",
        "--quiet",
        "--no-config",
        "--no-project",
        "--python",
        interpreter,
        str(folder),
        cwd=tmp_path,
    )
    python = str(folder / "bin/python")
    run(*INSTALL, python, "--only-binary", ":all:", "--require-hashes", "--constraints", "requirements.txt",
        "-r", "pyproject.toml", cwd=REPOSITORY)  # fmt: skip
    run(*INSTALL, python, "--no-deps", str(wheel), cwd=tmp_path)
    run(UV, "pip", "check", "--quiet", "--no-config", "--python", python, cwd=tmp_path)
    return folder / "bin"


def test_wheel_contains_the_c_library_of_every_machine(wheel):
    packages = REPOSITORY / "layers/crm_export"
    libraries = {str(path.relative_to(packages)) for path in packages.rglob("*.so")}
    assert libraries
    assert libraries <= set(zipfile.ZipFile(wheel).namelist())


def test_installed_wheel_exports_a_module_with_its_own_dependencies_only(environment, tmp_path):
    command = str(environment / "crm-export")
    assert run(command, "--version", cwd=tmp_path) == f"crm-export {__version__}\n"
    assert "export contacts" in run(command, "export", "--help", cwd=tmp_path)

    packages = json.loads(
        run(UV, "pip", "list", "--no-config", "--format", "json", "--python", str(environment / "python"),
            cwd=tmp_path)
    )  # fmt: skip
    names = {package["name"] for package in packages}
    assert not names & {"moto", "aws-sam-translator", "aws-sam-cli", "awslambdaric", "pytest", "hatchling"}

    config = SimulatorConfig(
        records={"Contacts": RECORDS},
        records_per_job=400,
        client_secret=SECRET,
        queued_seconds=0.1,
        in_progress_seconds=0.2,
    )
    with start_simulator(config) as simulator:
        url = simulator.url
        run(command, "connect", "--to", "out", "--grant", "client_credentials",
            "--client-id", config.client_id, "--soid", config.soid, "--api-domain", url,
            "--accounts-server", url, "--trust-origin", url,
            cwd=tmp_path, CRM_EXPORT_CLIENT_SECRET=SECRET)  # fmt: skip
        document = run(
            command, "export", "contacts", "--to", "out", "--trust-origin", url, "--json", cwd=tmp_path
        )
    (export,) = json.loads(document)["exports"]
    assert (export["state"], export["records"]) == ("COMPLETED", RECORDS)
    (manifest,) = tmp_path.glob("out/exports/*/*/*/manifest.json")
    assert json.loads(manifest.read_text())["records"] == RECORDS
    write = (command, "lake", "write", "--latest", "--to", "out", "--json")
    refused = subprocess.run(write, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["error"]["code"] == "PARQUET_NOT_INSTALLED"
    python = str(environment / "python")
    run(*INSTALL, python, "--only-binary", ":all:", "--require-hashes", "--constraints", "requirements.txt",
        "-r", "pyproject.toml", "--extra", "parquet", cwd=REPOSITORY)  # fmt: skip
    (landed,) = json.loads(run(*write, cwd=tmp_path))["exports"]
    assert landed["lake"]["rows"] == RECORDS
