"""The contracts on imports in pyproject.toml, https://import-linter.readthedocs.io."""

import pytest
from importlinter import cli

from local.host.processes import REPOSITORY

IDS = ["layers", "package", "exports", "results", "zoho"]


@pytest.mark.parametrize("contract", IDS)
def test_imports_keep_the_contract(contract, capsys):
    config = str(REPOSITORY / "pyproject.toml")
    code = cli.lint_imports(config_filename=config, limit_to_contracts=(contract,), no_cache=True)
    assert code == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
