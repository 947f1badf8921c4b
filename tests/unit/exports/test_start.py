"""The start of an export: the request, its Idempotency-Key, how many may run at a time, and outages."""

from dataclasses import replace

import pytest

from crm_export.aws.export_table import DynamoExportTable
from crm_export.errors import (
    ConnectionNotFound,
    IdempotencyConflict,
    InvalidRequest,
    QueryRefused,
    QueueUnavailable,
    RequestInProgress,
    TooManyOpenExports,
    TypeNotSupported,
    ZohoQueryRefused,
    ZohoUnavailable,
)
from crm_export.exports.model import Caller, ExportState, PartState
from crm_export.exports.request import StartRequest
from crm_export.exports.start import start_export
from simulation.calls import refusal
from simulation.dynamodb import DynamoDb
from tests.unit.exports.conftest import CALLER

DAY = 24 * 3600


def start(one_export, *, export_type="contacts", body=None, key=None, caller=CALLER, **members):
    """Call start_export with these members of the pipeline."""
    request = StartRequest(export_type, lambda: body or {}, "https://api.example", key)
    started = start_export(replace(one_export.pipeline, **members), caller, request)
    one_export.export_id = started.export.export_id
    return started


# --- how many may run at a time ---


def test_export_beyond_the_limit_of_its_account_is_refused(one_export):
    one_export.limit(max_open_exports=2)
    one_export.let_pass(1)
    one_export.start()
    with pytest.raises(TooManyOpenExports, match="acct-1 has 2 exports in state RUNNING") as raised:
        one_export.start()
    assert raised.value.retry_after == 60
    assert len(one_export.zoho.created) == 1


def test_export_that_ends_makes_room_for_another(one_export):
    one_export.limit(max_open_exports=1)
    with pytest.raises(TooManyOpenExports):
        one_export.start()
    one_export.fail()
    one_export.start()
    assert len(one_export.zoho.created) == 1


def test_running_exports_of_other_accounts_do_not_count(one_export):
    one_export.fail()
    one_export.create("20261122T130000Z-fedcba9876543210", account_id="acct-10")
    one_export.limit(max_open_exports=1)
    one_export.start()
    assert len(one_export.zoho.created) == 1


# --- the request ---


def test_start_looks_for_the_connection_before_it_reads_the_body(one_export):
    def no_connection(account_id, owner):
        raise ConnectionNotFound(account_id, owner)

    def read_body():
        raise InvalidRequest("not JSON")

    pipeline = replace(one_export.pipeline, zoho=no_connection)
    with pytest.raises(ConnectionNotFound) as raised:
        start_export(pipeline, CALLER, StartRequest("unicorns!", read_body, "https://api.example", None))
    assert "account acct-1 and owner user-1" in raised.value.remedy


@pytest.mark.parametrize(
    ("request_", "error"),
    [({"export_type": "uni corns"}, TypeNotSupported), ({"body": {"query": 1}}, QueryRefused)],
    ids=["type", "body"],
)
def test_start_refuses_an_invalid_request(one_export, request_, error):
    with pytest.raises(error):
        start(one_export, **request_)


@pytest.mark.parametrize(
    ("configured", "used"), [("", "https://api.example"), ("https://own.example", "https://own.example")]
)
def test_start_prefers_the_configured_callback_url_to_that_of_the_request(one_export, configured, used):
    export = start(one_export, callback_base_url=configured).export
    assert export.callback_base_url == used
    assert one_export.zoho.created[0].callback_url.startswith(f"{used}/")


# --- its Idempotency-Key ---


def test_request_sent_twice_with_a_key_starts_one_export(one_export):
    body = {"query": {"page": 2}, "file_type": "csv"}
    first = start(one_export, body=body, key="k")
    second = start(one_export, body=dict(reversed(body.items())), key="k")
    assert (first.replayed, second.replayed) == (False, True)
    assert (second.export, len(one_export.zoho.created)) == (first.export, 1)


def test_request_sent_twice_without_a_key_starts_two_exports(one_export):
    first, second = start(one_export), start(one_export)
    assert first.export.export_id != second.export.export_id
    assert not second.replayed


@pytest.mark.parametrize("other", [{"body": {"query": {"page": 2}}}, {"export_type": "deals"}])
def test_key_of_a_different_request_is_a_conflict(one_export, other):
    start(one_export, key="k")
    with pytest.raises(IdempotencyConflict, match="Idempotency-Key 'k' was used for a different request"):
        start(one_export, key="k", **other)
    assert len(one_export.zoho.created) == 1


@pytest.mark.parametrize("caller", [Caller("acct-2", "user-1"), Caller("acct-1", "user-2")])
def test_key_of_another_account_or_owner_is_independent(one_export, caller):
    start(one_export, key="k")
    assert not start(one_export, key="k", caller=caller).replayed


@pytest.mark.parametrize("body", [{}, {"query": {"page": 2}}], ids=["the same", "a different one"])
def test_key_of_a_failed_export_starts_another_one(one_export, body):
    one_export.zoho.refusals = [ZohoQueryRefused("no such field")]
    with pytest.raises(ZohoQueryRefused):
        start(one_export, key="k")
    second = start(one_export, key="k", body=body)
    assert (second.replayed, second.export.state) == (False, ExportState.RUNNING)
    assert start(one_export, key="k", body=body).export == second.export


