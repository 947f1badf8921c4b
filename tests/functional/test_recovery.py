"""Rare steps that functions have permissions for: revoked grants, lost messages, aborted uploads."""

import json

from crm_export.aws.results_bucket import ResultsBucket
from crm_export.wiring import Container


def connection_of(world):
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    return json.loads(world.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def test_grant_revoked_before_the_start_is_marked(world):
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals")
    assert (status, response["errno"], response["message"]) == (401, 400, "TOKEN_INVALIDATED")
    assert connection_of(world)["token_invalidated"] is True


def test_submit_message_throttled_twice_is_delivered_again_later(quiet_at_once):
    world = quiet_at_once
    world.zoho.fault(method="POST", path="/read$", status=429, times=2)
    export_id = world.start("deals")
    world.let_time_pass(export_id)
    world.invoke("ExportReconciler", {})
    assert [len(failed) for failed in world.pump("SubmitQueue")] == [1]
    assert not world.receive("SubmitQueue")  # postponed
    world.let_time_pass(export_id)
    world.invoke("ExportReconciler", {})
    assert world.pump("SubmitQueue") == [[]]
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"


class SmallUploads(Container):
    """A container that starts a multipart upload after 10,000 bytes; S3 lets it abort, but not complete."""

    def _results(self, bucket):
        return ResultsBucket(self._aws("s3"), bucket, part_bytes=10_000)


def test_truncated_result_leaves_no_multipart_upload(quiet_at_once):
    world = quiet_at_once
    export_id = world.start()
    world.zoho.fault(path="/result$", times=1, cut_after=50_000)
    world.make_container = SmallUploads
    world.invoke("ExportReconciler", {})
    assert [len(failed) for failed in world.pump("DownloadQueue")] == [1]
    bucket = world.deployment.outputs["ResultsBucketName"]
    uploads = world.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [upload["Key"] for upload in uploads if export_id in upload["Key"]] == []
    requests = [call.request for call in world.recorder.calls]
    assert "s3:AbortMultipartUpload" in {item.action for item in requests if export_id in item.resource}
    assert world.objects(export_id) == {}
    world.make_container = Container
    assert world.finish(export_id)["state"] == "COMPLETED"


def target_of(world, export_id, name):
    """Return Bucket and Key of an object of an export of deals."""
    folder = f"exports/account_id={world.account}/module=Deals/export_id={export_id}"
    return {"Bucket": world.deployment.outputs["ResultsBucketName"], "Key": f"{folder}/{name}"}


def test_part_whose_object_has_other_content_restarts_the_export_and_leaves_nothing_behind(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    s3, target = world.client("s3"), target_of(world, export_id, "part-00001.csv")
    s3.put_object(**target, Body=b"Id\r\n9\r\n")
    s3.create_multipart_upload(**target)  # of a worker that died
    export = world.finish(export_id)
    assert (export["state"], export["generation"]) == ("COMPLETED", 2)
    assert set(world.objects(export_id)) == {"part-00002.csv", "manifest.json"}
    uploads = s3.list_multipart_uploads(Bucket=target["Bucket"]).get("Uploads", [])
    assert [upload for upload in uploads if upload["Key"] == target["Key"]] == []


def test_part_whose_object_an_earlier_attempt_wrote_is_stored_with_it(quiet_at_once):
    """The object was written, but the worker died before it noted that in the table."""
    world = quiet_at_once
    export_id = world.start("deals")
    assert world.finish(export_id)["state"] == "COMPLETED"
    written = world.objects(export_id)["part-00001.csv"]
    s3, again = world.client("s3"), world.start("deals")
    s3.put_object(**target_of(world, again, "part-00001.csv"), Body=written, ChecksumAlgorithm="CRC32")
    export = world.finish(again)
    assert (export["state"], export["generation"]) == ("COMPLETED", 1)
    assert world.objects(again)["part-00001.csv"] == written


def test_manifest_of_other_parts_is_left_alone_and_fails_the_export(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    target = target_of(world, export_id, "manifest.json")
    world.client("s3").put_object(**target, Body=b'{"export_id": "another"}')
    export = world.finish(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "MANIFEST_CONFLICT")
    assert world.objects(export_id)["manifest.json"] == b'{"export_id": "another"}'


def test_grant_revoked_before_the_download_is_marked(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    world.zoho.organisation.tokens.expire_all()
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    assert world.export(export_id)["failure"]["code"] == "TOKEN_INVALIDATED"
    assert connection_of(world)["token_invalidated"] is True


def test_submit_message_after_the_callback_hands_the_part_to_the_download_queue(world):
    """The response of "create job" was lost, and the worker died that had kept the hint of the callback."""
    world.zoho.fault(method="POST", path="/read$", drop="after", times=1)
    export_id = world.start("deals")
    job = world.zoho.organisation.jobs.all()[-1].id
    world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": job}]}))
    assert world.receive("DownloadQueue")  # the callback's message
    world.set_item(export_id, "PART#00001", hinted_job_id={"S": job}, not_before=None)
    body = json.dumps({"export_id": export_id, "part": 1})
    world.client("sqs").send_message(QueueUrl=world.deployment.queues["SubmitQueue"], MessageBody=body)
    assert world.pump("SubmitQueue") == [[]]
    assert world.pump("DownloadQueue") == [[]]
    assert world.export(export_id)["state"] == "COMPLETED"
    assert world.export(export_id)["parts"][0]["job_id"] == job
    assert len(world.callback_urls()) == 1
