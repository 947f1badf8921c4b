"""A world of syncs: modules are kept current for virtual days, while Zoho changes and things go wrong."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from random import Random
from typing import Any

from simulation.scheduler import EPOCH
from simulation.sync_invariants import SyncInvariants
from simulation.sync_plan import DAY, HOUR, LOW_CREDITS, Plan, draw_rates
from simulation.sync_zoho import SyncZoho
from simulation.world import TICK_SECONDS, Outcome, Stage
from simulation.zoho import JobRecord

_SYNCS = "/v1/e/zoho/syncs"
_MOST = 200_000  # invocations of one run
_REST = 40 * DAY  # after the last change; the runs that are open end within days


class SyncWorld(Stage):
    """One or two accounts, whose modules are kept current."""

    def __init__(
        self,
        seed: int,
        write: Callable[[str], None] | None = None,
        only: dict[str, float] | None = None,
        **given: Any,
    ) -> None:
        rng = Random(f"syncs/{seed}")
        self.seed = seed
        self.plan = replace(Plan.draw(rng), **given)
        plan = self.plan
        settings = {"SYNC_OVERLAP_MINUTES": str(plan.overlap), "SYNC_LAG_MINUTES": str(plan.lag)}
        rates = draw_rates(rng)
        super().__init__(
            rng, write, rates if only is None else only, most_invocations=_MOST, settings=settings
        )
        self.faults.calm_from = plan.seconds * rng.uniform(0.3, 1.0) if self.faults.injects else 0.0
        self._tick_at = -1.0
        self._changing = True
        self.final = 0  # syncs whose last run was equal to the truth

    def make_zoho(self) -> SyncZoho:
        """See Stage."""
        self.sync_zoho = SyncZoho(
            self.rng, self.scheduler, self.faults, self.plan, created=self._job_created, post=self._call_back
        )
        return self.sync_zoho

    def make_invariants(self) -> SyncInvariants:
        """See Stage."""
        self.checks = SyncInvariants(
            self.scheduler, self.faults, self.table, self.bucket, self.zoho, self.events, zoho=self.sync_zoho
        )
        self.sync_zoho.is_read = lambda name: bool(self.checks.running(self._account(name), name))
        return self.checks

    def run(self) -> Outcome:
        """Keep modules current, let Zoho change, and compare at the end."""
        plan, at = self.plan, self.scheduler.at
        for number, module in enumerate(plan.modules):
            for account in self._accounts_of(number):
                at(self.rng.uniform(0, 60), partial(self._put, account, module, self._body(), self._wake))
        for module in plan.modules:
            at(self.rng.expovariate(1 / plan.gap), partial(self._live, module))
        for _ in range(self.rng.choice((0, 0, 2))):
            at(self.rng.uniform(0, plan.seconds), self._request_run)
        if plan.credits < LOW_CREDITS:
            at(0.0, self._users)
        if plan.pause:
            self._plan_pause()
        at(self.last_change, self._stop_changing)
        return self.play(self.seed, self.last_change + _REST)

    @property
    def last_change(self) -> float:
        """When Zoho stops changing."""
        return self.plan.seconds + self.plan.pause

    def _accounts_of(self, number: int) -> list[str]:
        """Return the accounts that keep a module current. Two share one organisation, not a module."""
        return [f"acct-{1 + number % self.plan.accounts}"]

    def _account(self, module: str) -> str:
        return self._accounts_of(self.plan.modules.index(module))[0]

    def _body(self) -> dict[str, Any]:
        return {"every": self.plan.every, "full_every": self.plan.full_every}

    # --- Zoho, by itself ---

    def _live(self, module: str) -> None:
        if self._changing:
            self.sync_zoho.anything(module)
            # In a long pause as much happens as before it.
            gap = self.plan.gap * (1 + self.plan.pause / self.plan.seconds)
            self.scheduler.after(self.rng.expovariate(1 / gap), partial(self._live, module))

    def _job_created(self, record: JobRecord) -> None:
        """Let something happen while the job runs, and perhaps cancel its export."""
        super()._job_created(record)
        if self._changing and self.rng.random() < self.plan.busy:
            self.scheduler.after(
                self.rng.choice((0.0, 1.0, 30.0)), partial(self.sync_zoho.anything, record.module)
            )
        if self.faults.happens("export cancelled"):
            cancel = partial(self.functions.cancel, record.part[0], lambda response: None)
            self.scheduler.after(self.rng.choice((0.0, 2.0, 60.0, 400.0)), cancel)

    def _users(self) -> None:
        """Let the organisation's users spend most of its credits, every few hours."""
        if self._changing:
            self.sync_zoho.spend(int(self.plan.credits * self.rng.choice((0.1, 0.2, 0.4))))
            self.scheduler.after(self.rng.uniform(2, 12) * HOUR, self._users)

    def _stop_changing(self) -> None:
        """Let everything come to rest: then the last run of each sync has to be equal to the truth."""
        self._changing = False
        self.faults.calm_from = min(self.faults.calm_from, self.scheduler.now)
        self.sync_zoho.rest()
        delay = max(self.plan.delays) + HOUR
        for module in self.plan.modules:
            self.scheduler.after(delay, partial(self._run_last, module))

    def _run_last(self, module: str) -> None:
        """Ask for a full run until one has completed, and end the sync."""
        account = self._account(module)
        sync = self.checks._sync(account, module)
        last = sync.full if sync is not None else None
        began = self.last_change + max(self.plan.delays)
        if last is not None and self.checks.began(last.export_id) > began:
            self.final += 1
            self.checks.equals_truth(account, module)
            self._put(account, module, {"enabled": False}, lambda: None)
            return
        self.functions.request(
            "POST", f"{_SYNCS}/{module}/runs", {"kind": "full"}, lambda response: self._wake(), account
        )
        # Not in the rhythm of the sync, whose own run would always come first.
        self.scheduler.after(self.rng.uniform(1000.0, 3000.0), partial(self._run_last, module))

    # --- calls from outside ---

    def _put(self, account: str, module: str, body: dict[str, Any], then: Callable[[], None]) -> None:
        def done(response: Any) -> None:
            status = response["statusCode"] if response else 0
            if status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
                self.scheduler.after(60.0, partial(self._put, account, module, body, then))
                return
            then()

        self.functions.request("PUT", f"{_SYNCS}/{module}", body, done, account)

    def _request_run(self) -> None:
        module = self.rng.choice(self.plan.modules)
        body = {"kind": self.rng.choice(("changes", "changes", "full"))}
        path = f"{_SYNCS}/{module}/runs"
        self.functions.request("POST", path, body, lambda response: self._wake(), self._account(module))

    def _plan_pause(self) -> None:
        began = self.plan.seconds * self.rng.uniform(0.3, 0.7)
        for module in self.plan.modules:
            put = partial(self._put, self._account(module), module)
            self.scheduler.at(began, partial(put, {"enabled": False}, lambda: None))
            self.scheduler.at(began + self.plan.pause, partial(put, {"enabled": True}, self._wake))

    # --- ticks ---

    def _wake(self) -> None:
        """Let the next tick come, if it was put off because nothing was due."""
        self._plan_tick(self.scheduler.now)

    def _plan_tick(self, time: float) -> None:
        """Plan the first tick after a time, unless an earlier one is planned."""
        at = (time // TICK_SECONDS + 1) * TICK_SECONDS
        if not self.scheduler.now < self._tick_at <= at:
            self._tick_at = at
            self.scheduler.at(at, partial(self._tick, at))

    def _tick(self, at: float) -> None:
        if at != self._tick_at:
            return  # an earlier one has taken its place
        self.checks.check_due()
        if not self.faults.happens("tick missing"):
            for _ in range(1 + self.faults.happens("tick twice")):
                self.functions.reconciler(lambda response: None)
        if any("open" in item for item in self.table.items.values()):
            self._plan_tick(self.scheduler.now)
            return
        due = [sync.due_at for sync in self.checks.syncs() if sync.due_at is not None]
        if due:
            self._plan_tick(max((min(due) - EPOCH).total_seconds(), self.scheduler.now))


def run_syncs(
    seed: int,
    write: Callable[[str], None] | None = None,
    only: dict[str, float] | None = None,
    **given: Any,
) -> Outcome:
    """Run one seed. only: these kinds of faults, with their rates. given: members of the Plan."""
    return SyncWorld(seed, write, only, **given).run()
