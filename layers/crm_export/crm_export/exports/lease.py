"""A part is leased while a step works on it, so that no two do the same at once."""

from collections.abc import Callable, Iterable, Iterator

from crm_export.errors import PartBusy, WorkerDied
from crm_export.exports.failing import fail_export
from crm_export.exports.model import Export, Part
from crm_export.exports.ports import Clock, ExportStore, at

LEASE_SECONDS = 90  # longer than any call, and than the longest pause within a result
_RENEW_SECONDS = 15
_MAX_CRASHES = 3
_LONGEST_BUSY = 60


def claim_part(
    store: ExportStore, clock: Clock, export: Export, part: Part, *, owner: str, seconds: float
) -> bool:
    """Lease a part for one step; False when another has it, or it is to be left alone for a while.

    Raises WorkerDied, and fails the export, when those before died on it.
    """
    # The last one is counted when its lease is taken over, which is not to happen any more.
    deaths = part.crashes + (part.lease_until is not None and part.lease_until < at(clock))
    if deaths >= _MAX_CRASHES:
        error = WorkerDied(
            f"The function died {deaths} times on part {part.part} ({part.state}) of export "
            f"{export.export_id}: it timed out or ran out of memory."
        )
        fail_export(store, clock, export, part.part, error)
        raise error
    return store.claim(part, owner, at(clock), at(clock, seconds=seconds))


def attempt_number(part: Part) -> int:
    """Which attempt at its step a claim of the part, as it was read before, begins: 1 is the first.

    No two have the same number: not even one that was given up for dead and is not.
    """
    return part.attempts + part.crashes + (part.lease_owner is not None) + 1


def busy(store: ExportStore, clock: Clock, part: Part) -> PartBusy | None:
    """Why a part could not be claimed, if it is worth coming back: another looks at it just now."""
    seen = store.get_part(part.export_id, part.part)
    if seen is None or seen.state is not part.state or seen.lease_until is None:
        return None
    wait = next(
        (s for s in range(5, _LONGEST_BUSY, 5) if at(clock, seconds=s) > seen.lease_until), _LONGEST_BUSY
    )
    return PartBusy(f"Part {part.part} of export {part.export_id} is being looked at.", retry_after=wait)


def keep_lease(store: ExportStore, clock: Clock, part: Part, owner: str) -> Callable[[], None]:
    """What is to be called while a long step goes on. The lease is short, so that a dead worker is soon
    followed; PartBusy is raised once it is another's.
    """
    renewed_at = clock()

    def keep() -> None:
        nonlocal renewed_at
        if (clock() - renewed_at).total_seconds() < _RENEW_SECONDS:
            return
        if not store.renew(part, owner, at(clock, seconds=LEASE_SECONDS)):
            raise PartBusy(f"Part {part.part} of export {part.export_id} is another worker's by now.")
        renewed_at = clock()

    return keep


def while_leased(keep: Callable[[], None], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Hold the lease for as long as bytes come."""
    for chunk in chunks:
        keep()
        yield chunk
