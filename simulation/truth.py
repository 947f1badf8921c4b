"""What is true of a module of Zoho, and since when: what a chain of exports is compared with."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

type Row = tuple[Any, ...]  # Modified_Time in epoch seconds or None, and the texts of other columns
type State = dict[str, Row]  # by id


@dataclass(frozen=True)
class Showing:
    """A change that a sync has to see, and since when it can. is_deletion: it sees it in /deleted."""

    at: float
    deletion: "Deletion | None" = None


@dataclass
class Deletion:
    """A record was deleted: when by Zoho's clock, and in which span of virtual time.

    listed_until: how long /deleted may list it: longer if Zoho is slow to notice that it was restored.
    """

    deleted_time: int
    since: float
    until: float = inf
    listed_until: float = inf


class Truth:
    """The history of one module: every state that it had, as a reader could see it at the time."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._states: list[State] = []
        self._showing: defaultdict[str, list[Showing]] = defaultdict(list)
        self.deletions: defaultdict[str, list[Deletion]] = defaultdict(list)
        self.ids: set[str] = set()

    def note(self, now: float, state: State) -> None:
        """Note the state from now on."""
        self._times.append(now)
        self._states.append(state)
        self.ids |= state.keys()

    @property
    def state(self) -> State:
        """The present state."""
        return self._states[-1]

    def shows(self, record_id: str, now: float) -> None:
        """Note that a record has changed in a way that its Modified_Time shows."""
        self._showing[record_id].append(Showing(now))

    def deleted(self, record_id: str, now: float, deleted_time: int) -> None:
        """Note that a record was deleted."""
        deletion = Deletion(deleted_time, now)
        self._showing[record_id].append(Showing(now, deletion))
        self.deletions[record_id].append(deletion)

    def restored(self, record_id: str, now: float, *, shows: bool, listed_until: float) -> None:
        """Note that a record was restored; a run that has not seen the deletion need not see it any more."""
        deletion = self.deletions[record_id][-1]
        deletion.until, deletion.listed_until = now, listed_until
        self.forgotten(record_id)  # what happened before it was deleted
        if shows:
            self.shows(record_id, now)

    def forgotten(self, record_id: str) -> None:
        """Note that no window may show what a run has not seen before.

        That is so if a record lost its Modified_Time, or was deleted meanwhile and restored.
        """
        self._showing[record_id] = [change for change in self._showing[record_id] if change.deletion]

    def was_restored(self, since: float) -> bool:
        """Return whether a record was restored at or after a time."""
        return any(since <= one.until < inf for found in self.deletions.values() for one in found)

    def known_since(self, record_id: str, began: float, stored: float, now: float) -> float:
        """Return since when at the latest a sync must know a record, after a run of changes.

        began: when the run began. stored: when its rows were stored. now: when it ended; deletions are read
        between.
        """
        seen = (
            change.at
            for change in self._showing[record_id]
            # What happened at the moment of the first call happened after it.
            if change.at < (stored if change.deletion else began)
            if change.deletion is None or change.deletion.until > now
        )
        return max(seen, default=-inf)

    def versions(self, record_id: str, since: float, until: float) -> Iterator[Row | None]:
        """Yield what a record was from one time to another, the latest first; None while it is not there."""
        last = bisect_right(self._times, until) - 1
        for place in range(last, -1, -1):
            yield self._states[place].get(record_id)
            if self._times[place] <= since:
                return

    def listed(self, record_id: str, began: int, since: float, until: float) -> tuple[bool, bool]:
        """Return whether /deleted listed a record all the time in a span, and whether at some time.

        began: only what was deleted at or after that, by Zoho's clock.
        """
        found = [one for one in self.deletions[record_id] if one.deleted_time >= began]
        always = any(one.since <= since and one.until >= until for one in found)
        return always, any(one.since <= until and one.listed_until >= since for one in found)
