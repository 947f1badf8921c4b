"""A folder with its state, as one process has it open."""

import pytest

from crm_export_cli.folder.database import Database
from crm_export_cli.folder.locks import Processes


@pytest.fixture
def state(tmp_path):
    """The folder's .crm-export."""
    state = tmp_path / ".crm-export"
    state.mkdir(mode=0o700)
    return state


@pytest.fixture
def database(state):
    database = Database(state / "state.db")
    yield database
    database.close()


@pytest.fixture
def processes(state):
    with Processes(state / "processes") as processes:
        yield processes
