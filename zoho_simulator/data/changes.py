"""Records that are created, modified and deleted at run time, on top of the seeded ones.

POST /__sim__/data/{Module} and the fault action `change` take {"create": 3, "modify": [ids], "delete": 5}.
A number in place of ids means that many living records, lowest ids first; `delete` leaves out those that the
same change modifies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Lock
from typing import Any

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.builder import iso_time
from zoho_simulator.data.catalog import MODULES_WITH_RECORDS
from zoho_simulator.data.columns import Column, Rows
from zoho_simulator.data.modules import Module, load_module
from zoho_simulator.wire import Json

_KEYS = {"create", "modify", "delete"}


@dataclass(frozen=True)
class Changed:
    """The changes to one module: record numbers and when, in epoch seconds. Never altered, only replaced."""

    created: Mapping[int, int] = field(default_factory=dict)
    modified: Mapping[int, int] = field(default_factory=dict)
    deleted: Mapping[int, int] = field(default_factory=dict)
    revision: int = 0


_NOTHING = Changed()


@dataclass
class Changes:
    """The organisation's records: seeded ones with the changes of all modules. Thread-safe."""

    _config: SimulatorConfig
    _clock: Callable[[], float]
    _lock: Lock = field(default_factory=Lock)
    _changed: dict[str, Changed] = field(default_factory=dict)
    _latest: int = 0

    def of(self, name: str) -> Changed:
        """Return the changes to a module so far."""
        return self._changed.get(name, _NOTHING)

    def total(self, name: str) -> int:
        """Return how many records the module has, including deleted ones."""
        return self._config.records.get(name, 0)

    def module(self, name: str) -> Module:
        """Return a snapshot of the module. Raises KeyError for an unknown module."""
        module = load_module(self._config.seed, name, self._config.first_day)
        changed = self.of(name)
        return module if changed is _NOTHING else _overlaid(module, changed)

    def apply(self, name: str, document: Mapping[str, Any]) -> Json:
        """Change a module and return the ids concerned. Raises ValueError for an impossible change."""
        check_change(name, document)
        with self._lock:
            module, total = self.module(name), self.total(name)
            created = range(total, total + document.get("create", 0))
            modified = _chosen(module, total, document.get("modify", []))
            deleted = _chosen(module, total, document.get("delete", []), spared=modified)
            # A later call gets a later second, so that the order of changes is their order in time.
            now = self._latest = max(int(self._clock()), self._latest + 1)
            before = self.of(name)
            self._changed[name] = Changed(
                {**before.created, **dict.fromkeys(created, now)},
                {**before.modified, **dict.fromkeys(modified, now)},
                {**before.deleted, **dict.fromkeys(deleted, now)},
                before.revision + 1,
            )
            self._config.records[name] = total + len(created)
        rows = {"created": created, "modified": modified, "deleted": deleted}
        ids = {kind: [str(module.id_base + row) for row in numbers] for kind, numbers in rows.items()}
        return {"time": iso_time(now), **ids}


def check_change(name: str, document: Any) -> None:
    """Raise ValueError for a change that is malformed, without looking at the records."""
    if name not in MODULES_WITH_RECORDS:
        raise ValueError(f"The records of {name!r} cannot be changed: there is no such module.")
    if not isinstance(document, Mapping) or not document or document.keys() - _KEYS:
        raise ValueError(f"A change must be an object with keys of {sorted(_KEYS)}, not {document!r}.")
    for key, value in document.items():
        is_ids = isinstance(value, list) and all(isinstance(v, str) for v in value) and key != "create"
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not is_ids and not is_count:
            allowed = "a count" if key == "create" else "a count or a list of ids"
            raise ValueError(f"{key} must be {allowed}, not {value!r}.")


def _chosen(module: Module, total: int, choice: int | list[str], spared: Sequence[int] = ()) -> Sequence[int]:
    if isinstance(choice, int):
        left_out = set(spared)
        return list(islice((row for row in module.living(total) if row not in left_out), choice))
    rows = []
    for record_id in choice:
        row = module.index_of(record_id)
        if row is None or row >= total or row in module.deleted:
            raise ValueError(f"{module.name} has no record {record_id!r}.")
        rows.append(row)
    return rows


def _overlaid(module: Module, changed: Changed) -> Module:
    columns = dict(module.columns)
    for name, moments in (
        ("Created_Time", changed.created),
        ("Modified_Time", {**changed.created, **changed.modified}),
    ):
        columns[name] = _Overlay(columns[name].field, columns[name], moments)
    deleted = tuple(sorted(changed.deleted))
    return replace(module, columns=columns, deleted=deleted, revision=changed.revision)


@dataclass(eq=False)
class _Overlay(Column):
    """A datetime column in which some records have another time."""

    inner: Column
    moments: Mapping[int, int]

    def texts(self, rows: Rows) -> Sequence[str]:
        return self._replaced(self.inner.texts(rows), rows, iso_time)

    def keys(self, rows: Rows) -> Sequence[Any]:
        return self._replaced(self.inner.keys(rows), rows, int)

    def value(self, row: int) -> Any:
        return self.texts((row,))[0]

    def _replaced(self, values: Sequence[Any], rows: Rows, shown: Callable[[int], Any]) -> list[Any]:
        moments = self.moments
        return [
            shown(moments[row]) if row in moments else value for row, value in zip(rows, values, strict=True)
        ]
