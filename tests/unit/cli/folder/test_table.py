"""SqliteExportTable: the contract of ExportTable, and what only a folder has."""

import json
from dataclasses import replace

import pytest

from crm_export.exports.model import PartState
from crm_export_cli.exits import CliError
from crm_export_cli.folder.database import Database
from crm_export_cli.folder.errors import FolderFull
from crm_export_cli.folder.locks import Processes
from crm_export_cli.folder.table import SqliteExportTable
from tests.unit.exports.test_export_table import (
    FULL_EXPORT,
    FULL_PART,
    SMALLEST_EXPORT,
    SMALLEST_PART,
)
from tests.unit.exports.test_table_contract import *  # noqa: F403
from tests.unit.exports.test_table_contract import T0, T1, T2, T9, part_of, submitted

# The sizes of DynamoDB's items: SQLite has no such limit.
del test_export_of_256_kb_is_written_and_one_byte_more_is_refused  # noqa: F821
del test_largest_export_has_room_for_what_later_writes_add  # noqa: F821
del test_item_larger_than_400_kb_is_not_written  # noqa: F821


@pytest.fixture
def table(database, processes):
    return SqliteExportTable(database, processes)


@pytest.fixture
def other(database, state):
    """The table as another process has it, and that process."""
    with Processes(state / "processes") as process:
        yield SqliteExportTable(database, process), process


@pytest.mark.parametrize("export", [SMALLEST_EXPORT, FULL_EXPORT], ids=["smallest", "full"])
@pytest.mark.parametrize("part", [SMALLEST_PART, FULL_PART], ids=["smallest", "full"])
def test_export_and_part_are_read_back_with_every_field(table, export, part):
    table.create(export, part)
    assert table.get(export.export_id) == export
    assert table.get_part(export.export_id, part.part) == part


def test_fields_of_a_later_version_are_ignored(table, database, export):
    body = json.loads(database.rows("SELECT body FROM exports")[0][0])
    database.execute("UPDATE exports SET body = ?", json.dumps(body | {"news": 1}))
    assert table.get(export.export_id) == export


def test_lease_of_a_dead_process_is_taken_over_before_it_expires(table, other, export):
    theirs, process = other
    assert theirs.claim(part_of(table, export), "a", T0, T9)
    assert not table.claim(part_of(table, export), "b", T1, T9)
    process.close()
    assert table.claim(part_of(table, export), "b", T1, T9)
    part = part_of(table, export)
    assert (part.lease_owner, part.dead_owners) == ("b", frozenset())
    assert not theirs.renew(part, "a", T9)


def test_owner_of_a_lease_that_expired_counts_as_dead_only_while_its_process_lives(table, other, export):
    theirs, process = other
    assert theirs.claim(part_of(table, export), "a", T0, T1)
    assert table.claim(part_of(table, export), "b", T2, T2)
    assert part_of(table, export).dead_owners == {"a"}
    assert theirs.claim(part_of(table, export), "c", T9, T9)
    process.close()
    assert table.claim(part_of(table, export), "d", T9, T9)
    assert part_of(table, export).dead_owners == {"a", "b"}


def test_pause_that_zoho_asked_for_outlasts_the_process_that_noted_it(table, other, export):
    theirs, process = other
    part = part_of(table, export)
    assert theirs.claim(part, "a", T0, T2)
    assert theirs.release(part, "a", T0, not_before=T2, asked=True)
    process.close()
    assert not table.claim(part_of(table, export), "b", T1, T9)
    assert table.claim(part_of(table, export), "b", T2, T9)


def test_unfinished_parts_are_those_of_the_generation_that_are_not_stored(table, processes, export):
    assert table.claim(part_of(table, export), "a", T0, T9)
    ((part, process),) = table.unfinished_parts(export)
    assert (part.lease_owner, process) == ("a", processes.own)
    submitted(table, export)
    ((part, process),) = table.unfinished_parts(export)
    assert (part.state, process) == (PartState.SUBMITTED, None)
    assert table.unfinished_parts(replace(export, first_part=2)) == []


def test_last_part_is_unfinished_if_all_are_stored(table, export):
    stored = replace(part_of(table, export), state=PartState.STORED)
    last = replace(stored, part=2)
    table.create(export, stored)
    table.create(export, last)
    assert table.unfinished_parts(export) == [(last, None)]


# --- the file ---


def test_file_is_readable_by_its_owner_only(database, state):
    database.execute("REPLACE INTO position VALUES ('a', 'b')")
    assert {path.name: path.stat().st_mode & 0o777 for path in state.iterdir()} == {
        "state.db": 0o600,
        "state.db-wal": 0o600,
        "state.db-shm": 0o600,
    }


def test_file_of_a_later_version_is_refused(database, state):
    database.execute("PRAGMA user_version = 99")
    with pytest.raises(CliError, match="state.db is of a later version"):
        Database(state / "state.db")


def test_full_disk_is_reported_as_such_and_nothing_is_half_written(table, database, export):
    (pages,) = database.rows("PRAGMA page_count")[0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(FolderFull, match="There is no space left"):
        table.amend(export, fields=["x" * 100_000])
    assert table.get(export.export_id) == export
    database.rows("PRAGMA max_page_count = 1000000")
    assert table.amend(export, fields=["x" * 100_000])
