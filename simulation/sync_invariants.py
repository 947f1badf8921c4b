"""What must hold of syncs after every write, and after every run: the chain, folded, is what Zoho has."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from crm_export.aws.export_table import read_export
from crm_export.aws.results_bucket import ResultsBucket
from crm_export.exports.model import RECORDS, Export, ExportState, Part
from crm_export.exports.runs import FULL, Link
from crm_export.strict_json import moment
from crm_export.sync.chain import Chain, follow, latest_key
from crm_export.sync.fold import fold, read_chain
from crm_export.sync.model import Sync
from simulation.dynamodb import Key
from simulation.expressions import Item
from simulation.invariants import Invariants
from simulation.s3 import S3
from simulation.scheduler import EPOCH, Task, current
from simulation.sync_plan import CREDIT_SHARE, HOUR, LOW_CREDITS
from simulation.sync_zoho import COLUMNS, SyncZoho
from simulation.truth import Row

_CREDITS_OF_A_PROBE = 6  # and of the signature, tried three times each
_CREDITS_OF_A_FAULT = 60  # a job whose response was lost, and some calls
_FOLDED_EACH = 12  # of a longer chain, only every eighth run is compared, and the audit
_PATIENCE = 1.5 * HOUR  # an hour, and the time of a few ticks and messages

type Table = dict[str, dict[str, str]]  # the rows of a file by id, each by column


class SyncInvariants(Invariants):
    """Checks the syncs of a world, and the exports that are their runs as all exports."""

    def __init__(self, *given: Any, zoho: SyncZoho) -> None:
        super().__init__(*given)
        self.zoho = zoho
        self.results = ResultsBucket(S3(self._bucket), "results")
        self.audits = self.runs = 0
        self.drift: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._starters: dict[str, Task | None] = {}
        self._faults_before: dict[str, int] = {}
        self._listed: dict[str, list[str]] = {}
        self._stored_at: dict[str, float] = {}

    # --- after every write ---

    def _table_changed(self, key: Key, old: Item | None, new: Item) -> None:
        if key[0].startswith("SYNC#"):
            self._sync_changed(read_sync(old) if old else None, read_sync(new))
        if key[1] == "META" and old is None and "sync" in new:
            self._run_started(read_export(new))
        if key[0].startswith("EXPORT#") and key[1] != "META" and _became_stored(old, new):
            self._stored_at[key[0].removeprefix("EXPORT#")] = self._scheduler.now
        super()._table_changed(key, old, new)

    def syncs(self) -> list[Sync]:
        """Return all syncs."""
        items = self._table.items.items()
        return [read_sync(item) for (pk, _), item in items if pk.startswith("SYNC#")]

    def running(self, account_id: str, module: str) -> list[Export]:
        """Return the runs of a sync that are RUNNING."""
        open_ = [read_export(item) for item in self._table.items.values() if "open" in item]
        return [
            export
            for export in open_
            if (export.account_id, export.module) == (account_id, module)
            and export.sync is not None
            and export.state is ExportState.RUNNING
        ]

    def _run_started(self, export: Export) -> None:
        task, export_id = current.get(), export.export_id
        self._starters[export_id] = task
        self._began[export_id] = self.zoho.probed.get(task, self._scheduler.now)
        self._faults_before[export_id] = self._faults.injected.total()
        self._within_share(task)
        running = self.running(export.account_id, export.module)
        self._hold(len(running) == 1, f"{export.module} has {len(running)} runs at once")

    def _sync_changed(self, old: Sync | None, new: Sync) -> None:
        if old is None or old.previous == new.previous:
            moved = old is not None and old.watermark != new.watermark
            self._hold(not moved, f"the watermark of {new.module} moved without a run: {new}")
            return
        self._hold(
            new.watermark is not None and (old.watermark is None or new.watermark >= old.watermark),
            f"the watermark of {new.module} went back from {old.watermark} to {new.watermark}",
        )
        item = self._table.items[f"EXPORT#{new.previous and new.previous.export_id}", "META"]
        export = read_export(item)
        self._hold(
            export.state is ExportState.COMPLETED,
            f"{new.module}: run {export.export_id} is {export.state}, and the sync has moved on",
        )
        self._latest(new)

    def _bucket_changed(self, key: str) -> None:
        if key.startswith("syncs/"):
            sync = next(
                (sync for sync in self.syncs() if key == latest_key(sync.account_id, sync.module)), None
            )
            if sync is not None:
                self._latest(sync)
            return
        super()._bucket_changed(key)

    def _latest(self, sync: Sync) -> None:
        """Check that latest.json lists a whole chain, which ends with the last run or the one that ends now.

        Every version of it is checked, so only the last link of the chain can be new.
        """
        key = latest_key(sync.account_id, sync.module)
        found = json.loads(self._bucket.objects[key])
        listed = [found["full"], *found["changes"]]
        before, self._listed[key] = self._listed.get(key, []), listed
        last = json.loads(self._bucket.objects[listed[-1]])
        run, previous = last["sync"], last["sync"]["previous"]
        is_last = sync.previous is not None and last["export_id"] == sync.previous.export_id
        is_next = last["export_id"] == sync.open_run and previous == (sync.previous and asdict(sync.previous))
        self._hold(is_next or is_last, f"latest.json of {sync.module} ends with {listed[-1]}: {sync}")
        if run["kind"] == FULL:
            self._hold(len(listed) == 1, f"latest.json of {sync.module} lists {listed}")
        else:
            is_whole = listed[:-1] in (before, before[:-1])
            self._hold(is_whole, f"latest.json of {sync.module} lists {listed}, and before that {before}")
            digest = self.results.digest(previous["manifest_key"])
            self._hold(
                listed[-2] == previous["manifest_key"] and digest == previous["sha256"],
                f"{listed[-1]} does not follow {listed[-2]}",
            )

    def _within_share(self, task: Task | None) -> None:
        """Check that a run starts only while syncs have spent no more than their share, and a run per module.

        A run may cost more than expected, which is booked when it has ended. The numbers are as at the probe:
        what users spend later takes no credits back.
        """
        at_probe = self.zoho.at_probe.get(task)
        if at_probe is None or self.zoho.plan.accounts > 1:
            return
        left, spent = at_probe
        allowed = CREDIT_SHARE / 100 * (left + spent)
        most = sum(self._dearest_runs().values())
        self._hold(
            spent <= allowed + most,
            f"a run starts with {left} credits left, and the syncs have spent {spent}, of {allowed:.0f}",
        )

    # --- exports that are runs ---

    def named(self, manifest: dict[str, Any]) -> set[str]:
        """See Invariants: a run has more objects."""
        run = manifest["sync"] or {}
        more = {run.get("deleted_key"), run.get("removed_key"), run.get("diff_key")}
        more |= {part["index"] for part in manifest["parts"]}
        return super().named(manifest) | {key for key in more if key}

    def _witnessed(
        self, export: Export, parts: list[Part], witness: dict[str, Any] | None, what: str
    ) -> None:
        """See Invariants. No count shows that a record was deleted before the job, and restored after it."""
        is_gap = witness is not None and witness["verdict"] == "gap"
        began = self._began[export.export_id] if export.sync is not None else 0.0
        if not (is_gap and self.zoho.truth[export.module].was_restored(began)):
            super()._witnessed(export, parts, witness, what)

    def is_partial(self, export: Export) -> bool:
        """See Invariants."""
        return export.sync is not None and export.sync.reads_from is not None

    def _all_read(self, export: Export, parts: list[Part], rows: list[tuple[str, ...]], what: str) -> None:
        ids = [row[0] for row in rows]
        self._hold(len(ids) == len(set(ids)), f"{what}: a record is there twice")

    def _is_state(self, *given: Any) -> None:
        """Do nothing: `_compare` checks it."""

    def _of_jobs(self, export: Export, parts: list[Part], *given: Any, is_snapshot: bool) -> None:
        if any(part.job_id for part in parts):
            super()._of_jobs(export, parts, *given, is_snapshot=is_snapshot)

    def _manifest(self, export: Export) -> None:
        super()._manifest(export)
        if export.sync is not None and export.state is ExportState.RUNNING:
            self._credits(export)

    def _credits(self, export: Export) -> None:
        """Check what the manifest says that the run has cost, when it is written."""
        manifest = json.loads(self._bucket.objects[export.manifest_key])
        charged = self._costs()[export.export_id]
        writer = current.get()
        # Another worker may come to the end of the same run, and notes what it asks Zoho when it is through.
        beside = self._costs(lambda task: task is not writer and not task.ended)[export.export_id]
        faults = self._faults.injected.total() - self._faults_before[export.export_id]
        said = manifest["sync"]["credits"]
        # Faults before the run was written are not counted as its own, and its probe may have been repeated.
        retried = _CREDITS_OF_A_PROBE if self._faults.injected else 0
        self._hold(
            abs(said - charged) <= faults * _CREDITS_OF_A_FAULT + retried + beside,
            f"{export.export_id} says it cost {said} credits; Zoho charged {charged}, with {faults} faults",
        )

    def _costs(self, counts: Callable[[Task], bool] = lambda task: True) -> Counter[str]:
        """Return what Zoho has charged for each run, by its export id. counts: only these invocations."""
        started = {task: export_id for export_id, task in self._starters.items()}
        costs: Counter[str] = Counter()
        for task, credits in self.zoho.charges.items():
            if task is not None and counts(task):
                costs[started.get(task) or (task.target or ("",))[0]] += credits
        return costs

    def _dearest_runs(self) -> dict[str, int]:
        """Return what the most expensive run so far has cost, for each module."""
        dearest: dict[str, int] = {}
        for export_id, credits in self._costs().items():
            if (item := self._table.items.get((f"EXPORT#{export_id}", "META"))) is not None:
                module = read_export(item).module
                dearest[module] = max(dearest.get(module, 0), credits)
        return dearest

    def _ended(self, export: Export) -> None:
        super()._ended(export)
        if export.state is not ExportState.COMPLETED or export.sync is None or self.broken:
            return
        sync = self._sync(export.account_id, export.module)
        if sync is not None and sync.previous and sync.previous.export_id == export.export_id:
            self._run_completed(export)

    def _sync(self, account_id: str, module: str) -> Sync | None:
        item = self._table.items.get((f"SYNC#{account_id}", module))
        return read_sync(item) if item else None

    def _excuse(self, code: str, part: Part) -> bool:
        """See Invariants: without credits a job waits until its deadline."""
        is_short = self.zoho.plan.credits < LOW_CREDITS
        return (code == "DEADLINE_EXCEEDED" and is_short) or super()._excuse(code, part)

    # --- after every run ---

    def _run_completed(self, export: Export) -> None:
        """Fold the chain that ends with a run, and compare it with the truth."""
        self.runs += 1
        manifest = json.loads(self._bucket.objects[export.manifest_key])
        chain = follow(self.results.read_manifest, Link(export.export_id, export.manifest_key, ""))
        what = f"{export.module} after {manifest['sync']['kind']} run {export.export_id}"
        if len(chain.changes) < _FOLDED_EACH or len(chain.changes) % 8 == 0:
            self._compare(chain, manifest, self.fold(chain), what)
        previous = manifest["sync"]["previous"]
        if manifest["sync"]["kind"] == FULL:
            self.audits += 1
            if previous is not None:
                self._audited(manifest, follow(self.results.read_manifest, Link(**previous)), what)
        else:
            self._new_fields(chain, what)

    def began(self, export_id: str) -> float:
        """Return when a run asked Zoho for the first time."""
        return self._began[export_id]

    def equals_truth(self, account_id: str, module: str) -> None:
        """Check that the chain is exactly what Zoho has, now that nothing changes any more."""
        folded = self.fold(read_chain(self.results, account_id, module))
        found = {record_id: row_of(module, row) for record_id, row in folded.items()}
        right = self.zoho.truth[module].state
        self._hold(found == right, f"{module} is {found} at the end, and Zoho has {right}")

    def fold(self, chain: Chain) -> Table:
        """Return the rows of a chain by id."""
        folded = fold(self.results, chain)
        return {row[0]: dict(zip(folded.header, row, strict=True)) for row in folded.rows}

    def _compare(self, chain: Chain, manifest: dict[str, Any], folded: Table, what: str) -> None:
        """Check each row: it is as it was at some time since the sync had to know it."""
        module, export_id = manifest["module"], manifest["export_id"]
        truth, is_full = self.zoho.truth[module], manifest["sync"]["kind"] == FULL
        began, stored = self._began[export_id], self._stored_at[export_id]
        if not is_full and manifest["sync"]["deleted"] is None:
            return  # the deletions could not be read, so the next run is full
        base, now = self._began[chain.full["export_id"]], self._scheduler.now
        for record_id in sorted(folded.keys() | truth.ids):
            found = row_of(module, folded.get(record_id))
            since = began if is_full else max(base, truth.known_since(record_id, began, stored, now))
            known = truth.versions(record_id, since, stored if is_full else now)
            if found not in known:
                right = list(truth.versions(record_id, since, now))
                self.violated(f"{what}: {record_id} is {found}, and was {right} since {since:.0f}")
                return

    def _new_fields(self, chain: Chain, what: str) -> None:
        """Check that two runs of changes never follow each other with a new field: the second is full."""
        if len(chain.changes) < 2:
            return
        module, before = chain.full["module"], chain.changes[-2]
        revealed = self.zoho.revealed.get(module)
        began, full = self._began[before["export_id"]], self._began[chain.full["export_id"]]
        has_all = "fields" not in before["query"] and before["fields"] and chain.full["fields"]
        # A job of a full run may read the field that appeared after the run began.
        is_read = chain.full["source"] != RECORDS and COLUMNS[module][-1] in (_columns(chain.full) or ())
        is_new = revealed is not None and full < revealed < began - 700  # metadata is kept ten minutes
        if is_new and has_all and not is_read:
            self.violated(f"{what}: the run before it has a new field, and it is not full")

    # --- audits ---

    def _audited(self, manifest: dict[str, Any], before: Chain, what: str) -> None:
        """Check the drift that the audit counted, and diff-00001.csv."""
        run, old = manifest["sync"], self.rows(before.full)
        if before.full["query"] != manifest["query"]:
            return
        drift = run["drift"]
        if drift is None:  # an index could not be read
            self._hold(self._faults.injected["S3 denies access"] > 0, f"{what} was not audited")
            return
        new, chain = self.rows(manifest), self.fold(before)
        same_fields = _columns(manifest) == _columns(before.full)
        expected = self._unexplained(run["window"]["from"], chain, new, same_fields=same_fields)
        steady = {_columns(one) for one in (before.full, *before.changes)} - {None, _columns(manifest)}
        for kind in ("inserted", "updated") if not (same_fields and steady) else ("inserted",):
            self._hold(
                drift[kind] == expected[kind], f"{what}: drift is {drift}, it should be {dict(expected)}"
            )
        fewest, most = self._deleted_unseen(manifest, chain.keys() - new.keys())
        self._hold(
            fewest <= drift["deleted"] <= most, f"{what}: drift is {drift}, deleted {fewest} to {most}"
        )
        self.drift.update(drift)
        self._diff(run["diff_key"], old, new, what, same_fields=same_fields)

    def _unexplained(self, begins: str, chain: Table, new: Table, *, same_fields: bool) -> Counter[str]:
        """Count the rows that differ from the chain, although no window shows their Modified_Time."""
        found: Counter[str] = Counter()
        for record_id, row in new.items():
            changed = moment(row["Modified_Time"])
            if changed is not None and changed >= datetime.fromisoformat(begins):
                continue
            if record_id not in chain:
                found["inserted"] += 1
            elif same_fields and chain[record_id] != row:
                found["updated"] += 1
        return found

    def _deleted_unseen(self, manifest: dict[str, Any], gone: Iterable[str]) -> tuple[int, int]:
        """Return how many rows are gone at least and at most that /deleted did not list."""
        run, stored = manifest["sync"], self._stored_at[manifest["export_id"]]
        if run["deleted"] is None:
            return len(list(gone)), len(list(gone))
        begins = int(datetime.fromisoformat(run["window"]["from"]).timestamp())
        truth = self.zoho.truth[manifest["module"]]
        listed = [truth.listed(one, begins, stored, self._scheduler.now) for one in gone]
        return sum(not sometimes for _, sometimes in listed), sum(not always for always, _ in listed)

    def _diff(self, key: str, old: Table, new: Table, what: str, *, same_fields: bool) -> None:
        expected = {("I", one) for one in new.keys() - old.keys()}
        expected |= {("D", one) for one in old.keys() - new.keys()}
        if same_fields:
            expected |= {("U", one) for one in new.keys() & old.keys() if new[one] != old[one]}
        lines = list(csv.reader(io.StringIO(self._bucket.objects[key].decode())))
        self._hold(
            {(op, one) for op, one in lines[1:]} == expected, f"{what}: {key} is {lines}, not {expected}"
        )

    def rows(self, manifest: dict[str, Any]) -> Table:
        """Return the rows of one run by id."""
        found: Table = {}
        for part in manifest["parts"]:
            for row in self._rows(part["key"]):
                cells = dict(zip(part["header"], row, strict=True))
                found[cells["Id"]] = cells
        return found

    # --- time ---

    def check_due(self) -> None:
        """Check that no sync has been due for more than an hour and is neither running nor blocked."""
        now = self._scheduler.now
        for sync in self.syncs() if now > self._faults.calm_from + 4 * HOUR else ():
            if sync.due_at is None or sync.blocked is not None:
                continue
            late = now - (sync.due_at - EPOCH).total_seconds()
            idle = not self.running(sync.account_id, sync.module)
            self._hold(late < _PATIENCE or not idle, f"{sync.module} has been due for {late:.0f} s: {sync}")


def _became_stored(old: Item | None, new: Item) -> bool:
    is_stored: bool = new["state"]["S"] == "STORED"
    return is_stored and (old is None or old["state"]["S"] != "STORED")


def read_sync(item: Item) -> Sync:
    """Return the sync of an item."""
    return Sync.from_dict(json.loads(item["sync"]["S"]))


def row_of(module: str, row: dict[str, str] | None) -> Row | None:
    """Return a row as `Truth` has it."""
    if row is None:
        return None
    changed = moment(row["Modified_Time"])
    return (changed and int(changed.timestamp()), *(row.get(name, "") for name in COLUMNS[module]))


def _columns(manifest: dict[str, Any]) -> tuple[str, ...] | None:
    return next((tuple(part["header"]) for part in manifest["parts"] if part["header"]), None)


def _key_of(manifest: dict[str, Any]) -> str:
    names = (manifest["account_id"], manifest["module"], manifest["export_id"])
    return "exports/account_id={}/module={}/export_id={}/manifest.json".format(*names)
