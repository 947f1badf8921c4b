"""Records that are created, modified and deleted at run time, on top of the seeded ones.

POST /__sim__/data/{Module} and the fault action `change` take {"create": 3, "modify": [ids], "delete": 5}.
A number in place of ids means that many living records, lowest ids first; `delete` leaves out those that the
same change modifies. `purge` deletes permanently. `restore` takes deleted records out of the recycle bin,
with or without a new Modified_Time (`restore_moves_modified_time`). `forget` removes the Modified_Time.
`convert` converts leads, which lists then leave out unless they are asked for. `drift` changes the values of
formulas and leaves the Modified_Time as it is.
"""

from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Lock
from typing import Any

from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.builder import iso_time
from zoho_simulator.data.catalog import MODULES_WITH_RECORDS
from zoho_simulator.data.columns import Rows
from zoho_simulator.data.modules import Module, load_module
from zoho_simulator.data.overlays import ChangedTimes, Converted, Drifted, Offsets, Zoned
from zoho_simulator.wire import Json

_KEYS = {"create", "modify", "delete", "purge", "restore", "forget", "convert", "drift"}


@dataclass(frozen=True)
class Changed:
    """The changes to one module: record numbers and when, in epoch seconds. Never altered, only replaced."""

    created: Mapping[int, int] = field(default_factory=dict)
    modified: Mapping[int, int | None] = field(default_factory=dict)  # None: has no Modified_Time
    deleted: Mapping[int, int] = field(default_factory=dict)
    purged: frozenset[int] = frozenset()  # of the deleted records, those deleted permanently
    converted: frozenset[int] = frozenset()
    drifted: Mapping[int, int] = field(default_factory=dict)  # how often the formulas of a record changed
    revision: int = 0

    def until(self, moment: float) -> "Changed":
        """Return the changes without creations and modifications that happened later."""
        return replace(
            self,
            created={row: at for row, at in self.created.items() if at <= moment},
            modified={row: at for row, at in self.modified.items() if at is None or at <= moment},
        )


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
        if changed is not _NOTHING:
            delay = self._config.visibility_seconds
            module = _overlaid(module, changed, changed.until(self._clock() - delay) if delay else changed)
        if self._config.hidden_fields:
            module = without_fields(module, self._config.hidden_fields)
        return _zoned(module, self.shown) if self._config.utc_offsets else module

    def shown(self, moment: float) -> str:
        """Return a moment as Zoho writes it at present."""
        offsets = Offsets(self._config.utc_offsets)
        return iso_time(moment, offsets.at(self._clock() if self._config.one_offset else moment))

    def rows_at(self, name: str, moment: float) -> Rows:
        """Return the numbers of the records that existed then; restored ones count as never deleted."""
        changed = self.of(name)
        gone = {row for row, at in changed.deleted.items() if at <= moment}
        gone |= {row for row, at in changed.created.items() if at > moment}
        total = range(self.total(name))
        return array("q", (row for row in total if row not in gone)) if gone else total

    def apply(self, name: str, document: Mapping[str, Any], at: int | None = None) -> Json:
        """Change a module and return the ids concerned. Raises ValueError for an impossible change.

        at: when it happened, by Zoho's clock, in epoch seconds; by default now. A change may show later.
        """
        check_change(name, document)
        with self._lock:
            module, total = self.module(name), self.total(name)
            rows = _rows_of(module, total, self.of(name), document)
            # A later call gets a later second, so that the order of changes is their order in time.
            now = self._latest = max(int(self._clock()), self._latest + 1) if at is None else at
            moves = self._config.restore_moves_modified_time
            self._changed[name] = _with(self.of(name), rows, now, restore_moves=moves)
            self._config.records[name] = total + len(rows["created"])
        ids = {kind: [str(module.id_base + row) for row in numbers] for kind, numbers in rows.items()}
        return {"time": self.shown(now), **ids}


