"""How an export or a part is stored: its fields as JSON."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from crm_export import strict_json
from crm_export.exports.model import (
    DroppedField,
    Export,
    ExportState,
    Failure,
    LastError,
    Part,
    PartState,
    timestamp,
)
from crm_export.exports.runs import Run
from crm_export.exports.witness import Before, Witness
from crm_export.results.record_ids import PartIds
from crm_export.zoho.records import Cursor

_READERS: dict[str, Callable[[Any], Any]] = {
    "header": tuple,
    "ids": PartIds.from_dict,
    "failure": lambda stored: Failure(**stored),
    "last_error": lambda stored: LastError(**stored),
    "fields_dropped": lambda stored: tuple(DroppedField(**field) for field in stored),
    "cursor": Cursor.from_json,
    "counted_before": Before.from_dict,
    "witness": Witness.from_dict,
    "sync": Run.from_dict,
    "dead_owners": frozenset,
    "failed_job_ids": frozenset,
}
_TIMES = {field.name for kind in (Export, Part) for field in fields(kind) if "datetime" in str(field.type)}


def body_of(item: Export | Part) -> str:
    """Return the fields that are not None."""
    values = {name: _plain(value) for name, value in vars(item).items() if value is not None}
    return strict_json.dumps(values)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Cursor):
        return value.to_json()
    if isinstance(value, PartIds | Run):
        return value.to_dict()
    if is_dataclass(value):
        return vars(value)
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def read[T: (Export, Part)](kind: type[T], body: str) -> T:
    """Return the export or part of a body. Fields that only a later version knows are ignored."""
    stored = json.loads(body)
    known = {
        field.name: _field(field.name, stored[field.name]) for field in fields(kind) if field.name in stored
    }
    state = ExportState if kind is Export else PartState
    return kind(**known | {"state": state(stored["state"])})


def _field(name: str, stored: Any) -> Any:
    if name in _TIMES:
        return datetime.fromisoformat(stored)
    return _READERS[name](stored) if name in _READERS else stored
