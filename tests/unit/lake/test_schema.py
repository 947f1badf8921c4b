"""The names and types of columns."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_export.lake.schema import RESCUED_COLUMN, Column, columns_of, type_of, union

API_NAMES = st.lists(
    st.text("aAbB_.2$é-", min_size=1, max_size=4) | st.sampled_from(["_rescued", "_op", "Id"])
)


def names_of(header, table=()):
    return [column.name for column in columns_of(header, None, table)]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (["Id", "Last_Name"], ["id", "last_name"]),
        (["Owner.last_name"], ["owner_last_name"]),
        (["A.b", "A_B", "a_b"], ["a_b", "a_b_2", "a_b_3"]),
        (["A", "a", "A_2"], ["a", "a_2", "a_2_2"]),
        (["$converted", "Größe"], ["_converted", "gr__e"]),
        (["_rescued", "_Op", "_modified_time"], ["_rescued_2", "_op_2", "_modified_time_2"]),
    ],
)  # fmt: skip
def test_name_is_lower_case_without_dots_and_has_a_number_if_it_is_taken(header, names):
    assert names_of(header) == names


@settings(deadline=None)
@given(API_NAMES)
def test_names_of_any_header_are_different_and_need_no_quotes(header):
    columns = columns_of(header, None)
    names = [column.name for column in columns]
    assert len({*names, "_rescued", "_op", "_modified_time"}) == len(names) + 3
    assert all(name.isascii() and name == name.lower() and name.replace("_", "a").isalnum() for name in names)
    assert [column.api_name for column in columns] == header


@settings(deadline=None)
@given(API_NAMES, API_NAMES)
def test_name_of_a_field_stays_when_a_later_export_has_other_fields(before, after):
    table = columns_of(list(dict.fromkeys(before)), None)
    later = columns_of(list(dict.fromkeys(after)), None, table)
    known = {column.api_name: column.name for column in table}
    assert all(known.get(column.api_name, column.name) == column.name for column in later)
    merged = union(table, later)
    assert merged[: len(table)] == table
    assert len({column.name for column in merged}) == len(merged)


def test_column_whose_type_has_changed_has_the_new_type_in_its_old_place():
    table = [Column("a", "A", "string"), Column("b", "B", "string")]
    assert union(table, [Column("a", "A", "int64")]) == [
        Column("a", "A", "int64"),
        Column("b", "B", "string"),
    ]


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ({"data_type": "text"}, "string"),
        ({"data_type": "ownerlookup"}, "string"),
        ({"data_type": "bigint", "json_type": "string"}, "int64"),
        ({"data_type": "integer"}, "int64"),
        ({"data_type": "double"}, "double"),
        ({"data_type": "percent"}, "double"),
        ({"data_type": "currency", "decimal_place": None}, "decimal(28, 2)"),
        ({"data_type": "currency", "decimal_place": 5}, "decimal(28, 5)"),
        ({"data_type": "boolean"}, "bool"),
        ({"data_type": "date"}, "date32"),
        ({"data_type": "datetime"}, "timestamp[us, UTC]"),
        ({"data_type": "formula", "return_type": "currency", "decimal_place": 3}, "decimal(28, 3)"),
        ({"data_type": "formula", "return_type": "datetime"}, "timestamp[us, UTC]"),
        ({"data_type": "formula", "return_type": None}, "string"),
        ({"data_type": "rollup_summary", "return_type": "integer"}, "int64"),
        ({"data_type": "subform"}, "string"),
        ({}, "string"),
    ],
)
def test_type_of_a_field_is_that_of_its_values(field, kind):
    assert type_of(field) == kind


def test_column_without_metadata_is_a_string():
    fields = [{"api_name": "B", "data_type": "integer"}]
    assert [column.type for column in columns_of(["Id", "A", "B"], None)] == ["string"] * 3
    assert [column.type for column in columns_of(["Id", "A", "B"], fields)] == ["string", "string", "int64"]


@pytest.mark.parametrize("name", ["Id", "id"])
def test_id_is_a_string_as_lookups_are(name):
    fields = [{"api_name": name, "data_type": "bigint"}]
    assert [column.type for column in columns_of([name], fields)] == ["string"]


def test_column_is_the_same_after_its_way_through_json():
    assert Column.from_dict(json.loads(json.dumps(RESCUED_COLUMN.to_dict()))) == RESCUED_COLUMN
