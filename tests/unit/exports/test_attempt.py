"""One leased attempt at a step: claim, keep, confirm, settle, delay, and why a claim may fail."""

from dataclasses import replace

import pytest

from crm_export import deadline
from crm_export.errors import (
    DownloadsSpent,
    ExportError,
    PartBusy,
    QueryRefused,
    ResultError,
    StateUnavailable,
    StepPostponed,
    StorageRefused,
    WorkerDied,
    ZohoNotFound,
    ZohoThrottled,
    ZohoUnavailable,
)
from crm_export.exports.attempt import Attempt, busy, fail_export, retry_delay
from crm_export.exports.model import ExportState, LastError, PartState, timestamp


def claim(one_export, owner="me", **options):
    return Attempt.claim(one_export.pipeline, one_export.export(), one_export.part(), owner=owner, **options)


def attempt_that_raises(one_export, error, **options):
    """Run one attempt whose step raises `error`; return the exception that leaves it."""
    with pytest.raises((ExportError, type(error))) as raised, claim(one_export, **options):
        raise error
    return raised.value


# --- claim ---


def test_claim_leases_the_part_for_ninety_seconds(one_export):
    attempt = claim(one_export)
    part = one_export.part()
    assert (attempt.owner, part.lease_owner, part.lease_until) == ("me", "me", one_export.at(90))


def test_claim_of_a_leased_part_returns_none_until_the_lease_has_expired(one_export):
    one_export.claim("another", 90)
    one_export.let_pass(90)
    assert claim(one_export) is None
    one_export.let_pass(1)
    assert claim(one_export) is not None
    assert one_export.part().dead_owners == {"another"}


def test_claim_of_a_paused_part_returns_none_until_the_pause_is_over(one_export):
    one_export.claim("another", 90)
    one_export.table.release(one_export.part(), "another", one_export.now, not_before=one_export.at(14))
    one_export.let_pass(13)
    assert claim(one_export) is None
    one_export.let_pass(1)
    assert claim(one_export) is not None


def test_claim_of_a_part_that_has_moved_on_returns_none(one_export):
    export, part = one_export.export(), one_export.part()
    one_export.submitted()
    assert Attempt.claim(one_export.pipeline, export, part, owner="me") is None


def die(one_export, times):
    """Let workers claim the part and never release it."""
    for number in range(times):
        one_export.claim(f"worker {number}", 90)
        one_export.let_pass(91)


def test_claim_after_seven_deaths_succeeds(one_export):
    die(one_export, 7)
    assert claim(one_export) is not None


def test_claim_after_eight_deaths_fails_the_export_and_names_both_causes(one_export, metric_names):
    die(one_export, 8)
    causes = (
        r"8 workers were lost on part 1 \(PENDING\) of export 2026.* died .*, or its lease ran out during"
    )
    with pytest.raises(WorkerDied, match=causes):
        claim(one_export)
    assert one_export.export().failure.code == "WORKER_DIED"
    assert one_export.part().state is PartState.FAILED
    assert metric_names() == {"ExportsFailed"}


def test_claim_while_the_eighth_lease_is_in_force_waits_for_its_worker(one_export):
    die(one_export, 7)
    one_export.claim("the eighth", 90)
    assert claim(one_export) is None
    assert one_export.export().state is ExportState.RUNNING


# --- the lease ---


def test_lease_is_renewed_every_fifteen_seconds_until_the_step_ends(one_export):
    with claim(one_export):
        for _ in range(3):
            one_export.let_pass(600)
            assert one_export.part().lease_until == one_export.at(90)
    one_export.let_pass(15)
    assert one_export.part().lease_until == one_export.at(75)


def test_lease_outlasts_renewals_that_fail_because_the_table_is_unavailable(one_export):
    renew = one_export.table.renew
    with claim(one_export) as attempt:
        one_export.table.renew = unavailable_until(one_export, one_export.at(75), renew)
        one_export.let_pass(60)
        attempt.keep()
        assert one_export.part().lease_until == one_export.at(30)
        one_export.let_pass(15)
        assert one_export.part().lease_until == one_export.at(90)


def take_over(one_export):
    """Let the lease run out, as of a worker that was frozen, and another worker take the part over."""
    frozen, one_export.repeated = one_export.repeated, []
    one_export.let_pass(91)
    one_export.claim("another", 90)
    one_export.repeated = frozen


def test_keep_raises_once_a_renewal_finds_that_the_lease_was_taken_over(one_export):
    with pytest.raises(StepPostponed) as postponed, claim(one_export) as attempt:
        take_over(one_export)
        attempt.keep()  # nobody has noticed yet
        one_export.let_pass(15)
        assert one_export.repeated == []
        attempt.keep()
    assert isinstance(postponed.value.__cause__, PartBusy)
    assert "was taken over by another worker" in postponed.value.message
    assert one_export.part().lease_owner == "another"


def test_confirm_renews_the_lease(one_export):
    attempt = claim(one_export)
    one_export.let_pass(80)
    attempt.confirm()
    assert one_export.part().lease_until == one_export.at(90)


