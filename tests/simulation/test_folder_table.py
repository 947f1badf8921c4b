"""The pipeline under seeded faults with its state in SQLite, as a folder has it."""

from dataclasses import replace

import pytest

from crm_export_cli.folder.table import SqliteExportTable
from simulation.world import run


@pytest.mark.parametrize("first", range(1, 121, 40))
def test_no_record_is_lost_with_the_state_in_sqlite(first):
    for seed in range(first, first + 40):
        outcome = run(seed, sqlite=True)
        assert not outcome.broken, f"python -m simulation --sqlite --seed {seed} --trace: {outcome.broken}"


def test_seed_replays_the_same_run_with_the_state_in_sqlite():
    assert [run(seed, sqlite=True) for seed in range(1, 6)] == [
        run(seed, sqlite=True) for seed in range(1, 6)
    ]


def without_leases(patch):
    patch.setattr(SqliteExportTable, "claim", lambda self, part, *given: part)
    patch.setattr(SqliteExportTable, "renew", lambda self, *given: True)


def without_the_next_part(patch):
    right = SqliteExportTable.mark_ready
    patch.setattr(
        SqliteExportTable,
        "mark_ready",
        lambda self, export, part, job, now: right(self, export, part, replace(job, more_records=False), now),
    )


@pytest.mark.parametrize(
    "mutate", [without_leases, without_the_next_part], ids=lambda mutate: mutate.__name__
)
def test_broken_table_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    assert any(run(seed, sqlite=True).broken for seed in range(1, 101))
