"""Reads the parts of an export whose module Bulk Read does not take, through the records API.

Called by `submit` (to settle what is read) and `download` (to read a part). A part is a bounded number of
records from a checkpoint, so that no time limit of Lambda can cut one.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from crm_export import deadline
from crm_export.errors import (
    CountMismatch,
    ExportError,
    PagingBroken,
    QueryRefused,
    ZohoPageTokenExpired,
    ZohoQueryRefused,
)
from crm_export.exports.attempt import attempt_number, restart_export
from crm_export.exports.model import RECORDS, Export, Part
from crm_export.exports.pipeline import Clock, ExportStore, PartQueue, RecordsApi, ResultStore, at
from crm_export.telemetry import count, count_bytes, logger
from crm_export.zoho.catalog import version_number
from crm_export.zoho.metadata import MAX_FIELDS
from crm_export.zoho.records import BY_ID, BY_MODIFIED_TIME, Cursor

NO_BULK_READ = {"Notes"}  # modules Zoho documents as such; of others Zoho tells when asked
# Of Zoho's records API: v3 is the first with page tokens, v6 the last that does not cut rich text at 500
# characters.
_VERSIONS = ("v3", "v6")
_SINGLE = "Zoho gives it with a single record only, not in lists."
_PART_RECORDS = 10_000
_PART_SECONDS = 300.0
_SPARE_SECONDS = 60.0  # of the function's time: more than a page takes, and to finish the object
_LARGEST_EDGE = 5_000  # ids in a checkpoint: it is part of an item in DynamoDB, which holds 400 KB
_CLOCKS_DIFFER = timedelta(minutes=10)


@dataclass(frozen=True)
class ReadServices:
    """What reading a part needs. records(account_id, owner) gives Zoho in a connection's name."""

    store: ExportStore
    download_queue: PartQueue
    records: Callable[[str, str], RecordsApi]
    results: ResultStore
    clock: Clock


def check_readable(module: str, query: dict[str, Any], page: int) -> None:
    """Raise QueryRefused for what the records API cannot do."""
    why = f"module {module} is not taken by Zoho's Bulk Read and is read through its records API"
    if "criteria" in query:
        raise QueryRefused(
            f"query.criteria is given, but {why}, which has none; allowed are cvid and fields."
        )
    if page != 1:
        raise QueryRefused(f"query.page is {page}, but {why}, which knows no such pages; leave it out.")
    for index, name in enumerate(query.get("fields", [])):
        if "." in name and query["fields"] != "all":
            raise QueryRefused(
                f'query.fields[{index}] is "{name}", but {why}, which knows no fields of other modules.'
            )


def settle_reading(store: ExportStore, api: RecordsApi, export: Export) -> None:
    """Settle which fields are read, and see that Zoho gives them. Raises what Zoho refuses."""
    version = min(max(export.api_version, _VERSIONS[0], key=version_number), _VERSIONS[1], key=version_number)
    listed, single = api.field_names(version, export.module)
    wanted, dropped = export.query.get("fields"), list[dict[str, str]]()
    if isinstance(wanted, list):
        fields = [name for name in wanted if name not in ("id", "Id")]
        _check_names(export.module, wanted, listed, single)
    else:
        fields = listed
        dropped = [{"field": name, "reason": _SINGLE} for name in single]
    order = _settle_order(api, export, version, fields)
    store.amend(
        export,
        source=RECORDS,
        api_version=version,
        fields=fields,
        fields_dropped=dropped,
        read_order=order,
    )


def _check_names(module: str, wanted: list[str], listed: list[str], single: list[str]) -> None:
    """Zoho's records API passes over names it does not know: an empty column would look like empty fields."""
    for index, name in enumerate(wanted):
        if name in single:
            raise QueryRefused(f'query.fields[{index}] is "{name}". {_SINGLE}')
        if listed and name not in listed and name not in ("id", "Id") and not name.startswith("$"):
            raise QueryRefused(
                f'query.fields[{index}] is "{name}"; module {module} has no such field. It has: '
                f"{', '.join(listed)}."
            )


