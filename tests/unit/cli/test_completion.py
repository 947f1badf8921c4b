"""What the shell completes, through the mechanism with which a shell asks for it."""

import json
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from crm_export.exports.model import ExportState
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.glance import keep_modules, kept_modules
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.table import SqliteExportTable
from crm_export_cli.main import app
from tests.unit.exports.test_export_table import SMALLEST_EXPORT, SMALLEST_PART

STATES = (ExportState.RUNNING, ExportState.COMPLETED, ExportState.FAILED, ExportState.CANCELLED)


def completed(*words, **environment):
    """Return what bash offers for a command line; the last word is not finished."""
    line = ["crm-export", *map(str, words)]
    asked = {
        "_CRM_EXPORT_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(line),
        "COMP_CWORD": str(len(line) - 1),
    }
    result = CliRunner().invoke(app, [], env=asked | environment, prog_name="crm-export")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.split()


@pytest.fixture
def folder(tmp_path):
    """A folder with an export in each state, newest first: 4 to 1."""
    state = tmp_path / ".crm-export"
    state.mkdir()
    database = Database(state / "state.db")
    with Processes(state / "processes") as processes:
        for number, of_export in enumerate(STATES, 1):
            export = replace(
                SMALLEST_EXPORT,
                export_id=f"2026112{number}T130000Z-0123456789abcdef",
                requested_at=SMALLEST_EXPORT.requested_at + timedelta(days=number),
                state=of_export,
            )
            part = replace(SMALLEST_PART, export_id=export.export_id)
            SqliteExportTable(database, processes).create(export, part)
    database.close()
    return tmp_path


def numbers(ids):
    return [int(export_id[7]) for export_id in ids]


def test_modules_are_those_of_zoho_until_the_folder_has_a_list(tmp_path):
    assert completed("export", "Pri") == ["Price_Books"]
    assert completed("export", "--to", tmp_path, "con") == ["contacts"]
    (tmp_path / ".crm-export").mkdir()
    keep_modules(tmp_path, ["Contacts", "Projects__s"])
    assert completed("export", "--to", tmp_path, "pro") == ["projects__s"]
    assert completed("export", "--to", tmp_path, "contacts", "") == ["Contacts", "Projects__s"]
    assert completed("export", "--to", tmp_path, "Contacts", "") == ["Projects__s"]
    for command in ("page", "fields"):
        assert completed(command, "P", CRM_EXPORT_TO=str(tmp_path)) == ["Projects__s"]


@pytest.mark.parametrize("content", ["", "{}", "3", '["Contacts"', '[1, {"a": 2}]'])
def test_list_of_modules_that_cannot_be_read_is_none(tmp_path, content):
    keep_modules(tmp_path, ["Contacts"])  # there is no folder to keep it in
    assert kept_modules(tmp_path) == []
    (tmp_path / ".crm-export").mkdir()
    keep_modules(tmp_path, ["Contacts"])
    file = tmp_path / ".crm-export" / "modules.json"
    assert (json.loads(file.read_text()), stat.S_IMODE(file.stat().st_mode)) == (["Contacts"], 0o600)
    file.write_text(content)
    assert kept_modules(tmp_path) == []


@pytest.mark.parametrize(
    ("command", "offered"),
    [
        (("exports", "show"), [4, 3, 2, 1]),
        (("exports", "watch"), [1]),
        (("exports", "resume"), [1]),
        (("exports", "cancel"), [1]),
        (("exports", "retry"), [4, 3]),
        (("exports", "download"), [2]),
        (("exports", "verify"), [2]),
        (("logs", "--export"), [4, 3, 2, 1]),
    ],
)
def test_ids_are_those_of_the_exports_that_the_command_is_for(folder, command, offered):
    assert numbers(completed(*command, "20", CRM_EXPORT_TO=str(folder))) == offered


def test_id_is_completed_from_its_beginning_and_explained_where_the_shell_can(folder):
    assert numbers(completed("exports", "show", "--to", folder, "20261123")) == [3]
    words = f"crm-export exports show --to {folder} 20261123"
    asked = {"_CRM_EXPORT_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
    shown = CliRunner().invoke(app, [], env=asked, prog_name="crm-export").stdout
    assert '"20261123T130000Z-0123456789abcdef":"Contacts, FAILED"' in shown


def test_exports_of_a_stack_and_of_an_unknown_place_are_not_offered(folder):
    assert completed("exports", "show", "--to", folder, "--stack", "s", "20") == []
    assert completed("exports", "show", "20") == []


def test_completion_creates_nothing_and_does_not_wait(folder, tmp_path):
    absent = tmp_path / "absent"
    assert completed("exports", "show", "--to", absent, "20") == []
    assert not absent.exists()
    state = folder / ".crm-export" / "state.db"
    with sqlite3.connect(state) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert len(completed("exports", "show", "--to", folder, "20")) == len(STATES)
    writer.close()
    state.write_bytes(b"no database" * 1000)
    assert completed("exports", "show", "--to", folder, "20") == []


def test_values_of_options_are_completed():
    assert completed("export", "--format", "c") == ["csv", "csv.gz"]
    assert completed("page", "contacts", "--output", "t") == ["table"]
    assert "resume" in completed("exports", "r")


def test_commands_have_the_options_of_their_target():
    """`with_target` puts them where the command's parameter `target` is."""
    for command in ("list", "show", "watch", "retry", "cancel", "download", "resume"):
        offered = completed("exports", command, "--")
        assert {"--to", "--stack", "--local", "--state-file", "--account", "--owner", "--json"} <= set(
            offered
        )


@pytest.mark.process
def test_help_and_completion_import_no_client_of_zoho_or_aws():
    """They take twice as long with them."""
    program = "import sys, crm_export_cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "crm_export_cli.main" in imported
    assert not imported & {"requests", "urllib3", "boto3", "pymongo"}
