"""The chain of a sync's manifests, and latest.json, which lists the part of it that readers need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crm_export import strict_json
from crm_export.errors import ChainBroken, StorageUnavailable
from crm_export.exports.model import Export, timestamp
from crm_export.exports.pipeline import Results
from crm_export.exports.runs import FULL, Link, Run

_MOST_RUNS = 10_000  # between two full runs: 90 days of a run every 15 minutes are 8,640
_TRIES = 5

type ReadManifest = Callable[[str], dict[str, Any] | None]


@dataclass(frozen=True)
class Chain:
    """The manifests that make up the present state: of a full run, and of the changes since, in order."""

    full: dict[str, Any]
    changes: list[dict[str, Any]]


def latest_key(account_id: str, module: str) -> str:
    """Return the key of latest.json."""
    return f"syncs/account_id={account_id}/module={module}/latest.json"


def follow(read_manifest: ReadManifest, last: Link) -> Chain:
    """Read the chain that ends with a manifest, back to its full run. Raises ChainBroken."""
    changes: list[dict[str, Any]] = []
    key: str | None = last.manifest_key
    while key is not None and len(changes) < _MOST_RUNS:
        manifest = read_manifest(key)
        run = manifest and manifest.get("sync")
        if not manifest or not run:
            raise ChainBroken(f"{key}, a manifest of the chain, is missing, or is not of a run of a sync.")
        if run["kind"] == FULL:
            return Chain(manifest, changes[::-1])
        changes.append(manifest)
        key = run["previous"] and run["previous"]["manifest_key"]
    raise ChainBroken(f"The chain that ends with {last.manifest_key} has no full run.")


def publish_latest(results: Results, export: Export, run: Run, now: str) -> None:
    """Add a run to latest.json; a run that is already in it, or older than it, changes nothing.

    Called when the run's manifest is written. Raises StorageUnavailable if others keep changing the object.
    """
    key = latest_key(export.account_id, export.module)
    for _ in range(_TRIES):
        found = results.read_latest(key)
        before, etag = found or ({}, None)
        after = _with_run(results, before, export, run, now)
        if after is None or results.write_latest(key, after, etag):
            return
    raise StorageUnavailable(f"{key} was changed again and again by others.")


def _with_run(
    results: Results, before: dict[str, Any], export: Export, run: Run, now: str
) -> dict[str, Any] | None:
    """Return latest.json with a run, or None if it has the run or a later one."""
    full, changes = before.get("full"), before.get("changes")
    changes = list(changes) if isinstance(changes, list) else []
    listed = [key for key in (full, *changes) if isinstance(key, str)]
    is_next = run.previous is not None and listed[-1:] == [run.previous.manifest_key]
    if export.manifest_key in listed or (listed and not is_next and _is_later(before, run)):
        return None
    if run.kind == FULL:
        full, changes = export.manifest_key, []
    elif is_next:
        changes.append(export.manifest_key)
    else:  # the object was lost or changed: the manifests themselves say what belongs to the chain
        chain = follow(results.read_manifest, Link(export.export_id, export.manifest_key, ""))
        full, changes = _key_of(chain.full), [_key_of(manifest) for manifest in chain.changes]
    watermark = run.watermark.isoformat(timespec="seconds")
    return {"full": full, "changes": changes, "watermark": watermark, "updated_at": now}


def _key_of(manifest: dict[str, Any]) -> str:
    names = (manifest["account_id"], manifest["module"], manifest["export_id"])
    return "exports/account_id={}/module={}/export_id={}/manifest.json".format(*names)


def _is_later(latest: dict[str, Any], run: Run) -> bool:
    """Return True if latest.json is of a later run, by Zoho's clock: ours may be wrong."""
    moment = strict_json.moment(latest.get("watermark"))
    if moment is None:
        return False
    return moment > run.watermark or (moment == run.watermark and run.previous is not None)


def updated(export: Export) -> str:
    """Return the time that latest.json names as its own: when the run's rows were all stored."""
    return timestamp(export.completed_at or export.requested_at)
