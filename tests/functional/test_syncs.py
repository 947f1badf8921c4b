"""Syncs: the chain of a module, folded, is what Zoho has; and what the API says about it."""

import csv
import io
import json

import pytest

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.sync.fold import fold, read_chain

# Changes to Zoho's records outlast a test, so each test has a module of its own.
SYNCS = "/v1/e/zoho/syncs"


class SyncWorld:
    """A module that is kept current, and Zoho, which changes it."""

    def __init__(self, world, module):
        self.world = world
        self.module = module
        world.configure("BulkReadSubmitter", SYNC_OVERLAP_MINUTES="0", SYNC_LAG_MINUTES="0")
        world.configure("ResultDownloader", SYNC_OVERLAP_MINUTES="0")

    def http(self, method, path="", body=None):
        return self.world.http("BulkReadSubmitter", method, f"{SYNCS}{path}", body=body and json.dumps(body))

    def put(self, **body):
        status, response = self.http("PUT", f"/{self.module}", body or None)
        assert status in {200, 201}, response
        return response["data"]

    def shown(self):
        status, response = self.http("GET", f"/{self.module}")
        assert status == 200, response
        return response["data"]

    def run(self, kind="changes"):
        """Run once; return the manifest."""
        status, response = self.http("POST", f"/{self.module}/runs", {"kind": kind})
        assert status == 202, response
        return self.finished(response["data"]["export_id"])

    def tick(self):
        """Let the reconciler start what is due; return the manifest of the run."""
        self.world.invoke("ExportReconciler", {})
        self.world.pump("SubmitQueue")
        return self.finished(self.shown()["run"]["export_id"])

    def finished(self, export_id):
        export = self.world.finish(export_id)
        assert export["state"] == "COMPLETED", export
        return json.loads(self.world.objects(export_id)["manifest.json"])

    def change(self, **change):
        return self.world.zoho.organisation.changes.apply(self.module, change)

    @property
    def results(self):
        return ResultsBucket(self.world.client("s3"), self.world.deployment.outputs["ResultsBucketName"])

    def folded(self):
        """Return the current rows of the chain, by id."""
        chain = fold(self.results, read_chain(self.results, self.world.account, self.module))
        rows = [dict(zip(chain.header, row, strict=True)) for row in chain.rows]
        found = {row["Id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def truth(self):
        """Return the rows of a new export of the module, by id."""
        export_id = self.world.start(self.module)
        assert self.world.finish(export_id)["state"] == "COMPLETED"
        parts = [
            content for name, content in self.world.objects(export_id).items() if name.startswith("part-")
        ]
        texts = (io.StringIO(content.decode(), newline="") for content in parts)
        return {row["Id"]: row for text in texts for row in csv.DictReader(text)}

    @property
    def credits_used(self):
        return self.world.zoho.organisation.credits_used


@pytest.fixture
def sync_of(quiet_at_once):
    return lambda module: SyncWorld(quiet_at_once, module)


def test_first_run_is_full_and_the_next_ones_read_changes(sync_of):
    sync = sync_of("Price_Books")
    assert sync.put(every="15m")["state"] == "IDLE"
    first = sync.tick()
    assert (first["sync"]["kind"], first["sync"]["reason"], first["sync"]["previous"]) == (
        "full",
        "first",
        None,
    )
    changed = sync.change(create=3, modify=2, delete=2)
    second = sync.run()
    facts = second["sync"]
    assert (facts["kind"], facts["reason"]) == ("changes", "requested")
    assert facts["previous"]["export_id"] == first["export_id"]
    assert facts["window"]["from"] == first["sync"]["window"]["to"]
    assert (second["records"], facts["deleted"]) == (5, 2)
    assert not set(changed["deleted"]) & set(sync.folded())
    assert sync.folded() == sync.truth()


def test_run_without_changes_creates_no_job_and_reads_deletions(sync_of):
    sync = sync_of("Sales_Orders")
    sync.put()
    sync.tick()
    sync.world.zoho.journal.clear()
    (deleted,) = sync.change(delete=1)["deleted"]
    manifest = sync.run()
    assert sync.world.callback_urls() == []
    assert (manifest["parts"], manifest["sync"]["deleted"]) == ([], 1)
    assert deleted not in sync.folded()
    assert sync.folded() == sync.truth()


def test_change_that_moves_no_modified_time_is_drift_of_the_next_audit(sync_of):
    sync = sync_of("Deals")
    sync.put()
    sync.tick()
    sync.change(drift=3)
    assert sync.run()["records"] == 0
    assert sync.folded() != sync.truth()
    audit = sync.run("full")
    assert audit["sync"]["drift"] == {"inserted": 0, "updated": 3, "deleted": 0}
    assert sync.folded() == sync.truth()
    diff = sync.world.objects(audit["export_id"])["diff-00001.csv"].decode().splitlines()
    assert (diff[0], {line[:2] for line in diff[1:]}, len(diff)) == ("op,Id", {"U,"}, 4)


def test_changes_in_the_window_are_no_drift(sync_of):
    sync = sync_of("Purchase_Orders")
    sync.put()
    sync.tick()
    sync.change(create=2, modify=3, delete=1)
    audit = sync.run("full")
    assert audit["sync"]["drift"] == {"inserted": 0, "updated": 0, "deleted": 0}
    lines = sync.world.objects(audit["export_id"])["diff-00001.csv"].decode().splitlines()[1:]
    assert sorted(line[0] for line in lines) == ["D", "I", "I", "U", "U", "U"]


@pytest.mark.parametrize(
    ("module", "moves", "drift"), [("Quotes", True, 0), ("Invoices", False, 1)], ids=["moves", "stays"]
)
def test_restored_record_comes_back(sync_of, module, moves, drift):
    sync = sync_of(module)
    sync.world.zoho.config.patch({"restore_moves_modified_time": moves})
    sync.put()
    sync.tick()
    (deleted,) = sync.change(delete=1)["deleted"]
    sync.run()
    sync.change(restore=[deleted])
    sync.run()
    assert (deleted in sync.folded()) == moves
    assert sync.run("full")["sync"]["drift"]["inserted"] == drift
    assert sync.folded() == sync.truth()


def test_records_without_modified_time_and_purged_ones_are_seen(sync_of):
    sync = sync_of("Cases")
    sync.change(forget=2)
    sync.put()
    sync.tick()
    assert sync.folded() == sync.truth()
    sync.change(purge=3)
    sync.run()
    assert sync.folded() == sync.truth()


def test_module_without_a_list_of_deletions_has_full_runs(sync_of):
    sync = sync_of("Notes")
    sync.put()
    assert sync.tick()["sync"]["reason"] == "first"
    sync.change(delete=1)
    again = sync.run()["sync"]
    assert (again["kind"], again["reason"], again["deleted"]) == ("full", "deletes_unreadable", None)
    assert sync.folded() == sync.truth()


def test_run_in_progress_is_a_conflict_and_its_failure_changes_nothing(sync_of):
    sync = sync_of("Sales_Orders")
    sync.put()
    first = sync.tick()
    watermark = sync.shown()["watermark"]
    sync.change(modify=1)
    status, response = sync.http("POST", "/Sales_Orders/runs")
    export_id = response["data"]["export_id"]
    status, conflict = sync.http("POST", "/Sales_Orders/runs")
    assert (status, conflict["code"]) == (409, "RUN_IN_PROGRESS")
    path = f"/v1/e/zoho/bulk-read/exports/{export_id}/cancel"
    assert sync.world.http("BulkReadSubmitter", "POST", path)[0] == 200
    assert sync.shown()["watermark"] == watermark
    following = sync.run()
    assert following["sync"]["previous"]["export_id"] == first["export_id"]
    assert following["records"] == 1


def test_sync_that_cannot_run_says_why_and_goes_on_by_itself(sync_of):
    sync = sync_of("Solutions")
    sync.put()
    sync.world.zoho.fault(path="/Solutions$", status=500, body="{}", times=20)
    sync.world.invoke("ExportReconciler", {})
    sync.world.pump("SubmitQueue")
    shown = sync.shown()
    assert (shown["state"], shown["blocked"]["code"]) == ("BLOCKED", "ZOHO_UNAVAILABLE")
    assert shown["next_run_at"] > shown["updated_at"]
    sync.world.zoho.organisation.faults.clear()
    assert sync.run()["sync"]["reason"] == "first"
    assert sync.shown()["blocked"] is None


def test_syncs_wait_when_they_have_spent_their_share_of_the_credits(sync_of):
    sync = sync_of("Tasks")
    sync.put()
    sync.tick()
    # Zoho reports the credits once half of them are used.
    sync.world.zoho.config.patch({"credits": sync.credits_used + 40})
    sync.change(modify=1)
    status, refused = sync.http("POST", "/Tasks/runs")
    assert (status, refused["code"]) == (429, "CREDIT_SHARE_SPENT")


def test_new_query_begins_a_new_chain_and_deletion_ends_the_sync(sync_of):
    sync = sync_of("Accounts")
    sync.put()
    sync.tick()
    shown = sync.put(query={"fields": ["Account_Name"]})
    assert shown["next_full_because"] == "requested"
    manifest = sync.run()
    assert manifest["sync"]["reason"] == "requested"
    assert manifest["parts"][0]["header"] == ["Id", "Account_Name", "Modified_Time"]
    assert sync.http("GET")[1]["data"][0]["module"] == "Accounts"
    assert sync.http("DELETE", "/Accounts")[0] == 200
    assert sync.http("GET", "/Accounts")[0] == 404
    assert sync.http("DELETE", "/Accounts")[1]["code"] == "SYNC_NOT_FOUND"


def test_syncs_of_another_account_do_not_exist(sync_of):
    sync = sync_of("Sales_Orders")
    sync.put()
    sync.world.account = "another"
    sync.world.store_connection()
    assert sync.http("GET")[1]["data"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/runs")):
        assert sync.http(method, f"/Sales_Orders{path}")[0] == 404


def test_credits_in_the_manifest_are_what_zoho_charged_also_for_a_job_that_failed(sync_of):
    sync = sync_of("Price_Books")
    sync.put()
    sync.world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"}, times=1)
    before = sync.credits_used
    manifest = sync.tick()
    assert manifest["sync"]["credits"] == sync.credits_used - before > 100


def test_sync_that_cannot_be_read_does_not_keep_the_reconciler_from_exports(sync_of):
    sync = sync_of("Vendors")
    client, table = sync.world.client("dynamodb"), sync.world.deployment.outputs["ExportsTableName"]
    key = {"pk": {"S": "SYNC#broken"}, "sk": {"S": "Vendors"}}
    due = {"due": {"S": "DUE"}, "due_at": {"S": "2026-01-01T00:00:00.000Z"}, "revision": {"N": "1"}}
    client.put_item(TableName=table, Item={**key, **due, "sync": {"S": "no JSON"}})
    sync.world.start("Vendors")
    with pytest.raises(json.JSONDecodeError):
        sync.world.invoke("ExportReconciler", {})
    client.delete_item(TableName=table, Key=key)
    assert len(sync.world.receive("DownloadQueue")) == 1
