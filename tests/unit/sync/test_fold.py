"""Folding a chain: the rule against a plain dict, hostile values, later columns, broken chains."""

import csv
import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.hypothesis_profiles  # noqa: F401
from crm_export.errors import ChainBroken, CountMismatch
from crm_export.results.records_csv import read_columns
from crm_export.sync.chain import latest_key
from crm_export.sync.fold import fold, read_chain

HEADER = ("Id", "Modified_Time", "Name")
T0 = datetime(2026, 11, 22, 13, tzinfo=UTC)


@dataclass
class Stored:
    """The objects of a chain in memory, as a sync stores them."""

    objects: dict[str, bytes] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def add(self, rows, deleted=None, header=HEADER, **facts):
        """Add a run: the first one is full, the others have `deleted`, a list of (id, time)."""
        folder = f"exports/account_id=local/module=Contacts/export_id={len(self.runs)}"
        part = {"key": f"{folder}/part-00001.csv", "records": len(rows), "header": list(header)}
        self.objects[part["key"]] = csv_of([header, *rows])
        deletions = deleted and f"{folder}/deleted-00001.csv"
        if deletions:
            self.objects[deletions] = csv_of([("Id", "Deleted_Time", "Type"), *deleted])
        previous = self.runs[-1] if self.runs else None
        sync = {
            "kind": "changes" if self.runs else "full",
            "previous": previous and {"manifest_key": previous, "sha256": self.digest(previous)},
            "deleted_key": deletions or None,
            "window": {"from": None, "to": f"{T0:%Y-%m-%dT%H:%M:%SZ}"},
        }
        self.runs.append(f"{folder}/manifest.json")
        self.write(self.runs[-1], {"parts": [part] if rows else [], "sync": sync | facts})
        self.write(latest_key("local", "Contacts"), {"full": self.runs[0], "changes": self.runs[1:]})

    def write(self, key, document):
        self.objects[key] = json.dumps(document).encode()

    def read_latest(self, key):
        return (json.loads(self.objects[key]), "etag") if key in self.objects else None

    def read_manifest(self, key):
        return json.loads(self.objects[key]) if key in self.objects else None

    def digest(self, key):
        return hashlib.sha256(self.objects[key]).hexdigest()

    def read_columns(self, key, columns):
        return read_columns(io.BytesIO(self.objects[key]), key, columns)

    def folded(self):
        """Return the header and the rows by id."""
        found = fold(self, read_chain(self, "local", "Contacts"))
        rows = [dict(zip(found.header, row, strict=True)) for row in found.rows]
        assert len({row["Id"] for row in rows}) == len(rows)
        return found.header, {row["Id"]: row for row in rows}


def csv_of(rows):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()


def at(second):
    """Return a time, in one of two offsets."""
    moment = T0 + timedelta(seconds=second)
    zone = "+00:00" if second % 2 else "+05:30"
    return (moment + timedelta(minutes=330 if second % 2 == 0 else 0)).strftime(f"%Y-%m-%dT%H:%M:%S{zone}")


# --- the rule ---

IDS = st.sampled_from(["7", "70", "8", "9", "10"])
SECONDS = st.integers(0, 6)
NAMES = st.text(alphabet='a",\r\n😀é;\t\u2028', max_size=4)
ROWS = st.dictionaries(IDS, st.tuples(SECONDS, NAMES))
FULL = st.dictionaries(IDS, st.tuples(st.none() | SECONDS, NAMES))
RUNS = st.lists(st.tuples(ROWS, st.dictionaries(IDS, SECONDS)), max_size=5)


@given(FULL, RUNS)
def test_fold_does_as_a_dict_that_every_run_is_applied_to(full, runs):
    stored, expected = Stored(), dict(full)
    stored.add(rows_of(full))
    for rows, deleted in runs:
        stored.add(
            rows_of(rows), [(record_id, at(second), "recycle") for record_id, second in deleted.items()]
        )
        expected |= rows
        for record_id, second in deleted.items():
            changed = expected.get(record_id, (None, ""))[0]
            if changed is None or changed <= second:
                expected.pop(record_id, None)
    assert stored.folded()[1] == {row[0]: dict(zip(HEADER, row, strict=True)) for row in rows_of(expected)}