@pytest.mark.parametrize("change", ["lease", "sealed", "restarted", "failed"])
def test_confirm_raises_if_the_object_is_not_needed_any_more(one_export, change):
    attempt = claim(one_export)
    if change == "lease":
        take_over(one_export)
    elif change == "sealed":
        assert one_export.table.seal(one_export.export(), one_export.now, 0)
    elif change == "restarted":
        one_export.restart(2)
    else:
        one_export.fail()
    with pytest.raises(PartBusy):
        attempt.confirm()


def test_release_ends_the_lease_without_a_failed_attempt(one_export):
    claim(one_export).release()
    part = one_export.part()
    assert (part.lease_owner, part.lease_until, part.attempts, part.not_before) == (None, None, 0, None)


# --- settle ---


def test_attempt_without_error_leaves_the_part_to_the_step(one_export):
    with claim(one_export) as attempt:
        assert isinstance(attempt, Attempt)
    assert (one_export.part().lease_owner, one_export.part().attempts) == ("me", 0)


@pytest.mark.parametrize(
    ("error", "strikes", "delay"),
    [
        (ResultError("wrong"), {"RESULT_INVALID": 1}, 15),
        (ZohoNotFound("gone"), {"ZOHO_NOT_FOUND": 1}, 15),
        (ZohoUnavailable("down"), {}, 15),
        (ZohoThrottled("slow down", retry_after=40), {}, 40),
        (DownloadsSpent("wait", retry_after=7), {}, 7),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_retryable_error_pauses_the_part_and_is_the_cause_of_step_postponed(
    one_export, error, strikes, delay
):
    postponed = attempt_that_raises(one_export, error)
    assert (type(postponed), postponed.__cause__) == (StepPostponed, error)
    assert (postponed.message, postponed.retry_after) == (error.message, delay)
    part = one_export.part()
    assert (part.attempts, part.strikes, part.lease_owner) == (1, strikes, None)
    assert part.not_before == one_export.at(delay - 1)
    assert part.last_error == LastError(error.code, error.message, timestamp(one_export.now))
    assert one_export.export().state is ExportState.RUNNING


def test_error_keeps_its_own_retry_after(one_export):
    error = ZohoUnavailable("down")
    attempt_that_raises(one_export, error)
    assert error.retry_after is None


def test_delay_also_grows_with_failed_attempts_that_are_not_strikes(one_export):
    delays = []
    for _ in range(3):
        postponed = attempt_that_raises(one_export, ZohoUnavailable("down"))
        delays.append(postponed.retry_after)
        one_export.let_pass(postponed.retry_after)
    assert delays == [15, 30, 60]


@pytest.mark.parametrize(("refused", "metric"), [(False, "ExportsFailed"), (True, "ExportsRefused")])
def test_terminal_error_fails_the_export_and_leaves_as_it_is(one_export, metric_names, refused, metric):
    error = QueryRefused("no")
    assert attempt_that_raises(one_export, error, refused=refused) is error
    export = one_export.export()
    assert (export.state, export.failure.code) == (ExportState.FAILED, "QUERY_REFUSED")
    assert (export.failure.message, export.failure.remedy) == ("no", error.remedy)
    assert one_export.part().state is PartState.FAILED
    assert metric_names() == {metric}


def test_last_strike_fails_the_export_and_outages_before_it_do_not_count(one_export):
    for error in (ZohoNotFound("1"), ZohoUnavailable("down"), ZohoNotFound("2"), ZohoThrottled("wait")):
        assert attempt_that_raises(one_export, error).__cause__ is error
        one_export.let_pass(1000)
    assert (one_export.part().attempts, one_export.part().strikes) == (4, {"ZOHO_NOT_FOUND": 2})
    last = ZohoNotFound("3")
    assert attempt_that_raises(one_export, last) is last
    assert one_export.export().failure.code == "ZOHO_NOT_FOUND"


@pytest.mark.parametrize(
    ("strikes", "error", "is_last"),
    [
        (1, ZohoNotFound(""), False),
        (2, ZohoNotFound(""), True),
        (0, QueryRefused(""), True),
        (99, ZohoUnavailable(""), False),
    ],
)
def test_is_last_counts_strikes_up_to_the_errors_limit(one_export, strikes, error, is_last):
    one_export.claim("me", 90)
    one_export.table.release(one_export.part(), "me", one_export.now, strikes={error.code: strikes})
    assert claim(one_export).is_last(error) is is_last


def test_unknown_exception_leaves_as_it_is_and_its_eighth_fails_the_export(one_export):
    error = ZeroDivisionError("a secret")
    for number in range(1, 8):
        assert attempt_that_raises(one_export, error) is error
        part = one_export.part()
        assert (part.attempts, part.strikes, part.lease_owner) == (number, {"INTERNAL_ERROR": number}, None)
        one_export.let_pass(1000)
    assert attempt_that_raises(one_export, error) is error
    failure = one_export.export().failure
    assert failure.code == "INTERNAL_ERROR"
    assert failure.message == "Part 1 (PENDING) failed with ZeroDivisionError."


def test_worker_that_is_killed_records_nothing(one_export):
    with pytest.raises(KeyboardInterrupt), claim(one_export):
        raise KeyboardInterrupt
    assert (one_export.part().lease_owner, one_export.part().attempts) == ("me", 0)


def test_error_of_a_worker_that_lost_its_lease_only_cancels_its_death(one_export):
    attempt = claim(one_export)
    one_export.let_pass(91)
    one_export.claim("another", 90)
    before = one_export.part()
    assert before.dead_owners == {"me"}
    with pytest.raises(StepPostponed), attempt:
        raise ResultError("wrong")
    assert one_export.part() == replace(before, dead_owners=frozenset())


def test_errors_with_different_codes_do_not_share_their_strikes(one_export):
    for error in [StorageRefused("no")] * 7 + [ResultError("wrong")] * 7:
        assert attempt_that_raises(one_export, error).__cause__ is error
        one_export.let_pass(1000)
    assert one_export.part().strikes == {"STORAGE_REFUSED": 7, "RESULT_INVALID": 7}
    attempt_that_raises(one_export, StorageRefused("no"))
    assert one_export.export().failure.code == "STORAGE_REFUSED"


def unavailable_until(one_export, moment, write):
    """Return `write` for a table that is unavailable until then."""

    def unavailable(*arguments, **named):
        if one_export.now < moment:
            raise StateUnavailable("down")
        return write(*arguments, **named)

    return unavailable


@pytest.mark.parametrize(("seconds", "is_recorded"), [(31, True), (32, False)])
def test_failure_is_recorded_if_the_table_is_back_within_half_a_minute(one_export, seconds, is_recorded):
    attempt, table = claim(one_export), one_export.table
    table.release = unavailable_until(one_export, one_export.at(seconds), table.release)
    with pytest.raises(StepPostponed if is_recorded else StateUnavailable), attempt:
        raise ZohoNotFound("gone")
    assert one_export.part().strikes == ({"ZOHO_NOT_FOUND": 1} if is_recorded else {})


def test_nobody_waits_for_the_table_if_the_function_has_no_time_for_it(one_export):
    attempt, table, began = claim(one_export), one_export.table, one_export.now
    table.release = unavailable_until(one_export, one_export.at(31), table.release)
    with (
        deadline.clocked_by(lambda: one_export.now.timestamp()),  # noqa: PLW0108 (time passes)
        deadline.ends_in(8),
        pytest.raises(StateUnavailable),
        attempt,
    ):
        raise ZohoNotFound("gone")
    assert (
        one_export.now - began
    ).total_seconds() == 7  # a second is left, and the next pause would be eight


def test_claim_waits_for_the_table(one_export):
    one_export.table.claim = unavailable_until(one_export, one_export.at(3), one_export.table.claim)
    assert claim(one_export) is not None


def test_error_in_an_earlier_generation_does_not_fail_the_export(one_export, metric_names):
    attempt = claim(one_export)
    one_export.restart(2)
    with pytest.raises(QueryRefused), attempt:
        raise QueryRefused("no")
    assert one_export.export().state is ExportState.RUNNING
    assert metric_names() == set()


def test_fail_export_without_a_part_leaves_the_parts_as_they_are(one_export):
    fail_export(one_export.pipeline, one_export.export(), None, QueryRefused("no"))
    assert one_export.export().state is ExportState.FAILED
    assert one_export.part().state is PartState.PENDING


# --- delay ---


@pytest.mark.parametrize(
    ("attempt", "delay"),
    [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 480), (7, 900), (8, 900), (10_000, 900)],
)
def test_retry_delay_doubles_from_15_to_900_seconds(attempt, delay):
    assert retry_delay(ZohoUnavailable("down"), attempt) == delay


@pytest.mark.parametrize(("own", "delay"), [(1, 1), (40, 40), (5000, 900)])
def test_retry_delay_is_the_errors_own_up_to_900_seconds(own, delay):
    assert retry_delay(ZohoThrottled("wait", retry_after=own), 5) == delay


# --- busy ---


@pytest.mark.parametrize(
    ("seconds", "wait"), [(-1, 5), (0, 5), (4, 5), (5, 10), (30, 35), (54, 55), (55, 60), (90, 60)]
)
def test_busy_waits_until_the_lease_has_expired_but_at_most_a_minute(one_export, seconds, wait):
    one_export.claim("another", seconds)
    error = busy(one_export.pipeline, one_export.part())
    assert error.retry_after == wait
    assert error.message == f"Part 1 of export {one_export.export_id} is locked by another worker."


def test_busy_is_none_for_a_part_without_a_lease(one_export):
    assert busy(one_export.pipeline, one_export.part()) is None


def test_busy_is_none_for_a_part_that_has_moved_on(one_export):
    part = one_export.part()
    one_export.submitted()
    one_export.claim("another", 90)
    assert busy(one_export.pipeline, part) is None
