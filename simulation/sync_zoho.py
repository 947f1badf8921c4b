"""Zoho in a world of syncs: an organisation that changes by itself, also while it is read."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any

from crm_export.zoho.catalog import has_page_token
from simulation.faults import Faults
from simulation.scheduler import Scheduler, Task, current
from simulation.sync_plan import DAY, MODULES, Plan
from simulation.truth import State, Truth
from simulation.zoho import READ_MODULES, JobRecord, Zoho, draw_settings
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.data.builder import iso_time
from zoho_simulator.errors import ZohoError
from zoho_simulator.records.query import page_info
from zoho_simulator.records.records_api import modified_since
from zoho_simulator.wire import Json, Request, Response, json_response

# The columns that are compared, after Modified_Time; the last one may appear while the syncs run.
COLUMNS = {
    "Deals": ("Deal_Name", "Expected_Revenue", "Next_Step"),
    "Leads": ("Company", "Lead_Status"),
    "Vendors": ("Vendor_Name", "Active"),
    "Cases": ("Subject", "Active"),
    "Notes": ("Note_Title",),
}
_LATER = {"Deals", "Leads", "Vendors", "Cases"}
_DELETED_PER_PAGE = 3
_MOST_RECORDS = 40
_RECENT = 6  # of the deleted records, those that are restored
_GHOST_SECONDS = (60.0, 600.0, 3600.0)
_WITHOUT_TIME = {"forget", "create without a time"}
_SHOW = {"created", "modified", "converted"}


class SyncZoho(Zoho):
    """The organisation, and the truth about its modules."""

    def __init__(
        self,
        rng: Random,
        scheduler: Scheduler,
        faults: Faults,
        plan: Plan,
        *,
        created: Callable[[JobRecord], None],
        post: Callable[[str, bytes], None],
    ) -> None:
        self.plan = plan
        self.truth = {name: Truth() for name in plan.modules}
        self.charges: Counter[Task | None] = Counter()
        self.spent: list[tuple[float, int]] = []  # by syncs: when, and how many credits
        self.probed: dict[Task | None, float] = {}
        self.at_probe: dict[
            Task | None, tuple[int, int]
        ] = {}  # credits left, if it said so, and spent by syncs
        self.revealed: dict[str, float] = {}  # when a module got a new field
        self._touched: dict[str, float] = {}
        self._ghosts: list[tuple[str, Json, float]] = []
        self._is_at_rest = False
        self.is_read: Callable[[str], bool] = lambda name: False  # whether a run reads a module
        self._disturbed: Counter[Task | None] = Counter()
        super().__init__(rng, scheduler, faults, created=created, post=post)

    def settings(self) -> SimulatorConfig:
        """See Zoho."""
        plan, now = self.plan, self._clock() + self.plan.skew
        hidden = {f"{name}.{COLUMNS[name][-1]}" for name in _LATER if plan.life.get("new field")}
        return replace(
            draw_settings(self._rng, self._faults),
            records={name: self._rng.choice((1, 3, 7, 12)) for name in MODULES},
            deleted={},
            # Numbered pages shift while records change: only page tokens read a module in several jobs.
            records_per_job=self._rng.choice((3, 8, 200) if has_page_token(self.version) else (200,)),
            clock_skew_seconds=plan.skew,
            deleted_order="any" if plan.accounts > 1 else self._rng.choice(("newest", "any", "random")),
            credits=plan.credits,
            hidden_fields=hidden,
            utc_offsets={iso_time(now + since): minutes for since, minutes in plan.offsets},
        )

    @property
    def zoho_now(self) -> float:
        """Zoho's clock, in epoch seconds."""
        return self._clock() + self.plan.skew

    def _age_records(self) -> None:
        for name in self.plan.modules:
            self._apply(name, {"modify": self._living(name)}, int(self.zoho_now - 86_400))

    # --- what happens by itself ---

    def live(self, name: str, kind: str) -> None:  # noqa: C901 (a kind each)
        """Let something happen to a module: one of `sync_plan.LIFE`, as far as that is possible."""
        if kind in _WITHOUT_TIME and name in READ_MODULES and self.is_read(name):
            return  # no reader in the order of Modified_Time can see such a record
        some = self._some(name)
        delay = self._rng.choice(self.plan.delays)
        match kind:
            case "create":
                if len(self._living(name)) < _MOST_RECORDS:
                    self._later(name, {"create": self._rng.choice((1, 1, 3))}, delay)
            case "create without a time":
                self._create_without_time(name)
            case "modify":
                self._later(name, {"modify": some}, delay)
            case "mass update":
                self._later(name, {"modify": self._living(name)}, delay)
            case "convert" if name == "Leads":
                self._later(name, {"convert": some}, delay)
            case "drift" if name == "Deals":
                self._apply(name, {"drift": some})
            case "delete" | "purge" | "forget":
                self._apply(name, {kind: some})
            case "restore" | "restore without a new time":
                self._restore(name, moves=kind == "restore")
            case "new field" if name in _LATER and name not in self.revealed:
                self._reveal(name)

    def anything(self, name: str) -> None:
        """Let something happen to a module, as often as the plan says."""
        kinds = [kind for kind, share in self.plan.life.items() if share]
        if kinds and not self._is_at_rest:
            self.live(name, self._rng.choices(kinds, [self.plan.life[kind] for kind in kinds])[0])

    def _some(self, name: str) -> list[str]:
        living = self._living(name)
        self._rng.shuffle(living)
        return living[: self._rng.choice((1, 1, 2, 4))]

    def _later(self, name: str, change: dict[str, Any], delay: float) -> None:
        """Change records now, which shows only later."""
        at, began = int(self.zoho_now), self._scheduler.now
        if delay:
            self._scheduler.after(delay, partial(self._show, name, change, at, began))
        else:
            self._apply(name, change, at)

    def _show(self, name: str, change: dict[str, Any], at: int, began: float) -> None:
        """Let a change show, but for records that were changed again meanwhile: a later version hides it."""
        living = set(self._living(name))
        shown = {
            kind: [one for one in ids if one in living and self._touched.get(one, -1.0) < began]
            if isinstance(ids, list)
            else ids
            for kind, ids in change.items()
        }
        in_time = self._scheduler.now - began <= self.plan.longest_delay
        self._apply(name, shown, at, shows=in_time)

    def _create_without_time(self, name: str) -> None:
        if len(self._living(name)) < _MOST_RECORDS:
            ids = self.organisation.changes.apply(name, {"create": 1}, int(self.zoho_now))["created"]
            self._apply(name, {"forget": ids})

    def _restore(self, name: str, *, moves: bool) -> None:
        changed, module = self.organisation.changes.of(name), self.organisation.changes.module(name)
        in_bin = [str(module.id_base + row) for row in changed.deleted if row not in changed.purged]
        if not in_bin:
            return
        record_id = self._rng.choice(in_bin[-_RECENT:])
        deleted = changed.deleted[int(record_id) - module.id_base]
        if moves and deleted < int(self.zoho_now) and self._rng.random() < self.plan.ghosts:
            row = {"id": record_id, "deleted_time": iso_time(deleted), "type": "recycle"}
            self._ghosts.append((name, row, self._scheduler.now + self._rng.choice(_GHOST_SECONDS)))
        self.config.restore_moves_modified_time = moves
        self._apply(name, {"restore": [record_id]})

    def _listed_until(self, record_id: str) -> float:
        """Return how long a record is listed as deleted that is restored now."""
        ghosts = (until for _, row, until in self._ghosts if row["id"] == record_id)
        return max((self._scheduler.now, *ghosts))

    def _reveal(self, name: str) -> None:
        self.config.hidden_fields.discard(f"{name}.{COLUMNS[name][-1]}")
        self.revealed[name] = self._scheduler.now
        self._note(name)

    def _apply(self, name: str, change: dict[str, Any], at: int | None = None, *, shows: bool = True) -> None:
        now, truth = self._scheduler.now, self.truth[name]
        at = int(self.zoho_now) if at is None else at
        changed = self.organisation.changes.apply(name, change, at)
        for kind, ids in changed.items():
            for record_id in ids if kind != "time" else ():
                self._touched[record_id] = now
                if kind in {"deleted", "purged"}:
                    truth.deleted(record_id, now, at)
                elif kind == "restored":
                    shows, listed_until = (
                        self.config.restore_moves_modified_time,
                        self._listed_until(record_id),
                    )
                    truth.restored(record_id, now, shows=shows, listed_until=listed_until)
                elif kind == "forgotten":
                    truth.forgotten(record_id)
                elif kind in _SHOW and shows:
                    truth.shows(record_id, now)
        self._note(name)

    def _note(self, name: str) -> None:
        module, rows = self._module(name)
        times = module.columns["Modified_Time"].keys(rows)
        texts = [
            module.columns[column].texts(rows) if column in module.columns else [""] * len(rows)
            for column in COLUMNS[name]
        ]
        state: State = {
            str(module.id_base + row): values
            for row, *values_ in zip(rows, times, *texts, strict=True)
            for values in [tuple(values_)]
        }
        self.truth[name].note(self._scheduler.now, state)
        if name in READ_MODULES:
            self._note_state(name)

    def rest(self) -> None:
        """Let nothing happen any more, and list no restored record as deleted."""
        self._ghosts, self._is_at_rest = [], True

    # --- credits ---

    def spend(self, credits: int) -> None:
        """Let the users of the organisation spend credits."""
        job = Request("POST", "/crm/bulk/v8/read", {}, {})
        try:
            for _ in range(credits // 50):
                self.organisation._limits.spend(job)
        except ZohoError:
            return  # none are left

    def remaining(self) -> int:
        """Return how many credits are left."""
        return self.config.credits - self.organisation.credits_used

    def _note_credits(self, task: Task | None, response: Response) -> None:
        """Note what a probe shows of the credits, and what syncs have spent in the last 24 hours."""
        left = response.headers.get("X-API-CREDITS-REMAINING")
        if left is not None:
            since = self._scheduler.now - DAY
            self.at_probe[task] = int(left), sum(cost for at, cost in self.spent if at > since)

    # --- requests ---

    def handle(self, request: Request) -> Response:
        """See Zoho. Something may happen after a page of deleted records, and before the next."""
        task, before = current.get(), self._last_charge()
        is_deleted = request.path.endswith("/deleted")
        if is_deleted:
            query = {**request.query, "per_page": str(_DELETED_PER_PAGE)}
            request = replace(request, query=query)
        response = super().handle(request)
        if (charge := self._last_charge()) is not None and charge is not before:
            self.charges[task] += charge[1]
            self.spent.append((self._scheduler.now, charge[1]))
        if request.query.get("fields") == "id" and request.query.get("per_page") == "1":
            self.probed[task] = self._scheduler.now
            self._note_credits(task, response)
            if self._rng.random() < self.plan.busy / 2:
                name = request.path.split("/")[3]
                self._scheduler.after(self._rng.choice((0.0, 0.7)), partial(self.anything, name))
        if is_deleted:
            name = request.path.split("/")[3]
            self._add_ghosts(name, request, response)
            if self._disturbed[task] < 2 and not self._is_at_rest and self._rng.random() < self.plan.busy / 2:
                self._disturbed[task] += 1
                kinds = ("delete", "restore", "restore without a new time")
                self.live(
                    name, self._rng.choice([kind for kind in kinds if self.plan.life.get(kind)] or [""])
                )
        return response

    def _last_charge(self) -> tuple[float, int] | None:
        spent = self.organisation._limits._spent
        return spent[-1] if spent else None

    def _add_ghosts(self, name: str, request: Request, response: Response) -> None:
        """List records as deleted that were just restored, on the first page."""
        since = modified_since(request) or 0.0
        rows = [
            row
            for module, row, until in self._ghosts
            if module == name and until > self._scheduler.now and _moment(row) > since
        ]
        found = {HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        body = response.content()
        if not rows or response.status not in found or request.query["page"] != "1" or body[:1] == b"<":
            return
        document: Mapping[str, Any] = (
            json.loads(body) if body else {"data": [], "info": page_info(1, 3, 0, more=False)}
        )
        listed = {row["id"] for row in document["data"]}
        data = [*document["data"], *(row for row in rows if row["id"] not in listed)]
        with_ghosts = json_response(HTTPStatus.OK, {**document, "data": data})
        response.status, response.body = with_ghosts.status, with_ghosts.body
        response.headers.update(with_ghosts.headers)


def _moment(row: Json) -> float:
    return datetime.fromisoformat(row["deleted_time"]).timestamp()
