"""The simulation bites: code of ours broken on purpose is caught within a few hundred seeds."""

from dataclasses import replace

import pytest

from crm_export.aws.export_table import DynamoExportStore, PartTransitions, Table
from crm_export.aws.object_writer import ObjectWriter
from crm_export.aws.results_bucket import ResultsBucket
from crm_export.exports import attempt, complete, download, reconcile
from crm_export.exports.model import PartState
from crm_export.results import unzip
from crm_export.zoho import client
from simulation import functions
from simulation.world import run

SEEDS = 400


def without_conditions(patch):
    right = Table.update_request

    def update_request(self, key, update, condition, *given):
        return right(self, key, update, f"attribute_exists(pk) OR {condition}", *given)

    patch.setattr(Table, "update_request", update_request)


def without_the_count_check(patch):
    right = ResultsBucket._store
    patch.setattr(
        ResultsBucket,
        "_store",
        lambda self, pieces, content, key, kind, _: right(self, pieces, content, key, kind, None),
    )


def without_the_zip_check(patch):
    patch.setattr(unzip, "check_end", lambda *given: None)


def without_leases(patch):
    patch.setattr(PartTransitions, "claim", lambda self, *given: True)
    patch.setattr(PartTransitions, "renew", lambda self, *given: True)


def without_the_reconciler(patch):
    patch.setattr(functions, "reconcile", lambda services: 0)


def without_deadlines(patch):
    patch.setattr(download, "_give_up_overdue", lambda services, part, job: False)
    patch.setattr(reconcile, "fail_export", lambda *given: None)


def with_a_manifest_as_soon_as_one_part_is_stored(patch):
    patch.setattr(
        complete,
        "all_parts_stored",
        lambda export, parts: any(part.state is PartState.STORED for part in parts),
    )


def without_the_next_part(patch):
    right = PartTransitions.mark_ready
    patch.setattr(
        PartTransitions,
        "mark_ready",
        lambda self, part, job, now: right(self, part, replace(job, more_records=False), now),
    )


def with_any_job_a_callback_names(patch):
    patch.setattr(download, "_is_ours", lambda job, export, part: True)


def with_a_hint_that_stays(patch):
    patch.setattr(PartTransitions, "forget_hint", lambda self, part, now: None)


def without_signatures(patch):
    patch.setattr(functions, "verify", lambda key, export_id, part, signature: int(part))


def with_throttling_that_uses_up_attempts(patch):
    right = attempt.is_last_attempt

    def is_last_attempt(error, part):
        return right(error, replace(part, strikes=part.attempts))

    patch.setattr(attempt, "is_last_attempt", is_last_attempt)
    patch.setattr(download, "is_last_attempt", is_last_attempt)


def without_the_object(patch):
    patch.setattr(ObjectWriter, "commit", lambda self, crc32, size: None)


def without_aborting_uploads(patch):
    patch.setattr(ObjectWriter, "__exit__", lambda self, *error: None)


def without_the_generation(patch):
    right = DynamoExportStore.restart
    # The part that lost its snapshot goes on with another one.
    patch.setattr(
        DynamoExportStore,
        "restart",
        lambda self, export, first: right(self, replace(export, generation=0), first),
    )


def with_a_token_in_the_log(patch):
    right = client.ZohoClient._with_token

    def with_token(self, call):
        download.logger.info("calling Zoho", token=self._tokens.token())
        return right(self, call)

    patch.setattr(client.ZohoClient, "_with_token", with_token)


MUTANTS = [
    without_conditions,
    without_the_count_check,
    without_the_zip_check,
    without_leases,
    without_the_reconciler,
    without_deadlines,
    with_a_manifest_as_soon_as_one_part_is_stored,
    without_the_next_part,
    with_any_job_a_callback_names,
    with_a_hint_that_stays,
    without_signatures,
    with_throttling_that_uses_up_attempts,
    without_the_object,
    without_aborting_uploads,
    without_the_generation,
    with_a_token_in_the_log,
]


# Faults that go together seldom, for those that only they show.
_WRONG_HINTS = {"callback names another job": 0.6, "Zoho times out after it did it": 0.3}
TOGETHER = {
    with_any_job_a_callback_names: _WRONG_HINTS,
    with_a_hint_that_stays: _WRONG_HINTS,
    with_throttling_that_uses_up_attempts: {"Zoho 429": 0.4, "S3 refuses": 0.2, "result truncated": 0.2},
}


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_code_that_is_broken_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    only = TOGETHER.get(mutate)
    outcomes = (run(seed, only=only) for seed in range(1, SEEDS + 1))
    caught = next((outcome for outcome in outcomes if outcome.broken), None)
    assert caught is not None
