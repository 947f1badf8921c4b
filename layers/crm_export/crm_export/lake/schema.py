"""The columns of an export in the lake: their names and types, from the fields in the export's manifest.

https://www.zoho.com/crm/developer/docs/api/v8/field-meta.html
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

STRING, INT64, DOUBLE, BOOL = "string", "int64", "double", "bool"
DATE, TIMESTAMP = "date32", "timestamp[us, UTC]"
MAP = "map<string, string>"
PRECISION, _LEAST_SCALE = 28, 2  # of decimal columns
_DECIMAL = re.compile(r"decimal\(28, ([0-9]+)\)")

UPDATED, DELETED = "U", "D"  # values of the column _op
RESCUED, OP, MODIFIED_TIME, RUN = "_rescued", "_op", "_modified_time", "_run"
_TYPES = {
    "bigint": INT64,
    "integer": INT64,
    "double": DOUBLE,
    "percent": DOUBLE,
    "boolean": BOOL,
    "date": DATE,
    "datetime": TIMESTAMP,
}
_COMPUTED = {"formula", "rollup_summary"}  # their values have the type that Zoho calls return_type
_NOT_IN_A_NAME = re.compile("[^a-z0-9_]")


@dataclass(frozen=True)
class Column:
    """A column: its name in the lake, the API name of its field, and its type, such as `decimal(28, 2)`."""

    name: str
    api_name: str
    type: str

    def to_dict(self) -> dict[str, str]:
        """Return the column as the lake's manifest has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> Self:
        """Return the column that `to_dict` described."""
        return cls(values["name"], values["api_name"], values["type"])


RESCUED_COLUMN = Column(RESCUED, RESCUED, MAP)
CHANGE_COLUMNS = (
    Column(OP, OP, STRING), Column(MODIFIED_TIME, "Modified_Time", TIMESTAMP), Column(RUN, RUN, STRING)
)  # fmt: skip
_OURS = {RESCUED, OP, MODIFIED_TIME, RUN}


def columns_of(
    header: Sequence[str], fields: Iterable[Mapping[str, Any]] | None, table: Iterable[Column] = ()
) -> list[Column]:
    """Return a column for each name of a CSV's header, in its order.

    fields: as the export's manifest has them; without them every column is a string. table: the columns of
    the module's earlier exports, whose names stay theirs.
    """
    types = {str(field["api_name"]): type_of(field) for field in fields or ()}
    types |= dict.fromkeys(
        ("id", "Id"), STRING
    )  # Zoho says bigint, but lookups, which refer to it, are strings
    known = {column.api_name: column.name for column in table}
    taken = _OURS | set(known.values())
    columns = []
    for api_name in header:
        name = known.pop(api_name, None) or _free_name(api_name, taken)
        taken.add(name)
        columns.append(Column(name, api_name, types.get(api_name, STRING)))
    return columns


def with_ours(columns: Iterable[Column], *, is_change: bool) -> list[Column]:
    """Return the columns of a file: those of the CSV, those of a change, and `_rescued` as the last one."""
    return [*columns, *(CHANGE_COLUMNS if is_change else ()), RESCUED_COLUMN]


def type_of(field: Mapping[str, Any]) -> str:
    """Return the type of a field's values: a string if Zoho names none that we know."""
    kind = field.get("data_type")
    if kind in _COMPUTED:
        kind = field.get("return_type")
    if kind == "currency":
        places = field.get("decimal_place") or 0
        return f"decimal({PRECISION}, {min(max(places, _LEAST_SCALE), PRECISION)})"
    return _TYPES.get(str(kind), STRING)


def scale_of(kind: str) -> int | None:
    """Return the scale of a decimal type, or None for any other type."""
    match = _DECIMAL.fullmatch(kind)
    return int(match[1]) if match else None


def union(table: Iterable[Column], columns: Iterable[Column]) -> list[Column]:
    """Return the columns of the table with new ones appended; a column whose type has changed has the new."""
    merged = {column.name: column for column in table}
    return list((merged | {column.name: column for column in columns}).values())


def _free_name(api_name: str, taken: set[str]) -> str:
    """Return the name in lower case with underscores, and with a number if another column has that name."""
    name = _NOT_IN_A_NAME.sub("_", api_name.lower()) or "_"
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