def _settle_order(api: RecordsApi, export: Export, version: str, fields: list[str]) -> str:
    fields = fields[:MAX_FIELDS]  # enough to see that Zoho gives them: one call
    if "cvid" not in export.query:  # Zoho sorts no custom views
        try:
            api.page(version, export.module, export.query, fields, BY_MODIFIED_TIME)
        except (ZohoQueryRefused, PagingBroken):  # records without Modified_Time
            pass
        else:
            return "Modified_Time"
    api.page(version, export.module, export.query, fields, BY_ID)
    return "id"


def read_part(
    services: ReadServices, export: Export, part: Part, owner: str, keep_lease: Callable[[], None]
) -> None:
    """PENDING → STORED: the records from the part's checkpoint on, as one object."""
    reading = _Reading(services, export, part, keep_lease)
    # What is read may differ from what an attempt before this one read: each has an object of its own.
    key = export.part_key(part.part, attempt_number(part))
    try:
        stored = services.results.store_records(
            reading.pages(), key, fields=export.fields or [], file_format=export.file_format
        )
    except ZohoPageTokenExpired as error:
        _restart(services, export, error)
        return
    except PagingBroken as error:
        if export.read_order == "id":
            raise
        # Records without Modified_Time, or not found by it: page by page instead.
        amended = services.store.amend(export, read_order="id")
        if amended is not None:
            _restart(services, amended, error)
        return
    if stored.records != reading.records:
        raise CountMismatch(f"The part holds {stored.records} records; Zoho listed {reading.records}.")
    now = at(services.clock)
    facts = {**asdict(stored), "expected_records": reading.records, "stored_at": now}
    if not services.store.mark_read(part, owner, facts, reading.next):
        logger.warning("part was another's by now", export_id=export.export_id, part=part.part)
        return
    count("RecordsStored", stored.records)
    count_bytes("BytesStored", stored.bytes)
    logger.info("part stored", export_id=export.export_id, part=part.part, records=stored.records)
    if reading.next is not None:
        services.download_queue.send(export.export_id, part.part + 1)


def _restart(services: ReadServices, export: Export, error: ExportError) -> None:
    first = restart_export(services.store, services.clock, export, error)
    if first is not None:
        services.download_queue.send(export.export_id, first)


class _Reading:
    """The pages of one part, and after them: how many records they held, and where the next part begins."""

    def __init__(
        self, services: ReadServices, export: Export, part: Part, keep_lease: Callable[[], None]
    ) -> None:
        self._services = services
        self._export = export
        self._part = part
        self._keep_lease = keep_lease
        self._api = services.records(export.account_id, export.owner)
        self._started = services.clock()
        self._before: set[str] | None = None  # ids of earlier parts, read when they are needed
        self._own: set[str] = set()
        self.records = 0
        self._cursor = part.cursor or (BY_MODIFIED_TIME if export.read_order == "Modified_Time" else BY_ID)
        self.next: Cursor | None = None

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        export = self._export
        while True:
            fields = export.fields or []
            page = self._api.page(export.api_version, export.module, export.query, fields, self._cursor)
            records = self._first_seen(page.records)
            self.records += len(records)
            self.next = page.next
            self._keep_lease()
            yield records
            if self.next is None or (self._is_enough() and len(self.next.get("edge", ())) <= _LARGEST_EDGE):
                return
            self._cursor = self.next

    def _is_enough(self) -> bool:
        seconds = (self._services.clock() - self._started).total_seconds()
        return (
            self.records >= _PART_RECORDS or seconds > _PART_SECONDS or deadline.remaining() < _SPARE_SECONDS
        )

    def _first_seen(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """In the order of Modified_Time, a record changed since the export began may have come before."""
        if "since" not in self._cursor:
            return records
        began = datetime.fromisoformat(self._export.requested_at) - _CLOCKS_DIFFER
        if self._before is None and any(
            datetime.fromisoformat(record["Modified_Time"]) >= began for record in records
        ):
            parts = self._services.store.get_parts(self._export)
            self._before = set()
            for part in parts:
                if part.part < self._part.part:
                    self._before.update(self._services.results.read_ids(str(part.key)))
                    self._keep_lease()
        before = self._before or set()
        new = [record for record in records if record["id"] not in before and record["id"] not in self._own]
        self._own.update(record["id"] for record in new)
        return new