def test_key_is_bound_for_a_day(one_export):
    first = start(one_export, key="k").export.export_id
    one_export.let_pass(DAY - 1)
    assert start(one_export, key="k").export.export_id == first
    one_export.let_pass(1)
    second = start(one_export, key="k")
    assert (second.replayed, second.export.export_id == first) == (False, False)
    assert start(one_export, key="k").replayed


def test_key_of_a_deleted_export_is_free(one_export):
    first = start(one_export, key="k").export.export_id
    del one_export.items.items[f"EXPORT#{first}", "META"]
    assert not start(one_export, key="k").replayed


def test_request_that_is_refused_before_the_export_is_written_does_not_bind_its_key(one_export):
    one_export.limit(max_open_exports=1)
    with pytest.raises(TooManyOpenExports):
        start(one_export, key="k")
    one_export.limit()
    assert not start(one_export, key="k").replayed


def test_replay_is_not_counted_against_the_limit_of_exports(one_export):
    one_export.limit(max_open_exports=2)
    start(one_export, key="k")
    assert start(one_export, key="k").replayed
    with pytest.raises(TooManyOpenExports):
        start(one_export, key="k-2")


def test_request_during_the_first_one_gets_the_export_of_the_first(one_export):
    """The second request arrives while Zoho creates the job, as from a client that stopped waiting."""
    during = []
    one_export.zoho.meanwhile = lambda: during.append(start(one_export, key="k"))
    first = start(one_export, key="k")
    assert (during[0].replayed, during[0].export.export_id) == (True, first.export.export_id)
    assert len(one_export.zoho.created) == 1


def test_request_after_a_function_died_continues_its_export(one_export):
    class Died(BaseException):
        pass

    def die():
        raise Died

    one_export.fail()
    one_export.zoho.meanwhile = die
    with pytest.raises(Died):
        start(one_export, key="k")
    one_export.zoho.meanwhile = lambda: None
    again = start(one_export, key="k")
    assert (again.replayed, again.export.state) == (True, ExportState.RUNNING)
    assert list(one_export.table.running_of_account("acct-1", one_export.at(-1))) == [again.export.export_id]
    one_export.let_pass(400)
    one_export.reconcile()
    one_export.submit()
    assert one_export.part().state is PartState.SUBMITTED


class Racing(DynamoDb):
    """Another request with the key writes its export just before ours, or is just writing it."""

    def __init__(self, one_export, *, is_done):
        super().__init__(one_export.items)
        self._race = lambda: start(one_export, key="k")
        self._is_done = is_done

    def transact_write_items(self, **request):
        if self._is_done:
            self._race()
            return super().transact_write_items(**request)
        reasons = [{"Code": "None"}, {"Code": "None"}, {"Code": "TransactionConflict"}]
        raise refusal("TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons)


@pytest.mark.parametrize("is_done", [True, False])
def test_request_that_loses_the_race_for_its_key_is_sent_again(one_export, is_done):
    table = DynamoExportTable(Racing(one_export, is_done=is_done), "exports")
    with pytest.raises(RequestInProgress, match="'k' is still running; send this one again") as raised:
        start(one_export, key="k", table=table)
    assert raised.value.retry_after == 2
    assert start(one_export, key="k").replayed is is_done
    assert len(one_export.zoho.created) == 1


# --- outages after the export is written ---


class Failing(DynamoDb):
    """DynamoDB fails at one operation after the export is written."""

    def __init__(self, items, operation):
        super().__init__(items)
        self._operation = operation

    def transact_write_items(self, **request):
        def fail(**_):
            raise refusal("ThrottlingException", self._operation)

        response = super().transact_write_items(**request)
        setattr(self, self._operation, fail)
        return response


def test_export_is_started_although_the_table_fails_after_the_write(one_export):
    one_export.fail()
    table = DynamoExportTable(Failing(one_export.items, "update_item"), "exports")
    assert start(one_export, table=table).export.state is ExportState.RUNNING
    assert_reconciled(one_export)


def test_export_is_started_although_it_cannot_be_read_after_the_write(one_export):
    one_export.fail()
    table = DynamoExportTable(Failing(one_export.items, "get_item"), "exports")
    one_export.export_id = start(one_export, table=table).export.export_id
    assert one_export.part().state is PartState.SUBMITTED


def test_export_is_started_although_the_queue_fails_after_the_write(one_export):
    class Down:
        def send(self, export_id, part, *, group, delay=0):
            raise QueueUnavailable("SQS is unavailable.")

    one_export.fail()
    one_export.zoho.refusals = [ZohoUnavailable("HTTP 500")]
    assert start(one_export, submit_queue=Down()).export.state is ExportState.RUNNING
    assert_reconciled(one_export)


def assert_reconciled(one_export):
    """The reconciler queues the part that the POST could not continue."""
    one_export.let_pass(400)
    assert one_export.reconcile() == 1
    assert one_export.submit_queue.parts == [1]
