"""The witness: what Zoho's own counts say about a full export."""

import json
from datetime import timedelta

import pytest

from crm_export import deadline
from crm_export.errors import (
    StateUnavailable,
    StorageUnavailable,
    TokenInvalidated,
    ZohoPermissionDenied,
    ZohoUnavailable,
)
from crm_export.exports.complete import complete_export
from crm_export.exports.model import ExportState
from crm_export.exports.view import summarize
from crm_export.exports.witness import Movement, is_witnessed, judge
from crm_export.zoho.bulk_read import Job
from tests.unit.exports.conftest import BEGAN

REFUSED = ZohoPermissionDenied("The grant lacks a scope.", zoho_code="OAUTH_SCOPE_MISMATCH")


def run(one_export, *, records, before, after, created=0, deleted=()):
    """Export so many records while Zoho counts these; return the witness.

    deleted: when records were deleted, in seconds after the first count.
    """
    census = one_export.zoho.census
    census.records, census.created = before, created
    one_export.submit()
    census.records = after
    census.deleted = [BEGAN + timedelta(seconds=seconds) for seconds in deleted]
    job = Job("new-1", "COMPLETED", count=records)
    one_export.table.mark_ready(one_export.export(), one_export.part(), job, BEGAN)
    one_export.advance()
    return one_export.export().witness


def numbers(witness):
    return witness.before, witness.after, witness.created, witness.deleted, witness.verdict


def test_equal_counts_are_exact_and_cost_two_calls(one_export, metric_names):
    witness = run(one_export, records=5, before=5, after=5)
    assert numbers(witness) == (5, 5, None, None, "exact")
    asked = [call[0] for call in one_export.zoho.census.asked]
    assert asked == ["count", "count", "fields"]
    assert "WitnessGaps" not in metric_names()


def test_missing_records_are_a_gap_and_the_export_is_completed_nevertheless(one_export, metric_names):
    witness = run(one_export, records=5, before=8, after=8)
    assert numbers(witness) == (8, 8, 0, 0, "gap")
    assert "At least 3 are missing." in witness.why
    export, (manifest,) = one_export.export(), one_export.results.manifests.values()
    assert (export.state, manifest["witness"]["verdict"]) == (ExportState.COMPLETED, "gap")
    assert summarize(export)["witness"] == manifest["witness"]
    assert "WitnessGaps" in metric_names()


def test_created_and_deleted_records_explain_a_difference(one_export):
    witness = run(one_export, records=6, before=5, after=7, created=3, deleted=[1])
    assert numbers(witness) == (5, 7, 3, 1, "explained")


def test_deletions_shortly_before_are_no_gap_because_the_count_may_lag(one_export):
    witness = run(one_export, records=5, before=7, after=7, deleted=[-60, -800, -1000])
    assert (numbers(witness), "may lag" in witness.why) == ((7, 7, 0, 0, "unknown"), True)


@pytest.mark.parametrize(
    ("records", "before", "after", "moved", "verdict"),
    [
        (10, 10, 12, Movement(2, 0, 0), "explained"),
        (11, 10, 12, Movement(2, 0, 0), "explained"),
        (9, 10, 12, Movement(2, 0, 0), "gap"),
        (13, 10, 12, Movement(2, 0, 0), "unknown"),  # more than there ever were
        (8, 10, 8, Movement(0, 2, 0), "explained"),
        (7, 10, 8, Movement(0, 2, 0), "gap"),
        (7, 10, 8, Movement(0, 2, 1), "unknown"),
        (6, 10, 8, Movement(0, 2, 1), "gap"),
        (10, 10, 13, Movement(0, 0, 0), "unknown"),  # three were restored after the records were read
        (13, 10, 13, Movement(0, 0, 0), "unknown"),  # or before
        (10, 13, 10, Movement(0, 0, 0), "unknown"),  # a count that was stale
        (9, 13, 10, Movement(0, 0, 0), "gap"),
    ],
)
def test_verdict(records, before, after, moved, verdict):
    assert judge(records, before, after, moved)[0] == verdict


@pytest.mark.parametrize(
    "error", [REFUSED, ZohoUnavailable("down"), TokenInvalidated("x"), StateUnavailable("x")]
)
def test_export_without_a_count_before_is_completed_with_an_unknown_verdict(one_export, error):
    witness = run(one_export, records=5, before=error, after=5)
    assert numbers(witness) == (None, None, None, None, "unknown")
    assert witness.why == f"{error.code}: {error.message}"
    assert one_export.export().state is ExportState.COMPLETED
    assert [call[0] for call in one_export.zoho.census.asked] == ["count", "fields"]


