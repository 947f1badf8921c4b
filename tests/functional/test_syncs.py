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
        (content,) = [
            content for name, content in self.world.objects(export_id).items() if name.startswith("part-")
        ]
        return {row["Id"]: row for row in csv.DictReader(io.StringIO(content.decode(), newline=""))}


@pytest.fixture
def sync_of(quiet_at_once):
    return lambda module: SyncWorld(quiet_at_once, module)


def test_first_run_is_full_and_the_next_ones_read_changes(sync_of):
    sync = sync_of("Products")
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
    sync = sync_of("Vendors")
    sync.put()
    sync.tick()
    sync.world.zoho.journal.clear()
    (deleted,) = sync.change(delete=1)["deleted"]
    manifest = sync.run()
    assert sync.world.callback_urls() == []
    assert (manifest["parts"], manifest["sync"]["deleted"]) == ([], 1)
    assert deleted not in sync.folded()
    assert sync.folded() == sync.truth()
