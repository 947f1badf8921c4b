"""Exports a module that Bulk Read does not support, through the records API.

`submit` calls it to settle which fields are read in which order, `download` to read a part. A part is a
bounded number of records from a cursor on, so that it always fits into one invocation.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from crm_export import deadline
from crm_export.errors import (
    CountMismatch,
    ObjectConflict,
    PagingBroken,
    QueryRefused,
    ZohoPageTokenExpired,
    ZohoQueryRefused,
)
from crm_export.exports.attempt import Attempt, patiently, restart_export
from crm_export.exports.model import RECORDS, DroppedField, Export
from crm_export.exports.pipeline import Pipeline
from crm_export.telemetry import count, count_bytes, logger
from crm_export.zoho.catalog import version_number
from crm_export.zoho.metadata import MAX_FIELDS
from crm_export.zoho.records import (
    BY_ID,
    BY_MODIFIED_TIME,
    Cursor,
    RecordPage,
    RecordsReader,
    with_module_columns,
)

# API versions of the records API: v3 is the first with page tokens, v6 the last that returns more than 500
# characters of rich text.
_VERSIONS = ("v3", "v6")
_SINGLE = "Zoho returns this field for single records only, not in lists."
_PART_SECONDS = 300.0
_SPARE_SECONDS = 60.0  # of the function's time: longer than a page takes, and enough to finish the object
_LARGEST_EDGE = 5_000  # ids in a cursor, which is part of a DynamoDB item (400 KB)
_CLOCK_SKEW = timedelta(minutes=10)
_IDS = ("id", "Id")
_ID_DIGITS = 19  # of a number that fits into eight bytes


def check_readable(module: str, query: dict[str, Any], page: int) -> None:
    """Raise QueryRefused for a query that the records API cannot answer."""
    why = f"module {module} is not supported by Zoho's Bulk Read and is read through its records API"
    if "criteria" in query:
        raise QueryRefused(f"query.criteria is given, but {why}, which has no criteria; use cvid or fields.")
    if page != 1:
        raise QueryRefused(f"query.page is {page}, but {why}, which has no such pages; leave it out.")
    for index, name in enumerate(query.get("fields", [])):
        if "." in name and query["fields"] != "all":
            raise QueryRefused(
                f'query.fields[{index}] is "{name}", but {why}, which has no fields of other modules.'
            )


def settle_reading(pipeline: Pipeline, export: Export) -> None:
    """Settle API version, fields and order of an export, and check that Zoho accepts them."""
    records = pipeline.zoho_for(export).records
    version = min(max(export.api_version, _VERSIONS[0], key=version_number), _VERSIONS[1], key=version_number)
    listed, single, polymorphic = records.field_names(version, export.module)
    requested, dropped = export.query.get("fields"), tuple[DroppedField, ...]()
    if isinstance(requested, list):
        _check_names(export.module, requested, listed, single)
        fields = [name for name in requested if name not in _IDS]
    else:
        fields = listed
        dropped = tuple(DroppedField(name, _SINGLE) for name in single)
    fields = with_module_columns(fields, polymorphic)
    pipeline.table.amend(
        export,
        source=RECORDS,
        api_version=version,
        fields=fields,
        fields_dropped=dropped,
        read_order=_choose_order(records, export, version, fields),
    )


def _check_names(module: str, requested: list[str], listed: list[str], single: list[str]) -> None:
    """Raise QueryRefused for a field that lists do not have: Zoho ignores it, its column would be empty."""
    for index, name in enumerate(requested):
        if name in single:
            raise QueryRefused(f'query.fields[{index}] is "{name}". {_SINGLE}')
        if listed and name not in listed and name not in _IDS and not name.startswith("$"):
            raise QueryRefused(
                f'query.fields[{index}] is "{name}"; module {module} has no such field. It has: '
                f"{', '.join(listed)}."
            )


def _choose_order(records: RecordsReader, export: Export, version: str, fields: list[str]) -> str:
    fields = fields[:MAX_FIELDS]  # one request is enough to see that Zoho accepts them
    if "cvid" not in export.query:  # Zoho does not sort custom views
        try:
            beginning = _beginning_by_time(export)
            records.read_page(version, export.module, None, fields, beginning)
            if beginning.since is None:
                records.check_times(version, export.module)
        except (ZohoQueryRefused, PagingBroken):
            pass  # the records have no Modified_Time
        else:
            return "Modified_Time"
    records.read_page(version, export.module, export.query.get("cvid"), fields, BY_ID)
    return "id"


def read_part(pipeline: Pipeline, attempt: Attempt) -> None:
    """PENDING → STORED: read records from the part's cursor on and store them as one object."""
    export, part = attempt.export, attempt.part
    reading = _Reading(pipeline, attempt)
    try:
        stored = pipeline.results.store_records(
            reading.pages(),
            export.part_key(part.part),
            fields=export.fields or [],
            file_format=export.file_format,
            confirm=attempt.confirm,
            index=export.sync is not None,
        )
    except (ZohoPageTokenExpired, ObjectConflict) as error:  # a lost attempt may have stored other records
        restart_export(pipeline, export, error)
        return
    except PagingBroken as error:
        if export.read_order == "id":
            raise
        # The records have no Modified_Time or are not sorted by it: read them by id instead.
        amended = pipeline.table.amend(export, read_order="id")
        if amended is not None:
            restart_export(pipeline, amended, error)
        return
    if stored.records != reading.count:
        raise CountMismatch(f"The part contains {stored.records} records; Zoho listed {reading.count}.")
    # The next attempt may read other records than those that are stored now, so try hard not to need one.
    one, following = reading.one_response, reading.next
    marked = patiently(
        pipeline,
        lambda: pipeline.table.mark_read(
            export, part, attempt.owner, stored, pipeline.clock(), following=following, one_response=one
        ),
    )
    if not marked:
        logger.warning("lease on part was taken over", export_id=export.export_id, part=part.part)
        return
    count("RecordsStored", stored.records)
    count_bytes("BytesStored", stored.bytes)
    logger.info("part stored", export_id=export.export_id, part=part.part, records=stored.records)
    if reading.next is not None:
        pipeline.enqueue_new(export, part.part + 1)