@pytest.mark.parametrize(
    ("failing", "numbers_seen"),
    [
        ({"after": REFUSED}, (8, None, None, None)),
        ({"created": REFUSED}, (8, 8, None, None)),
        ({"created": ZohoUnavailable("down")}, (8, 8, None, None)),
    ],
)
def test_failure_of_a_later_count_leaves_the_verdict_unknown(one_export, failing, numbers_seen):
    witness = run(one_export, **{"records": 5, "before": 8, "after": 8, **failing})
    assert numbers(witness) == (*numbers_seen, "unknown")
    assert one_export.export().state is ExportState.COMPLETED


def test_deletions_that_cannot_be_read_leave_the_verdict_unknown(one_export):
    one_export.zoho.census.deleted_since = lambda *given: (_ for _ in ()).throw(ZohoUnavailable("too many"))
    witness = run(one_export, records=5, before=8, after=8)
    assert numbers(witness) == (8, 8, None, None, "unknown")
    assert "too many" in witness.why


@pytest.mark.parametrize("query", [{"criteria": {}}, {"cvid": "1"}])
def test_export_of_some_records_has_no_witness_and_asks_for_no_count(one_export, query):
    one_export.create("20261122T130000Z-fedcba9876543210", query=query)
    one_export.export_id = "20261122T130000Z-fedcba9876543210"
    assert run(one_export, records=5, before=8, after=8) is None
    assert [call[0] for call in one_export.zoho.census.asked] == ["fields"]


def test_export_from_a_later_page_on_is_not_witnessed(one_export):
    export = one_export.create("20261122T130000Z-fedcba9876543210", page=2)
    assert is_witnessed(one_export.table.get("20261122T130000Z-fedcba9876543210")) is False
    assert is_witnessed(export) is True


def test_gap_of_leads_is_unknown_because_converted_leads_may_be_counted(one_export):
    one_export.create("20261122T130000Z-fedcba9876543210", module="Leads")
    one_export.export_id = "20261122T130000Z-fedcba9876543210"
    witness = run(one_export, records=5, before=8, after=8)
    assert (witness.verdict, "converted leads" in witness.why) == ("unknown", True)


@pytest.mark.parametrize("first", [5, ZohoUnavailable("down")])
def test_zoho_is_asked_before_the_first_job_and_not_before_one_that_replaces_it(one_export, first):
    one_export.zoho.census.records = first
    one_export.submit()
    counted = one_export.export().counted_before
    one_export.table.mark_pending_again(one_export.part(), BEGAN, BEGAN)
    one_export.zoho.census.records = 6
    one_export.submit()
    assert one_export.export().counted_before == counted
    assert len(one_export.zoho.created) == 2


def test_count_before_gets_four_seconds_and_those_after_leave_time_to_complete(one_export):
    left = []
    census = one_export.zoho.census
    right = census.count
    census.count = lambda *given: left.append(deadline.remaining()) or right(*given)
    with deadline.ends_in(60):
        run(one_export, records=5, before=5, after=5)
    assert (left[0] <= 4, 15 < left[1] <= 20) == (True, True)


def test_sealed_export_keeps_its_witness_when_its_manifest_is_written_again(one_export):
    one_export.results.refuses_manifests = StorageUnavailable("down")
    with pytest.raises(StorageUnavailable):
        run(one_export, records=5, before=8, after=8)
    asked = len([call for call in one_export.zoho.census.asked if call[0] == "count"])
    one_export.results.refuses_manifests = None
    one_export.zoho.census.records = 5
    complete_export(one_export.pipeline, one_export.export())
    (manifest,) = one_export.results.manifests.values()
    assert manifest["witness"]["verdict"] == "gap"
    assert len([call for call in one_export.zoho.census.asked if call[0] == "count"]) == asked


# --- fields ---


def test_manifest_has_the_types_of_the_fields(one_export):
    described = [{"api_name": "Amount", "data_type": "currency"}]
    one_export.zoho.census.described = described
    run(one_export, records=5, before=5, after=5)
    (manifest,) = one_export.results.manifests.values()
    assert json.loads(json.dumps(manifest["fields"])) == described


@pytest.mark.parametrize("described", [REFUSED, ZohoUnavailable("down"), []])
def test_manifest_without_metadata_has_no_fields(one_export, described):
    one_export.zoho.census.described = described
    run(one_export, records=5, before=5, after=5)
    (manifest,) = one_export.results.manifests.values()
    assert (manifest["fields"], one_export.export().state) == (None, ExportState.COMPLETED)
