"""Records created, modified and deleted while somebody reads them, on top of what follows from the seed.

POST /__sim__/data/{Module} and the fault action `change` take {"create": 3, "modify": [ids], "delete": 5};
a number in place of ids means that many living records, lowest ids first
(delete leaves out those the same call modifies).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from zoho_simulator.builder import iso_time
from zoho_simulator.columns import Column, Field, Keys
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data import Module, load_module
from zoho_simulator.modules import MODULES
from zoho_simulator.wire import Json

_KEYS = {"create", "modify", "delete"}


@dataclass(frozen=True)
class Changed:
    """What has happened to a module: record numbers and when, in epoch seconds. A snapshot, never altered."""

    created: Mapping[int, int] = field(default_factory=dict)
    modified: Mapping[int, int] = field(default_factory=dict)
    deleted: Mapping[int, int] = field(default_factory=dict)
    revision: int = 0


_NOTHING = Changed()


class Changes:
    """The changes of all modules. Safe to use from any thread."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._changed: dict[str, Changed] = {}
        self._latest = 0

    def of(self, name: str) -> Changed:
        """What has happened to the module so far."""
        return self._changed.get(name, _NOTHING)

    def module(self, name: str) -> Module:
        """The module as it is now; it stays so for whoever holds it."""
        module = load_module(self._config.seed, name, self._config.multiselect_delimiter)
        changed = self.of(name)
        return module if changed is _NOTHING else _overlaid(module, changed)

    def apply(self, name: str, document: Mapping[str, Any]) -> Json:
        """Change a module. Answers the ids concerned; raises ValueError for what cannot be."""
        check_change(name, document)
        with self._lock:
            module, total = self.module(name), self._config.records.get(name, 0)
            created = range(total, total + document.get("create", 0))
            modified = _chosen(module, total, document.get("modify", []))
            deleted = _chosen(module, total, document.get("delete", []), but=modified)
            # Later calls are later moments, even within one second: order of modification is order in time.
            now = self._latest = max(int(self._config.clock()), self._latest + 1)
            before = self.of(name)
            self._changed[name] = replace(
                before,
                revision=before.revision + 1,
                created={**before.created, **dict.fromkeys(created, now)},
                modified={**before.modified, **dict.fromkeys(modified, now)},
                deleted={**before.deleted, **dict.fromkeys(deleted, now)},
            )
            self._config.records[name] = total + len(created)
        ids = {"created": created, "modified": modified, "deleted": deleted}
        return {
            "time": iso_time(now),
            **{what: [str(module.id_base + i) for i in rows] for what, rows in ids.items()},
        }


def check_change(name: str, document: Any) -> None:
    """Raise ValueError for a change that makes no sense, whatever records there are."""
    if name not in MODULES or name == "Users":
        raise ValueError(f"no module {name!r} with records to change")
    if not isinstance(document, Mapping) or not document or document.keys() - _KEYS:
        raise ValueError(f"a change is an object with keys of {sorted(_KEYS)}, not {document!r}")
    for key, value in document.items():
        ids = isinstance(value, list) and key != "create" and all(isinstance(v, str) for v in value)
        count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not ids and not count:
            wanted = "a count" if key == "create" else "a count or a list of ids"
            raise ValueError(f"{key} must be {wanted}, not {value!r}")


def _chosen(module: Module, total: int, wanted: Any, but: Sequence[int] = ()) -> Sequence[int]:
    if isinstance(wanted, int):
        spared = set(but)
        return list(islice((i for i in module.living(total) if i not in spared), wanted))
    numbers = [module.index_of(record_id) for record_id in wanted]
    gone = set(module.deleted)
    for record_id, number in zip(wanted, numbers, strict=True):
        if number is None or number >= total or number in gone:
            raise ValueError(f"{module.name} has no record {record_id!r}")
    return [number for number in numbers if number is not None]


def _overlaid(module: Module, changed: Changed) -> Module:
    columns = dict(module.columns)
    for name, moments in (
        ("Created_Time", changed.created),
        ("Modified_Time", {**changed.created, **changed.modified}),
    ):
        columns[name] = _Overlay(columns[name].field, columns[name], moments)
    deleted = tuple(sorted(changed.deleted))
    return replace(module, columns=columns, deleted=deleted, revision=changed.revision)


@dataclass
class _Overlay:
    """A datetime column of which some records have another moment."""

    field: Field
    inner: Column
    moments: Mapping[int, int]

    def texts(self, indices: Sequence[int]) -> Sequence[str]:
        return self._replaced(self.inner.texts(indices), indices, iso_time)

    def cells(self, indices: Sequence[int]) -> Sequence[str]:
        return self._replaced(self.inner.cells(indices), indices, iso_time)

    def keys(self, indices: Sequence[int]) -> Keys:
        return self._replaced(self.inner.keys(indices), indices, int)

    def flags(self, test: Callable[[Any], bool]) -> Callable[[Sequence[int]], Sequence[bool]]:
        return lambda indices: [test(key) for key in self.keys(indices)]

    def value(self, index: int) -> Any:
        return self.texts((index,))[0]

    def _replaced(
        self, values: Sequence[Any], indices: Sequence[int], shown: Callable[[int], Any]
    ) -> list[Any]:
        moments = self.moments
        return [
            shown(moments[i]) if i in moments else value for i, value in zip(indices, values, strict=True)
        ]