def rows_of(rows):
    return [
        (record_id, "" if second is None else at(second), name) for record_id, (second, name) in rows.items()
    ]


def test_row_that_was_modified_after_its_deletion_was_restored():
    stored = Stored()
    stored.add([("1", at(0), "a"), ("2", at(0), "b")])
    stored.add([("1", at(5), "restored")], [("1", at(4), "recycle"), ("2", at(4), "recycle")])
    assert stored.folded()[1] == {"1": {"Id": "1", "Modified_Time": at(5), "Name": "restored"}}


def test_row_that_is_restored_in_a_later_run_is_there_again():
    stored = Stored()
    stored.add([("1", at(0), "a")])
    stored.add([], [("1", at(2), "recycle")])
    assert stored.folded()[1] == {}
    stored.add([("1", at(4), "a")], [("1", at(2), "recycle")])
    assert stored.folded()[1]["1"]["Modified_Time"] == at(4)


def test_rows_of_a_chain_without_modified_time_are_removed_by_every_deletion():
    stored = Stored()
    stored.add([("1", "a"), ("2", "b")], header=("Id", "Name"))
    stored.add([], [("2", at(0), "permanent")])
    assert stored.folded()[1] == {"1": {"Id": "1", "Name": "a"}}


# --- columns ---


def test_columns_that_appear_later_are_appended_and_empty_in_rows_before():
    stored = Stored()
    stored.add([("1", at(0), "a"), ("2", at(0), "b")])
    stored.add([("2", "new", at(1))], header=("Id", "Level", "Modified_Time"))
    header, rows = stored.folded()
    assert header == (*HEADER, "Level")
    assert rows["1"] == {"Id": "1", "Modified_Time": at(0), "Name": "a", "Level": ""}
    assert rows["2"] == {"Id": "2", "Modified_Time": at(1), "Name": "", "Level": "new"}


def test_id_is_the_first_column_wherever_and_however_zoho_writes_it():
    stored = Stored()
    stored.add([("a", at(0), "1")], header=("Name", "Modified_Time", "id"))
    assert stored.folded() == (
        ("Id", "Name", "Modified_Time"),
        {"1": {"Id": "1", "Name": "a", "Modified_Time": at(0)}},
    )


def test_columns_that_differ_in_letter_case_only_are_kept_apart():
    stored = Stored()
    stored.add([("1", at(0), "a", "b")], header=("Id", "Modified_Time", "Level", "level"))
    assert stored.folded()[1]["1"] == {"Id": "1", "Modified_Time": at(0), "Level": "a", "level": "b"}


# --- chains that are not whole ---


def chain_of_two():
    stored = Stored()
    stored.add([("1", at(0), "a")])
    stored.add([("1", at(1), "b")])
    return stored


def test_missing_latest_names_the_module():
    with pytest.raises(ChainBroken, match="no run of a sync of Contacts is complete"):
        Stored().folded()


def test_manifest_that_was_changed_after_the_next_run_breaks_the_chain():
    stored = chain_of_two()
    stored.objects[stored.runs[0]] += b" "
    with pytest.raises(ChainBroken, match="export_id=0/manifest.json was changed"):
        stored.folded()


def test_missing_manifest_breaks_the_chain():
    stored = chain_of_two()
    del stored.objects[stored.runs[0]]
    with pytest.raises(ChainBroken, match="export_id=0/manifest.json, a manifest of the chain, is missing"):
        stored.folded()


@pytest.mark.parametrize("run", [0, 1])
def test_part_with_fewer_rows_than_its_manifest_says_is_refused(run):
    stored = chain_of_two()
    key = stored.runs[run].replace("manifest.json", "part-00001.csv")
    stored.objects[key] = csv_of([HEADER])
    with pytest.raises(CountMismatch, match="has 0 rows; its manifest says 1"):
        stored.folded()
