"""The simulation catches syncs that are broken on purpose: each loses rows in a way of its own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crm_export.aws.sync_table import DynamoSyncTable
from crm_export.exports.model import Export
from crm_export.exports.runs import Run
from crm_export.sync import compare, finish, fold, run, window
from crm_export.sync.finish import RunEnds
from crm_export.zoho import changes
from crm_export.zoho.changes import Changes
from simulation.sync_plan import DAY, HOUR
from simulation.sync_world import run_syncs

SEEDS = 12


def with_times_that_are_compared_as_strings(patch):
    right = changes._deleted

    def deleted(module, row):
        local = datetime.fromisoformat(row["deleted_time"]).replace(tzinfo=UTC)
        return replace(right(module, row), deleted_time=local)

    patch.setattr(changes, "_deleted", deleted)


def with_our_own_clock(patch):
    right = Changes.probe

    def probe(self, *given):
        return replace(right(self, *given), at=self._client.system.now().replace(microsecond=0))

    patch.setattr(Changes, "probe", probe)


def _with_windows_that_begin(patch, begin):
    def window_from(sync, lag):
        return None if sync.watermark is None else begin(sync)

    patch.setattr(run, "window_from", window_from)
    patch.setattr(window, "window_from", window_from)


def without_overlap(patch):
    _with_windows_that_begin(patch, lambda sync: sync.watermark)


def with_windows_that_begin_a_second_after_the_last(patch):
    _with_windows_that_begin(patch, lambda sync: sync.watermark + timedelta(seconds=1))


def with_windows_that_end(patch):
    right = Export.job_query.fget

    def job_query(self):
        query = right(self)
        if self.sync is None or self.sync.reads_from is None:
            return query
        ends = self.sync.watermark.isoformat(timespec="seconds")
        end = {"field": {"api_name": "Modified_Time"}, "comparator": "less_equal", "value": ends}
        return {**query, "criteria": {"group_operator": "and", "group": [query["criteria"], end]}}

    patch.setattr(Export, "job_query", property(job_query))


def with_a_watermark_that_moves_before_the_files_are_stored(patch):
    right = DynamoSyncTable.start_run
    patch.setattr(
        DynamoSyncTable,
        "start_run",
        lambda self, export, first, sync: right(
            self, export, first, replace(sync, watermark=export.sync.watermark)
        ),
    )


def with_deletions_that_are_read_before_the_rows(patch):
    probe, deletions, early = Changes.probe, Changes.deletions, {}

    def probe_and_read(self, version, module, since):
        if since is not None:
            early[module] = deletions(self, version, module, since)
        return probe(self, version, module, since)

    patch.setattr(Changes, "probe", probe_and_read)
    patch.setattr(
        Changes,
        "deletions",
        lambda self, version, module, since: early.get(module) or deletions(self, version, module, since),
    )


def with_deletions_that_are_read_once(patch):
    patch.setattr(changes, "_fingerprint", lambda found: None)  # the first pass agrees with no pass


def without_converted_leads(patch):
    patch.setattr(changes, "list_parameters", lambda module: {})


def with_audits_that_select_by_modified_time(patch):
    right = Run.reads_from.fget
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    patch.setattr(Run, "reads_from", property(lambda self: right(self) or long_ago))


def with_audits_that_trust_modified_time(patch):
    right = compare._Found._note

    def note(self, found):
        if found.chain is None or found.new is None:
            right(self, found)

    patch.setattr(compare._Found, "_note", note)


def with_restored_rows_that_stay_deleted(patch):
    right = fold._Changed.put

    def put(self, row):
        query = "SELECT 1 FROM changed WHERE id = ? AND deleted IS NOT NULL"
        if self._database.execute(query, (row[0],)).fetchone() is None:
            right(self, row)

    patch.setattr(fold._Changed, "put", put)


def without_the_history_of_new_fields(patch):
    patch.setattr(finish, "_signature", lambda *given: None)
    patch.setattr(finish, "_has_new_column", lambda *given: False)


def with_a_baseline_that_ends_after_its_own_cutoff(patch):
    right = RunEnds.find

    def find(self, pipeline, *given):
        return replace(right(self, pipeline, *given), watermark=pipeline.clock().replace(microsecond=0))

    patch.setattr(RunEnds, "find", find)


def with_syncs_that_spend_what_is_left(patch):
    patch.setattr(run, "check_share", lambda *given: None)


PLAN = {
    "modules": ("Vendors",), "accounts": 1, "every": "6h", "full_every": "never", "seconds": 1.5 * DAY,
    "overlap": 0, "lag": 0, "delays": (0.0,), "gap": HOUR / 2, "busy": 1.0, "skew": 0.0, "pause": 0.0,
    "ghosts": 0.0, "credits": 1_000_000, "offsets": (),
}  # fmt: skip
_GROWING = {"create": 3.0, "delete": 1.0, "restore": 1.0}
# What is played while the defect is there.
MUTANTS = {
    with_times_that_are_compared_as_strings: {"life": _GROWING, "offsets": ((-400 * DAY, -300.0),)},
    with_our_own_clock: {"life": {"modify": 1.0}, "skew": -240.0},
    without_overlap: {
        "life": {"modify": 1.0},
        "overlap": 15,
        "lag": 5,
        "delays": (0.0, 1100.0),
        "every": "15m",
        "seconds": DAY / 2,
    },
    with_windows_that_begin_a_second_after_the_last: {
        "life": {"modify": 1.0},
        "every": "1h",
        "gap": 8 * HOUR,
        "busy": 0.5,
    },
    with_windows_that_end: {"life": {"mass update": 1.0}},
    with_a_watermark_that_moves_before_the_files_are_stored: {"life": {"modify": 1.0}},
    with_deletions_that_are_read_before_the_rows: {"life": {"create": 1.0, "delete": 1.0}},
    with_deletions_that_are_read_once: {
        "life": {"create": 4.0, "delete": 4.0, "restore without a new time": 1.0},
        "gap": HOUR / 6,
        "every": "3h",
        "seconds": DAY,
    },
    without_converted_leads: {"life": {"convert": 1.0}, "modules": ("Leads",), "gap": 4 * HOUR, "busy": 0.0},
    with_audits_that_select_by_modified_time: {"life": {"create without a time": 1.0}, "full_every": "1d"},
    with_audits_that_trust_modified_time: {"life": {"drift": 1.0}, "modules": ("Deals",), "full_every": "1d"},
    with_restored_rows_that_stay_deleted: {"life": {"delete": 1.0, "restore": 1.0}},
    without_the_history_of_new_fields: {"life": {"modify": 1.0, "new field": 1.0}},
    with_a_baseline_that_ends_after_its_own_cutoff: {"life": {"modify": 1.0}},
    with_syncs_that_spend_what_is_left: {"life": {"modify": 1.0}, "every": "1h", "credits": 2_000},
}


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_broken_sync_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    plan = PLAN | MUTANTS[mutate]
    outcomes = (run_syncs(seed, only={}, **plan) for seed in range(1, SEEDS + 1))
    assert next((outcome for outcome in outcomes if outcome.broken), None) is not None


SAMPLE = [
    with_times_that_are_compared_as_strings,
    without_overlap,
    with_windows_that_begin_a_second_after_the_last,
    with_windows_that_end,
    with_syncs_that_spend_what_is_left,
    with_deletions_that_are_read_once,
    with_restored_rows_that_stay_deleted,
]


@pytest.mark.parametrize("mutate", SAMPLE, ids=lambda mutate: mutate.__name__)
def test_right_sync_passes_where_a_broken_one_is_caught(mutate):
    assert run_syncs(1, only={}, **PLAN | MUTANTS[mutate]).broken == []