def _rows_of(
    module: Module, total: int, changed: Changed, document: Mapping[str, Any]
) -> dict[str, Sequence[int]]:
    """Return the record numbers that a change concerns, by what happens to them."""
    modified = _chosen(module, total, document.get("modify", []))
    deleted = _chosen(module, total, document.get("delete", []), spared=modified)
    rows: dict[str, Sequence[int]] = {
        "created": range(total, total + document.get("create", 0)),
        "modified": modified,
        "deleted": deleted,
    }
    if "purge" in document:
        rows["purged"] = _chosen(module, total, document["purge"], spared=[*modified, *deleted])
    if "convert" in document:
        rows["converted"] = _chosen(module, total, document["convert"], spared=[*modified, *deleted])
    if "restore" in document:
        rows["restored"] = _recycled(module, changed, document["restore"])
    if "forget" in document:
        rows["forgotten"] = _chosen(module, total, document["forget"], spared=[*modified, *deleted])
    if "drift" in document:
        rows["drifted"] = _chosen(module, total, document["drift"], spared=deleted)
    return rows


def _with(before: Changed, rows: Mapping[str, Sequence[int]], now: int, *, restore_moves: bool) -> Changed:
    purged, restored = rows.get("purged", ()), rows.get("restored", ())
    converted = rows.get("converted", ())
    modified = [*rows["modified"], *converted, *(restored if restore_moves else ())]
    deleted = {**before.deleted, **dict.fromkeys(rows["deleted"], now), **dict.fromkeys(purged, now)}
    return Changed(
        {**before.created, **dict.fromkeys(rows["created"], now)},
        {**before.modified, **dict.fromkeys(modified, now), **dict.fromkeys(rows.get("forgotten", ()))},
        {row: at for row, at in deleted.items() if row not in restored},
        before.purged | set(purged),
        before.converted | set(converted),
        {**before.drifted, **{row: before.drifted.get(row, 0) + 1 for row in rows.get("drifted", ())}},
        before.revision + 1,
    )


def _recycled(module: Module, changed: Changed, choice: int | list[str]) -> Sequence[int]:
    """Return records of the recycle bin: the named ones, or so many that were deleted last."""
    in_bin = [row for row in reversed(changed.deleted) if row not in changed.purged]
    if isinstance(choice, int):
        return in_bin[:choice]
    rows = [module.index_of(record_id) for record_id in choice]
    for record_id, row in zip(choice, rows, strict=True):
        if row not in in_bin:
            raise ValueError(f"The recycle bin of {module.name} has no record {record_id!r}.")
    return [row for row in rows if row is not None]


def check_change(name: str, document: Any) -> None:
    """Raise ValueError for a change that is malformed, without looking at the records."""
    if name not in MODULES_WITH_RECORDS:
        raise ValueError(f"The records of {name!r} cannot be changed: there is no such module.")
    if not isinstance(document, Mapping) or not document or document.keys() - _KEYS:
        raise ValueError(f"A change must be an object with keys of {sorted(_KEYS)}, not {document!r}.")
    if "convert" in document and name != "Leads":
        raise ValueError(f"Only leads can be converted, not {name}.")
    if "drift" in document and not _formulas(load_module(1, name)):
        raise ValueError(f"{name} has no formula whose value could change.")
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


def _overlaid(module: Module, changed: Changed, visible: Changed) -> Module:
    columns = dict(module.columns)
    moments: Mapping[int, int | None]
    for name, moments in (
        ("Created_Time", changed.created),
        ("Modified_Time", {**visible.created, **visible.modified}),
    ):
        columns[name] = ChangedTimes(columns[name].field, columns[name], moments)
    if changed.converted:
        flag = columns["$converted"]
        columns["$converted"] = Converted(flag.field, changed.converted)
    if changed.drifted:
        for name in _formulas(module):
            columns[name] = Drifted(columns[name].field, columns[name], changed.drifted)
    hidden = changed.created.keys() - visible.created.keys()
    shown = len(visible.created) + len(visible.modified)
    return replace(
        module,
        columns=columns,
        deleted=tuple(sorted(changed.deleted.keys() | hidden)),
        converted=changed.converted,
        revision=hash((changed.revision, shown)),
    )


def _formulas(module: Module) -> list[str]:
    return [name for name, column in module.columns.items() if column.field.data_type == "formula"]


def without_fields(module: Module, hidden: Collection[str]) -> Module:
    """Return the module without some fields, named as Deals.Next_Step."""
    kept = {name: column for name, column in module.columns.items() if f"{module.name}.{name}" not in hidden}
    return replace(module, columns=kept)


def _zoned(module: Module, shown: Callable[[float], str]) -> Module:
    columns = {
        name: Zoned(column.field, column, shown) if column.field.data_type == "datetime" else column
        for name, column in module.columns.items()
    }
    return replace(module, columns=columns)
