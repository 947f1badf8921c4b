"""A model of Zoho's records API, for one module that Bulk Read does not take: Notes, which change."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from simulation.faults import Faults
from simulation.scheduler import EPOCH, Scheduler

MODULE = "Notes"
FIELDS = ("Note_Title", "Modified_Time")
_TITLES = ("a", "b, c", 'said "x"', "two\nlines", "Zoë")
_DAY = 86_400.0


@dataclass(frozen=True)
class Note:
    """A record as it is from `since` on."""

    record_id: str
    title: str
    modified: datetime

    def as_json(self) -> dict[str, str]:
        """As a list of records shows it."""
        return {"id": self.record_id, "Note_Title": self.title, "Modified_Time": self.modified.isoformat()}


@dataclass(frozen=True)
class _Listing:
    """What a page token stands for: the list as it was when its first page was asked for."""

    notes: tuple[Note, ...]
    offset: int
    expires_at: float


class ZohoRecords:
    """What Zoho holds of the module, and held. `kept` is how long a page token lives, in seconds."""

    def __init__(self, rng: Random, scheduler: Scheduler, faults: Faults) -> None:
        self._rng = rng
        self._scheduler = scheduler
        self._faults = faults
        self._listings: dict[str, _Listing] = {}
        self._token_lives = rng.choice((_DAY, _DAY, 300.0))
        self._since_is_inclusive = rng.random() < 0.5
        self._has_modified_time = rng.random() < 0.8
        self._made = 0
        self.notes: dict[str, Note] = {}
        self.versions: set[tuple[str, str]] = set()  # every (id, title) there ever was
        self.deleted_at: dict[str, float] = {}
        self.created_at: dict[str, float] = {}
        moments = [
            EPOCH - timedelta(days=1, seconds=second) for second in rng.choice(((0,), (0, 1), range(50)))
        ]
        for _ in range(rng.choice((0, 1, 3, 7, 12))):
            self._write(None, rng.choice(moments))

    def _write(self, record_id: str | None, modified: datetime) -> None:
        if record_id is None:
            self._made += 1
            record_id = str(990_000 + self._made)
            self.created_at[record_id] = self._scheduler.now
        note = Note(record_id, self._rng.choice(_TITLES) + str(self._rng.randrange(1000)), modified)
        self.notes[record_id] = note
        self.versions.add((record_id, note.title))

    def change(self) -> None:
        """Somebody writes, changes and deletes notes."""
        now = EPOCH + timedelta(seconds=int(self._scheduler.now))
        for _ in range(self._rng.randint(1, 4)):
            known = sorted(self.notes)
            if known and self._rng.random() < 0.3:
                gone = self._rng.choice(known)
                del self.notes[gone]
                self.deleted_at[gone] = self._scheduler.now
            elif known and self._rng.random() < 0.6:
                self._write(self._rng.choice(known), now)
            else:
                self._write(None, now)

    def fields(self) -> dict[str, Any]:
        """The answer of settings/fields."""
        listed = [{"api_name": name, "data_type": "text"} for name in FIELDS]
        return {"fields": [*listed, {"api_name": "Participants", "data_type": "subform"}]}

    def listed(self, params: dict[str, str], since: str | None) -> tuple[int, dict[str, Any]]:
        """The answer of GET {Module}: a status and a body."""
        token, per_page = params.get("page_token"), int(params["per_page"])
        if token is not None:
            listing = self._listings[token]
            if self._scheduler.now > listing.expires_at:
                self._faults.note("page token expired")
                return 400, {"code": "EXPIRED_VALUE", "message": "expired", "details": {}, "status": "error"}
        else:
            if params.get("sort_by") == "Modified_Time" and not self._has_modified_time:
                return 400, {"code": "INVALID_DATA", "message": "sort_by", "details": {}, "status": "error"}
            listing = _Listing(self._found(params, since), 0, self._scheduler.now + self._token_lives)
        page = listing.notes[listing.offset : listing.offset + per_page]
        if not page:
            return (304 if since else 204), {}
        info: dict[str, Any] = {"per_page": per_page, "count": len(page), "more_records": False}
        if len(listing.notes) > listing.offset + per_page:
            following = f"rt-{len(self._listings)}"
            self._listings[following] = replace(listing, offset=listing.offset + per_page)
            info |= {"more_records": True, "next_page_token": following}
        return 200, {"data": [note.as_json() for note in page], "info": info}

    def _found(self, params: dict[str, str], since: str | None) -> tuple[Note, ...]:
        notes = list(self.notes.values())
        if since is not None:
            moment = datetime.fromisoformat(since)
            inclusive = self._since_is_inclusive
            notes = [n for n in notes if n.modified > moment or (inclusive and n.modified == moment)]
        by_time = params.get("sort_by") == "Modified_Time"
        self._rng.shuffle(notes)  # Zoho promises no order among equals
        return tuple(sorted(notes, key=lambda note: note.modified if by_time else int(note.record_id)))
