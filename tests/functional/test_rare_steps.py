"""What functions seldom do, but have permissions for (tests/test_privileges.py)."""

import json

import pytest

from crm_export import wiring
from tests.functional.test_mongo import collection, store
from tests.support.mongo import mongo_server


@pytest.fixture
def quiet_at_once(world):
    environment = world.deployment.functions["ExportReconciler"].environment
    environment["PART_QUIET_SECONDS"] = "0"
    yield world
    environment["PART_QUIET_SECONDS"] = "300"


def connection_of(world):
    name = f"zoho-crm-export/connections/{world.account}/{world.owner}"
    return json.loads(world.aws.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"])


def test_a_grant_found_revoked_when_an_export_starts_is_marked(world):
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals")
    assert (status, answer["errno"], answer["message"]) == (401, 400, "TOKEN_INVALIDATED")
    assert connection_of(world)["token_invalidated"] is True


def test_a_submit_that_zoho_throttles_twice_comes_again_when_zoho_wants_it(quiet_at_once):
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


def test_a_large_result_cut_off_leaves_no_upload_behind(quiet_at_once):
    world = quiet_at_once
    world.zoho.config.patch({"records": {"Contacts": 60_000}})
    export_id = world.start()
    world.zoho.fault(path="/result$", times=1, cut_after=3_000_000)
    world.invoke("ExportReconciler", {})
    assert [len(failed) for failed in world.pump("DownloadQueue")] == [1]
    bucket = world.deployment.outputs["ResultsBucketName"]
    uploads = world.aws.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert [upload["Key"] for upload in uploads if export_id in upload["Key"]] == []
    assert world.objects(export_id) == {}
    world.let_time_pass(export_id)
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    assert world.export(export_id)["records"] == 60_000


def test_an_export_with_the_connection_in_mongodb(quiet_at_once):
    world = quiet_at_once
    environments = [
        world.deployment.functions[name].environment for name in ("BulkReadSubmitter", "ResultDownloader")
    ]
    with mongo_server() as server:
        uri = f"{server.uri.rstrip('/')}/crm"
        secret = world.aws.client("secretsmanager").create_secret(
            Name=f"mongo-{world.account}", SecretString=uri
        )
        store(world, server)
        for environment in environments:
            environment |= {"TOKEN_STORE": "mongo", "MONGO_URI_SECRET_ID": secret["ARN"]}
        try:
            export_id = world.start("deals")
            world.invoke("ExportReconciler", {})
            world.pump("DownloadQueue")
            assert world.export(export_id)["state"] == "COMPLETED"
            assert collection(server).count_documents({}) == 1
        finally:
            for environment in environments:
                environment |= {"TOKEN_STORE": "secretsmanager", "MONGO_URI_SECRET_ID": ""}
            wiring.mongo_collection(uri).database.client.close()
            wiring.mongo_collection.cache_clear()


def test_a_grant_found_revoked_at_the_download_is_marked(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    world.zoho.organisation.tokens.expire_all()
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    assert world.export(export_id)["failure"]["code"] == "TOKEN_INVALIDATED"
    assert connection_of(world)["token_invalidated"] is True


def test_a_submit_that_comes_after_the_callback_of_a_lost_answer_hands_the_part_on(world):
    """The answer of "create job" was lost, its callback came, and then the submit queue's message."""
    world.zoho.fault(method="POST", path="/read$", drop="after", times=1)
    export_id = world.start("deals")
    job = world.zoho.organisation.jobs.all()[-1].id
    world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": job}]}))
    assert world.receive("DownloadQueue")  # the callback's own message, lost here
    body = json.dumps({"export_id": export_id, "part": 1})
    world.aws.client("sqs").send_message(QueueUrl=world.deployment.queues["SubmitQueue"], MessageBody=body)
    assert world.pump("SubmitQueue") == [[]]
    assert world.pump("DownloadQueue") == [[]]
    assert world.export(export_id)["state"] == "COMPLETED"
    assert world.export(export_id)["parts"][0]["job_id"] == job
    assert len(world.callback_urls()) == 1
