"""The lake of a sync: the view of the current records, over the Parquet, is the folded chain."""

import json
import random
import time

import pytest

from crm_export.lake.parquet import write_parquet
from crm_export.sync.fold import fold, read_chain
from tests.functional.test_lake import message
from tests.functional.test_syncs import SyncWorld
from tests.support.pages import view_of_current_records


class LakeSync(SyncWorld):
    """A sync with LakeOutput, whose events of manifests the test delivers."""

    def __init__(self, world, module, folder):
        super().__init__(world, module)
        self.folder = folder
        self.bucket = world.deployment.outputs["ResultsBucketName"]

    def run(self, kind="changes"):
        """Run once, in another second than the run before: the order of ids is that of seconds."""
        time.sleep(1 - time.time() % 1)
        return super().run(kind)

    def deliver(self):
        """Deliver all events that wait, in their order."""
        assert all(failed == [] for failed in self.world.pump("ParquetQueue"))

    def deliver_shuffled(self, seed):
        """Deliver all events that wait in another order, and one of them twice."""
        keys = [json.loads(item["Body"])["detail"]["object"]["key"] for item in self.take()]
        random.Random(seed).shuffle(keys)
        for key in [*keys, keys[0]]:
            self.world.invoke("ParquetWriter", event_of(key))

    def take(self):
        """Remove and return the messages that wait."""
        client, url = self.world.client("sqs"), self.world.deployment.queues["ParquetQueue"]
        messages = self.world.receive("ParquetQueue")
        for item in messages:
            client.delete_message(QueueUrl=url, ReceiptHandle=item["ReceiptHandle"])
        return messages

    def copy(self):
        """Copy the lake into the folder, as `aws s3 sync` does; return the connection with the view."""
        s3 = self.world.client("s3")
        for prefix in ("lake/account_id=", "lake/_symlink/account_id=", "lake/_symlink_changes/account_id="):
            where = f"{prefix}{self.world.account}/module={self.module}/"
            for item in s3.list_objects_v2(Bucket=self.bucket, Prefix=where).get("Contents", []):
                path = self.folder / item["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(s3.get_object(Bucket=self.bucket, Key=item["Key"])["Body"].read())
        return view_of_current_records(self.folder, self.world.account, self.module, f"s3://{self.bucket}")

    def assert_view_is_the_chain(self):
        """Compare the view with the folded chain, row by row and value by value."""
        chain = read_chain(self.results, self.world.account, self.module)
        folded = fold(self.results, chain)
        file = self.folder / "folded.parquet"
        with file.open("wb") as sink:
            rows = write_parquet(folded.rows, folded.header, chain.full["fields"], sink).rows
        database, view = self.copy()
        names = [row[0] for row in database.sql(f"DESCRIBE SELECT * FROM '{file}'").fetchall()]
        columns = ", ".join(f'"{name}"::VARCHAR' for name in names)
        found = database.sql(f"SELECT {columns} FROM {view}").fetchall()
        expected = database.sql(f"SELECT {columns} FROM '{file}'").fetchall()
        assert len(found) == rows
        assert sorted(found, key=repr) == sorted(expected, key=repr)


def event_of(key):
    record = message(key)
    return {
        "Records": [
            {
                "messageId": "1",
                "receiptHandle": "x",
                "body": record["Body"],
                "attributes": record["Attributes"],
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:ParquetQueue",
            }
        ]
    }


@pytest.fixture
def sync_of(quiet_at_once, tmp_path):
    def make(module):
        sync = LakeSync(quiet_at_once, module, tmp_path)
        sync.put()
        sync.tick()
        return sync

    return make


def test_view_follows_the_runs_of_a_sync(sync_of):
    sync = sync_of("Leads")
    sync.deliver()
    sync.change(create=3, modify=4, delete=2)
    sync.run()
    sync.deliver()
    sync.assert_view_is_the_chain()
    sync.change(modify=2)
    sync.run()
    sync.run()
    sync.deliver()
    sync.assert_view_is_the_chain()


def test_runs_without_changes_or_with_deletions_only_are_in_the_view(sync_of):
    sync = sync_of("Calls")
    nothing = sync.run()
    assert (nothing["parts"], nothing["sync"]["deleted"]) == ([], 0)
    sync.deliver()
    sync.assert_view_is_the_chain()
    sync.change(delete=2)
    only_deletions = sync.run()
    assert (only_deletions["parts"], only_deletions["sync"]["deleted"]) == ([], 2)
    sync.deliver()
    sync.assert_view_is_the_chain()


def test_view_begins_again_with_a_full_run(sync_of):
    sync = sync_of("Price_Books")
    created = sync.change(create=2, modify=2, delete=1)["created"]
    sync.run()
    sync.deliver()
    sync.change(purge=created)
    sync.run("full")
    sync.deliver()
    sync.assert_view_is_the_chain()
    sync.deliver()
    sync.assert_view_is_the_chain()
    sync.change(modify=1, delete=1)
    sync.run()
    sync.deliver()
    sync.assert_view_is_the_chain()


@pytest.mark.parametrize("seed", [1, 2])
def test_view_is_the_chain_in_whatever_order_events_arrive(seed, sync_of):
    sync = sync_of("Sales_Orders")
    for kind in ("changes", "changes", "full", "changes"):
        sync.change(create=1, modify=2, delete=1)
        sync.run(kind)
    sync.deliver_shuffled(seed)
    sync.assert_view_is_the_chain()


def test_restored_record_is_in_the_view(sync_of):
    sync = sync_of("Purchase_Orders")
    sync.world.zoho.config.patch({"restore_moves_modified_time": True})
    (deleted,) = sync.change(delete=1)["deleted"]
    sync.run()
    sync.change(restore=[deleted])
    sync.run()
    sync.deliver()
    sync.assert_view_is_the_chain()
    database, view = sync.copy()
    assert database.sql(f"SELECT count(*) FROM {view} WHERE id = '{deleted}'").fetchall() == [(1,)]
