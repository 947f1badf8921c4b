"""The texts for engines. The queries run in DuckDB, whose dialect they share; the DDL is Athena's."""

import re
from datetime import UTC, datetime

import duckdb
import pytest
import sqlglot
from sqlglot import ErrorLevel, exp

from crm_export.lake import catalog
from crm_export.lake.schema import RESCUED_COLUMN, columns_of, with_ours

FIELDS = [
    {"api_name": "Name", "data_type": "text"},
    {"api_name": "Amount", "data_type": "currency", "decimal_place": 3},
    {"api_name": "Visits", "data_type": "integer"},
    {"api_name": "Rate", "data_type": "double"},
    {"api_name": "Ok", "data_type": "boolean"},
    {"api_name": "Day", "data_type": "date"},
    {"api_name": "Modified_Time", "data_type": "datetime"},
]
COLUMNS = columns_of(["Id", *(field["api_name"] for field in FIELDS)], FIELDS)
SMALL = columns_of(["Id", "Name", "Modified_Time"], FIELDS)


def test_ddl_has_athena_s_type_for_each_column():
    ddl = catalog.full_ddl("contacts", [*COLUMNS, RESCUED_COLUMN], "s3://b/lake/_symlink/x/")
    assert re.findall(r"^  `(\w+)` (\S+?),?$", ddl, re.MULTILINE) == [
        ("id", "string"),
        ("name", "string"),
        ("amount", "decimal(28,3)"),
        ("visits", "bigint"),
        ("rate", "double"),
        ("ok", "boolean"),
        ("day", "date"),
        ("modified_time", "timestamp"),
        ("_rescued", "map<string,string>"),
    ]
    assert "SymlinkTextInputFormat" in ddl
    assert ddl.endswith("LOCATION 's3://b/lake/_symlink/x/';\n")


@pytest.mark.parametrize("module", ["Contacts", "Price_Books", "Größen & Farben", 'x"; DROP TABLE y; --`'])
def test_name_of_a_table_needs_no_quotes(module):
    assert re.fullmatch("[a-z0-9_]+", catalog.table_name(module))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a-b", "C"), ("a_b", "C")),
        (("a", "b_C"), ("a_b", "C")),
        (("A", "C"), ("a", "C")),
        (("a", "Ü"), ("a", "Ä")),
    ],
)
def test_tables_of_different_accounts_or_modules_have_different_names(one, other):
    names = {catalog.table_of_account(*one), catalog.table_of_account(*other)}
    assert len(names) == 2
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)


def at(minute):
    return datetime(2024, 1, 1, 10, minute, tzinfo=UTC)


EARLIER = datetime(2023, 1, 1, tzinfo=UTC)
# What is in the full export, what changed (op, id, when, name, run), and the records that there are then.
FULL = [("1", "a", at(0)), ("2", "b", at(0)), ("3", "c", at(0))]
FOLDS = {
    "nothing": ([], FULL),
    "update": ([("U", "2", at(5), "B")], [FULL[0], ("2", "B", at(5)), FULL[2]]),
    "insert": ([("U", "4", at(5), "d")], [*FULL, ("4", "d", at(5))]),
    "delete": ([("D", "2", at(5), None)], [FULL[0], FULL[2]]),
    "the last of two updates": (
        [("U", "2", at(5), "old"), ("U", "2", at(6), "new")],
        [FULL[0], ("2", "new", at(6)), FULL[2]],
    ),
    "update, then delete": ([("U", "2", at(5), "B"), ("D", "2", at(6), None)], [FULL[0], FULL[2]]),
    "delete at the moment of the update": (
        [("U", "2", at(5), "B", "1"), ("D", "2", at(5), None, "1")],
        [FULL[0], FULL[2]],
    ),
    "delete, then restore": (
        [("D", "2", at(5), None), ("U", "2", at(6), "B")],
        [FULL[0], ("2", "B", at(6)), FULL[2]],
    ),
    "restored with the time it had, as a later run reads it": (
        [("D", "2", at(5), None), ("U", "2", at(0), "B")],
        [FULL[0], ("2", "B", at(0)), FULL[2]],
    ),
    "delete of an earlier time, which a later run still reads": (
        [("U", "2", at(6), "B"), ("D", "2", at(5), None)],
        [FULL[0], ("2", "B", at(6)), FULL[2]],
    ),
    "deletion before the record of the full export was restored": ([("D", "2", EARLIER, None)], FULL),
    "change from before the full export": ([("U", "2", EARLIER, "old")], FULL),
    "delete of a record that the full export lacks": ([("D", "9", at(5), None)], FULL),
}  # fmt: skip