class _Reading:
    """Reads the pages of one part.

    Then `count` has the number of records, `next` the next part's cursor, and `one_response` is True if one
    response of Zoho had all of the records.
    """

    def __init__(self, pipeline: Pipeline, attempt: Attempt) -> None:
        export, part = attempt.export, attempt.part
        self._pipeline = pipeline
        self._attempt = attempt
        self._export = export
        self._part = part
        self._records = pipeline.zoho_for(export).records
        self._started = pipeline.clock()
        self._earlier: _Ids | None = None  # of earlier parts, read when they are needed
        self._own: set[int] = set()
        self._changed: set[tuple[str, str]] = set()  # id and Modified_Time of records that came again
        self._cursor = part.cursor or _beginning(export)
        self.count = 0
        self.next: Cursor | None = None
        self.one_response = False

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """Yield pages until the part is full or the module ends, and renew the lease after each."""
        export, is_first = self._export, True
        while True:
            page = self._records.read_page(
                export.api_version, export.module, export.query.get("cvid"), export.fields or [], self._cursor
            )
            records = self._without_repeated(page)
            self.count += len(records)
            self.next = page.next and replace(page.next, barren=self._is_barren(page, records))
            self.one_response = is_first and page.one_response
            self._attempt.keep()
            yield records
            if self.next is None or (self._is_full() and len(self.next.edge) <= _LARGEST_EDGE):
                return
            self._cursor, is_first = self.next, False

    def _is_full(self) -> bool:
        seconds = (self._pipeline.clock() - self._started).total_seconds()
        return (
            self.count >= self._pipeline.limits.records_per_part
            or seconds > _PART_SECONDS
            or deadline.remaining() < _SPARE_SECONDS
        )

    def _without_repeated(self, page: RecordPage) -> list[dict[str, Any]]:
        """Drop records that were read before, in this page or an earlier one."""
        if self._earlier is None and self._needs_earlier(page):
            self._earlier = _Ids(self._ids_of_earlier_parts())
        new = []
        for record in page.records:
            number = _eight_bytes(record["id"])
            if number not in self._own and (self._earlier is None or number not in self._earlier):
                self._own.add(number)
                new.append(record)
        return new

    def _needs_earlier(self, page: RecordPage) -> bool:
        """Return True if the page may contain records of earlier parts.

        In the order of Modified_Time only records that changed since the export began come again, unless the
        page before was read again.
        """
        began = self._export.requested_at - _CLOCK_SKEW
        return (
            not self._cursor.by_time
            or page.again
            or any(datetime.fromisoformat(record["Modified_Time"]) >= began for record in page.records)
        )

    def _ids_of_earlier_parts(self) -> Iterator[Iterable[str]]:
        for part in self._pipeline.table.get_parts(self._export):
            if part.part < self._part.part:
                yield self._pipeline.results.read_ids(str(part.key))
                self._attempt.keep()

    def _is_barren(self, page: RecordPage, new: list[dict[str, Any]]) -> bool:
        """Return True if the page has no new record. Raises PagingBroken for the second in a row.

        In the order of Modified_Time a record that changed comes again, and is new in that sense.
        """
        changed: set[tuple[str, str]] = set()
        if self._cursor.by_time:
            changed = {(record["id"], record["Modified_Time"]) for record in page.records} - self._changed
            self._changed |= changed
        if new or changed:
            return False
        if self._cursor.barren:
            raise PagingBroken(
                f"Zoho announces more records of module {self._export.module}, but two pages in a row "
                "contained only records that were read before."
            )
        return True


def _beginning(export: Export) -> Cursor:
    """Return where an export begins to read. Without Modified_Time a run reads all records."""
    return _beginning_by_time(export) if export.read_order == "Modified_Time" else BY_ID


def _beginning_by_time(export: Export) -> Cursor:
    since = export.sync.reads_from if export.sync else None
    return replace(BY_MODIFIED_TIME, since=since - timedelta(seconds=1) if since else None)


class _Ids:
    """A set of record ids that takes eight bytes for each."""

    def __init__(self, groups: Iterable[Iterable[str]]) -> None:
        self._groups = [array("Q", sorted(map(_eight_bytes, ids))) for ids in groups]

    def __contains__(self, number: int) -> bool:
        for group in self._groups:
            place = bisect_left(group, number)
            if place < len(group) and group[place] == number:
                return True
        return False


def _eight_bytes(record_id: str) -> int:
    """Return a record's id as a number of eight bytes: Zoho's own number, else a hash."""
    if len(record_id) <= _ID_DIGITS and record_id.isdecimal() and record_id == str(int(record_id)):
        return int(record_id)
    return int.from_bytes(blake2b(record_id.encode(), digest_size=8).digest())
