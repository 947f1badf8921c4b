"""The contracts on imports in pyproject.toml, https://import-linter.readthedocs.io."""

import pytest
from importlinter import api

from local.host.processes import REPOSITORY

CONFIG = str(REPOSITORY / "pyproject.toml")


@pytest.mark.parametrize(
    "contract", [item["id"] for item in api.read_configuration(CONFIG)["contracts_options"]]
)
def test_imports_keep_the_contract(contract, capsys):
    # Not importlinter.cli: it disables all loggers that exist.
    kept = api.use_cases.lint_imports(CONFIG, limit_to_contracts=(contract,), cache_dir=None, no_logo=True)
    assert kept, capsys.readouterr().out