@pytest.fixture(params=FOLDS)
def folded(request):
    changes, expected = FOLDS[request.param]
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for table in ("contacts", "contacts_iceberg"):
            engine.execute(
                f"CREATE TABLE {table} "
                "(id TEXT, name TEXT, modified_time TIMESTAMPTZ, _rescued MAP(TEXT, TEXT))"
            )
            engine.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, NULL)", FULL)
        engine.execute(
            "CREATE TABLE contacts_changes (id TEXT, name TEXT, modified_time TIMESTAMPTZ, _op TEXT, "
            "_modified_time TIMESTAMPTZ, _run TEXT, _rescued MAP(TEXT, TEXT))"
        )
        for number, (op, record, moment, name, *run) in enumerate(changes):
            modified = moment if op == "U" else None
            row = [record, name, modified, op, moment, *(run or [str(number)])]
            engine.execute("INSERT INTO contacts_changes VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
        yield engine, expected


SCHEMA = with_ours(SMALL, is_change=True)


def test_view_shows_the_current_records(folded):
    engine, expected = folded
    engine.execute(catalog.current_view("contacts", SCHEMA))
    query = "SELECT id, name, modified_time FROM contacts_current ORDER BY id"
    assert engine.execute(query).fetchall() == expected


def test_merge_makes_the_current_records_and_does_so_once(folded):
    engine, expected = folded
    for _ in range(2):
        engine.execute(catalog.iceberg_merge("contacts", SCHEMA))
        query = "SELECT id, name, modified_time FROM contacts_iceberg ORDER BY id"
        assert engine.execute(query).fetchall() == expected


def test_ddl_of_changes_has_the_columns_of_a_change_before_rescued():
    ddl = catalog.changes_ddl("contacts", SCHEMA, "s3://b/lake/_symlink_changes/x/")
    names = re.findall(r"^  `(\w+)`", ddl, re.MULTILINE)
    assert names == ["id", "name", "modified_time", "_op", "_modified_time", "_run", "_rescued"]


# --- Athena's own grammar, as sqlglot has it: https://github.com/tobymao/sqlglot ---

LOCATION = "s3://b/lake/_symlink/account_id=a/module=Contacts/"


def parsed(ddl):
    """Return the statements of a DDL in Athena's grammar; one that sqlglot does not know is an error."""
    trees = [tree for tree in sqlglot.parse(ddl, dialect="athena", error_level=ErrorLevel.RAISE) if tree]
    assert not any(isinstance(tree, exp.Command) for tree in trees), ddl
    return trees


def test_ddl_of_tables_is_read_by_athenas_grammar():
    columns = with_ours(SMALL, is_change=False)
    (table,) = parsed(catalog.full_ddl("contacts", columns, LOCATION))
    assert [column.name for column in table.find_all(exp.ColumnDef)] == [one.name for one in columns]
    kinds = [type(tree) for tree in parsed(catalog.changes_ddl("contacts", SCHEMA, LOCATION))]
    assert kinds == [exp.Create, exp.Create, exp.Merge]


def test_view_and_merge_translated_from_athena_fold_as_they_must(folded):
    engine, expected = folded
    ddl = catalog.current_view("contacts", SCHEMA) + catalog.iceberg_merge("contacts", SCHEMA)
    for tree in parsed(ddl):
        engine.execute(tree.sql(dialect="duckdb"))
    for table in ("contacts_current", "contacts_iceberg"):
        query = f"SELECT id, name, modified_time FROM {table} ORDER BY id"
        assert engine.execute(query).fetchall() == expected
