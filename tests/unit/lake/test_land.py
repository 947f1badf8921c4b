"""Landing exports in the lake of a folder: twice, late, cancelled, interrupted and with hostile content."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from array import array

import duckdb
import pytest

from crm_export import deadline
from crm_export.errors import CountMismatch, ObjectConflict, StepPostponed, StorageUnavailable
from crm_export.lake.land import ids_digest
from crm_export.lake.place import Place
from crm_export.lake.tables import is_full, land_export
from crm_export.results.record_ids import PartIds
from crm_export_cli.folder.lake import FolderLake
from crm_export_cli.folder.locks import Processes

MODULE = "account_id=acct-1/module=Contacts"
FIELDS = [
    {"api_name": "id", "data_type": "bigint"},
    {"api_name": "Last_Name", "data_type": "text"},
    {"api_name": "Amount", "data_type": "currency", "decimal_place": 2},
    {"api_name": "Modified_Time", "data_type": "datetime"},
]
HEADER = ["Id", "Last_Name", "Amount", "Modified_Time"]
TIME = "2024-01-01T10:00:00+01:00"
FIRST, SECOND = "20240101T000000Z-0000000000000001", "20240102T000000Z-0000000000000001"


@pytest.fixture
def lake(tmp_path):
    with Processes(tmp_path / ".crm-export") as processes:
        yield FolderLake(tmp_path, processes)


def rows_from(first, count):
    return [[str(first + number), f'"A", {number}\n😀', "1.50", TIME] for number in range(count)]


def export(lake, export_id=FIRST, parts=None, *, header=HEADER, fields=FIELDS, suffix="csv", **more):
    """Store an export; return the place of its manifest. parts: the rows of each."""
    folder = f"exports/{MODULE}/export_id={export_id}"
    entries = []
    for number, rows in enumerate(parts or [rows_from(10, 3), rows_from(20, 2)], 1):
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\r\n").writerows([header, *rows])
        content = gzip.compress(out.getvalue().encode()) if suffix == "csv.gz" else out.getvalue().encode()
        ids = PartIds.of(array("Q", [int(row[0]) for row in rows]))
        entry = {
            "part": number,
            "key": f"{folder}/part-{number:05}.{suffix}",
            "records": len(rows),
            "bytes": len(content),
            "crc32": f"{zlib.crc32(out.getvalue().encode()):08x}",
            "header": header,
            "ids": ids.to_dict(),
        }
        put(lake, entry["key"], content)
        entries.append(entry)
    manifest = {"file_format": suffix, "query": {}, "fields": fields, "parts": entries, **more}
    put(lake, f"{folder}/manifest.json", json.dumps(manifest).encode())
    return Place.of(f"{folder}/manifest.json")


def put(lake, key, content):
    with lake.write(key) as sink:
        sink.write(content)
        sink.commit()


def change(lake, place, **values):
    manifest = read(lake, place.source)
    put(lake, place.source, json.dumps(manifest | values).encode())


def read(lake, key):
    return json.loads(lake.get(key).content)


def files(lake, folder="lake"):
    """Return content and time of each file."""
    paths = sorted((lake.root / folder).rglob("*"))
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths if path.is_file()}


def shown(lake):
    return lake.get(f"lake/_symlink/{MODULE}/manifest").content.decode().splitlines()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_landed_export_has_all_files_with_their_sizes_hashes_and_rows(suffix, lake):
    place = export(lake, suffix=suffix)
    land_export(lake, place)
    manifest = read(lake, place.manifest_key)
    folder = lake.root / place.folder
    assert {path.name for path in folder.iterdir()} == {
        "part-00001.parquet", "part-00002.parquet", "redshift.manifest", "ddl.sql", "manifest.json",
    }  # fmt: skip
    for file in manifest["files"]:
        content = (lake.root / file["key"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [file["rows"] for file in manifest["files"]] == [3, 2]
    assert (manifest["rows"], manifest["rescued"], manifest["source_manifest"]) == (5, {}, place.source)
    assert manifest["schema"] == [
        {"name": "id", "api_name": "Id", "type": "string"},
        {"name": "last_name", "api_name": "Last_Name", "type": "string"},
        {"name": "amount", "api_name": "Amount", "type": "decimal(28, 2)"},
        {"name": "modified_time", "api_name": "Modified_Time", "type": "timestamp[us, UTC]"},
        {"name": "_rescued", "api_name": "_rescued", "type": "map<string, string>"},
    ]
    digests = [part["ids"]["digest"] for part in read(lake, place.source)["parts"]]
    assert manifest["ids_digest"] == ids_digest(digests)
    assert read(lake, f"{place.folder}/redshift.manifest")["entries"] == [
        {"url": lake.url(file["key"]), "mandatory": True, "meta": {"content_length": file["bytes"]}}
        for file in manifest["files"]
    ]
    assert shown(lake) == [lake.url(file["key"]) for file in manifest["files"]]


def test_rows_of_a_part_are_those_of_its_csv_in_their_order(lake):
    place = export(lake)
    land_export(lake, place)
    rows = duckdb.sql(f"SELECT id, last_name FROM '{lake.root / place.folder}/part-00001.parquet'").fetchall()
    assert rows == [(row[0], row[1]) for row in rows_from(10, 3)]


def test_event_that_arrives_twice_changes_nothing(lake):
    place = export(lake)
    land_export(lake, place)
    before = files(lake)
    land_export(lake, place)
    assert files(lake) == before


def test_event_that_arrives_late_leaves_the_table_at_the_newer_export(lake):
    old, new = export(lake, FIRST), export(lake, SECOND)
    land_export(lake, new)
    expected = shown(lake)
    land_export(lake, old)
    assert shown(lake) == expected
    assert read(lake, old.manifest_key)["rows"] == 5


def test_newer_export_replaces_what_the_table_shows(lake):
    for export_id in (FIRST, SECOND):
        land_export(lake, export(lake, export_id))
        assert all(f"/export_id={export_id}/" in url for url in shown(lake))


@pytest.mark.parametrize("gone", ["manifest", "calendar"])
def test_nothing_is_written_if_the_manifest_is_gone_or_of_a_calendar(gone, lake):
    place = export(lake, file_format="ics") if gone == "calendar" else Place.of(
        f"exports/{MODULE}/export_id={FIRST}/manifest.json"
    )  # fmt: skip
    land_export(lake, place)
    assert not files(lake)


@pytest.mark.parametrize(
    "narrowing",
    [
        {"query": {"criteria": {"api_name": "Amount"}}},
        {"query": {"cvid": "1"}},
        {"query": {"page": 2}},
        {"sync": {"kind": "changes"}},
    ],
)
def test_export_of_some_records_is_landed_but_not_shown_in_the_table(narrowing, lake):
    place = export(lake, **narrowing)
    land_export(lake, place)
    assert read(lake, place.manifest_key)["rows"] == 5
    assert lake.get(place.symlink_key) is None


@pytest.mark.parametrize(
    "query", [None, {}, {"fields": ["Id"]}, {"page": 1}, {"cvid": None, "criteria": None}]
)
def test_export_of_all_records_is_full(query):
    assert is_full({"query": query, "sync": {"kind": "full"}})
    assert is_full({"query": query})


@pytest.mark.parametrize("writes", range(9))
def test_landing_that_dies_after_any_write_is_completed_by_the_next_one(writes, lake):
    """Nine: the schema, two files and what is kept about each, two texts, the manifest, the table."""
    place = export(lake)
    dying = Dying(lake, writes)
    with pytest.raises(StorageUnavailable):
        land_export(dying, place)
    before = files(lake, place.folder)
    assert (lake.get(place.manifest_key) is not None) == (writes == 8)
    land_export(lake, place)
    after = files(lake, place.folder)
    assert all(after[path] == before[path] for path in before if path.stem in dying.finished)
    assert read(lake, place.manifest_key)["rows"] == 5
    assert len(shown(lake)) == 2


class Dying:
    """A LakeStore that fails at the given write, as a worker that is killed leaves it."""

    def __init__(self, lake, writes):
        self._lake, self._left, self.finished = lake, writes, set()
        self.open, self.get, self.url = lake.open, lake.get, lake.url

    def _spend(self):
        if self._left <= 0:
            raise StorageUnavailable("killed")
        self._left -= 1

    def write(self, key):
        self._spend()
        return self._lake.write(key)

    def put_if(self, key, content, version):
        self._spend()
        if "/_progress/" in key:
            self.finished.add(key.rpartition("/")[2].partition(".")[0])
        return self._lake.put_if(key, content, version)


def test_landing_pauses_between_parts_when_the_time_is_over_and_continues(lake):
    place = export(lake)
    with deadline.ends_in(10), pytest.raises(StepPostponed) as paused:
        land_export(lake, place)
    assert paused.value.retryable
    assert lake.get(place.manifest_key) is None
    first = files(lake, place.folder)
    assert [path.name for path in first] == ["part-00001.parquet"]
    land_export(lake, place)
    assert files(lake, place.folder).items() >= first.items()
    assert read(lake, place.manifest_key)["rows"] == 5


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"records": 4}, CountMismatch),
        ({"ids": PartIds.of(array("Q", [1, 2, 3])).to_dict()}, ObjectConflict),
    ],
)
def test_part_that_is_not_what_the_manifest_says_is_not_landed(wrong, error, lake):
    place = export(lake)
    (first, second) = read(lake, place.source)["parts"]
    change(lake, place, parts=[first | wrong, second])
    with pytest.raises(error):
        land_export(lake, place)
    assert not files(lake, place.folder)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_part_that_was_cut_within_its_last_cell_is_not_landed(suffix, lake):
    place = export(lake, suffix=suffix)
    key = read(lake, place.source)["parts"][1]["key"]
    content = lake.get(key).content
    cut = gzip.compress(gzip.decompress(content)[:-3]) if suffix == "csv.gz" else content[:-3]
    put(lake, key, cut)
    with pytest.raises(ObjectConflict, match="has the CRC32"):
        land_export(lake, place)
    assert lake.get(place.manifest_key) is None


def test_ids_that_are_not_known_are_not_compared(lake):
    place = export(lake)
    parts = [part | {"ids": None} for part in read(lake, place.source)["parts"]]
    change(lake, place, parts=parts)
    land_export(lake, place)
    assert read(lake, place.manifest_key)["rows"] == 5


def test_ragged_part_is_landed_without_loss(lake):
    place = export(lake, parts=[[["1", "x", "1.5", TIME, "more"], ["2"], ["3", "y", "€5", "soon"]]])
    land_export(lake, place)
    assert read(lake, place.manifest_key)["rescued"] == {"column 5": 1, "amount": 1, "modified_time": 1}
    rows = duckdb.sql(
        f"SELECT id, last_name, _rescued FROM '{lake.root / place.folder}/*.parquet'"
    ).fetchall()
    assert rows == [
        ("1", "x", {"column 5": "more"}),
        ("2", None, None),
        ("3", "y", {"Amount": "€5", "Modified_Time": "soon"}),
    ]


def test_export_without_records_and_header_has_the_columns_of_its_fields(lake):
    place = export(lake, parts=[[]], header=[])
    (part,) = read(lake, place.source)["parts"]
    put(lake, part["key"], b"")
    change(lake, place, parts=[part | {"crc32": "00000000"}])
    land_export(lake, place)
    manifest = read(lake, place.manifest_key)
    assert [column["name"] for column in manifest["schema"]][:-1] == [name.lower() for name in HEADER]
    assert manifest["rows"] == 0


def test_new_fields_are_appended_to_the_table_and_removed_ones_stay(lake):
    land_export(lake, export(lake))
    header = ["Id", "New", "Amount"]
    place = export(lake, SECOND, [[["1", "x", "2"]]], header=header)
    land_export(lake, place)
    manifest = read(lake, place.manifest_key)
    assert [column["name"] for column in manifest["schema"]] == ["id", "new", "amount", "_rescued"]
    names = ["id", "last_name", "amount", "modified_time", "new", "_rescued"]
    assert [column["name"] for column in manifest["table"]] == names
    ddl = lake.get(f"{place.folder}/ddl.sql").content.decode()
    assert [line.split("`")[1] for line in ddl.splitlines() if line.startswith("  `")] == names


def test_names_are_those_of_the_first_attempt_after_another_export_was_landed(lake):
    place = export(
        lake, SECOND, [[["1", "x", "y"]], [["2", "x", "y"]]], header=["Id", "A.b", "A_b"], fields=None
    )
    with deadline.ends_in(10), pytest.raises(StepPostponed):
        land_export(lake, place)
    land_export(lake, export(lake, FIRST, [[["1", "y"]]], header=["Id", "A_b"], fields=None))
    land_export(lake, place)
    columns = {item["api_name"]: item["name"] for item in read(lake, place.manifest_key)["schema"]}
    assert (columns["A.b"], columns["A_b"]) == ("a_b", "a_b_2")


@pytest.mark.parametrize(
    "key",
    [
        "exports/account_id=a/module=Contacts/export_id=1/part-00001.csv",
        "lake/account_id=a/module=Contacts/export_id=1/manifest.json",
        "exports/manifest.json",
        "exports/account_id=a/module=Contacts/export_id=1/x/manifest.json",
    ],
)
def test_key_that_is_not_that_of_an_export_s_manifest_has_no_place(key):
    assert Place.of(key) is None


def change_run(lake, export_id, previous, rows, *, deleted=(), generation=1):
    key = previous.source.replace(previous.export_id, export_id)
    key = key.replace("manifest.json", f"deleted-{generation:05}.csv")
    link = {"manifest_key": previous.source}
    sync = {
        "kind": "changes",
        "previous": link,
        "deleted": len(deleted),
        "deleted_key": deleted and key or None,
    }
    place = export(lake, export_id, [rows], sync=sync)
    lines = ["Id,Deleted_Time,Type", *(f"{record},{TIME},recycle" for record in deleted)]
    put(lake, key, "\r\n".join(lines).encode())
    return place


def shown_changes(lake, place):
    found = lake.get(place.changes_key)
    return [url.split("export_id=")[1] for url in found.content.decode().splitlines()] if found else []


def test_changes_are_landed_with_their_operation_and_moment_and_with_the_deletions(lake):
    full = export(lake)
    run = change_run(lake, SECOND, full, rows_from(10, 2), deleted=["20", "21", "20"])
    land_export(lake, run)
    rows = duckdb.sql(
        "SET TimeZone = 'UTC'; SELECT id, amount, _op, _modified_time::TEXT, _rescued "
        f"FROM '{lake.root / run.folder}/*.parquet' ORDER BY _op DESC, id"
    ).fetchall()
    moment = "2024-01-01 09:00:00+00"
    assert [row[:1] + row[2:] for row in rows] == [
        ("10", "U", moment, None),
        ("11", "U", moment, None),
        ("20", "D", moment, None),
        ("20", "D", moment, None),
        ("21", "D", moment, None),
    ]
    manifest = read(lake, run.manifest_key)
    assert [column["name"] for column in manifest["schema"]][-4:] == [
        "_op", "_modified_time", "_run", "_rescued"
    ]  # fmt: skip
    assert "_changes" in lake.get(f"{run.folder}/ddl.sql").content.decode()
    assert manifest["ids_digest"] == ids_digest([read(lake, run.source)["parts"][0]["ids"]["digest"]])


def test_deletions_of_a_run_that_was_restarted_are_landed(lake):
    run = change_run(lake, SECOND, export(lake), rows_from(10, 1), deleted=["20"], generation=2)
    land_export(lake, run)
    assert [file["key"].rpartition("/")[2] for file in read(lake, run.manifest_key)["files"]] == [
        "part-00001.parquet",
        "deleted-00002.parquet",
    ]


THIRD, FOURTH = "20240103T000000Z-0000000000000001", "20240104T000000Z-0000000000000001"


def test_table_of_changes_shows_the_runs_since_the_last_full_one_in_their_order(lake):
    full = export(lake)
    second = change_run(lake, SECOND, full, rows_from(10, 1))
    third = change_run(lake, THIRD, second, rows_from(11, 1), deleted=["20"])
    land_export(lake, third)  # the events came in the wrong order, or LakeOutput was off before
    part = "/part-00001.parquet"
    expected = [SECOND + part, THIRD + part, f"{THIRD}/deleted-00001.parquet"]
    assert shown_changes(lake, third) == expected
    before = files(lake)
    land_export(lake, second)
    land_export(lake, third)
    assert files(lake) == before
    fourth = change_run(lake, FOURTH, third, rows_from(12, 1))
    land_export(lake, fourth)
    assert shown_changes(lake, fourth) == [*expected, FOURTH + part]


def test_table_of_changes_begins_anew_after_a_full_run(lake):
    second = change_run(lake, SECOND, export(lake), rows_from(10, 1))
    land_export(lake, second)
    full = export(lake, THIRD, sync={"kind": "full", "previous": {"manifest_key": second.source}})
    land_export(lake, full)
    fourth = change_run(lake, FOURTH, full, rows_from(12, 1))
    land_export(lake, fourth)
    assert shown_changes(lake, fourth) == [f"{THIRD}/no-changes.parquet", f"{FOURTH}/part-00001.parquet"]
