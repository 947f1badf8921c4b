"""An export from POST to manifest, step by step, with messages in every order."""

import base64
import csv
import io
import json
import urllib.request
import zlib

import pytest

from crm_export.errors import ConfigurationError
from crm_export.settings import ResultDownloaderSettings
from tests.support.http import http_event


def finish(world, export_id):
    """Push an export on by the reconciler alone until it ends."""
    for _ in range(15):
        if world.export(export_id)["state"] != "RUNNING":
            break
        world.let_time_pass(export_id)
        world.invoke("ExportReconciler", {})
        world.pump("SubmitQueue")
        world.pump("DownloadQueue")
    return world.export(export_id)


@pytest.fixture
def small_jobs(world):
    """Jobs of 100 records, and parts that count as quiet at once."""
    world.zoho.config.patch({"records": {"Contacts": 250}, "records_per_job": 100})
    world.deployment.functions["ExportReconciler"].environment["PART_QUIET_SECONDS"] = "0"
    yield world
    world.deployment.functions["ExportReconciler"].environment["PART_QUIET_SECONDS"] = "300"


def rows_of(data: bytes):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def assert_complete(world, export, records):
    """Every record once, and a manifest that proves it."""
    assert export["state"] == "COMPLETED", export
    objects = world.objects(export["export_id"])
    manifest = json.loads(objects.pop("manifest.json"))
    ids = []
    for part in manifest["parts"]:
        data = objects.pop(part["key"].rpartition("/")[2])
        header, *rows = rows_of(data)
        assert header == part["header"]
        assert len(rows) == part["records"]
        assert (len(data), f"{zlib.crc32(data):08x}") == (part["bytes"], part["crc32"])
        ids += [row[[name.lower() for name in header].index("id")] for row in rows]
    assert not objects
    assert len(set(ids)) == len(ids) == manifest["records"] == export["records"] == records
    assert manifest["completed_at"] == export["completed_at"]


@pytest.mark.parametrize("version", ["v2", "v3", "v6", "v7", "v8"])
def test_an_export_of_three_parts(small_jobs, version):
    world = small_jobs
    submitter = world.deployment.functions["BulkReadSubmitter"].environment
    submitter["BULK_READ_API_VERSION"] = version
    try:
        export_id = world.start()
    finally:
        submitter["BULK_READ_API_VERSION"] = "v8"
    for part in (1, 2, 3):
        (url, *_) = reversed(world.callback_urls())
        assert f"/callback/{export_id}/{part}/" in url
        job = world.export(export_id)["parts"][-1]["job_id"]
        assert world.callback(url, json.dumps({"data": [{"id": job, "state": "COMPLETED"}]}))[0] == 200
        world.pump("DownloadQueue")
        world.pump("SubmitQueue")
    export = world.export(export_id)
    assert_complete(world, export, 250)
    assert [part["records"] for part in export["parts"]] == [100, 100, 50]
    manifest = json.loads(world.objects(export_id)["manifest.json"])
    assert (manifest["api_version"], manifest["module"]) == (version, "Contacts")


def test_the_next_part_is_submitted_before_the_download_of_this_one(small_jobs):
    world = small_jobs
    world.zoho.fault(path="/result$", status=500)
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    world.pump("SubmitQueue")
    assert [part["state"] for part in world.export(export_id)["parts"]] == ["READY", "SUBMITTED"]


def test_without_any_callback_the_reconciler_brings_it_home(small_jobs):
    export_id = small_jobs.start()
    assert_complete(small_jobs, finish(small_jobs, export_id), 250)


def test_an_empty_module_gives_an_empty_part_and_a_manifest(world):
    world.zoho.config.patch({"records": {"Deals": 0}})
    world.deployment.functions["ExportReconciler"].environment["PART_QUIET_SECONDS"] = "0"
    export_id = world.start("deals")
    assert_complete(world, finish(world, export_id), 0)


def test_three_callbacks_and_redelivered_messages_make_one_part_each(small_jobs):
    world = small_jobs
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    for body in ({"data": [{"id": job}]}, {"job_id": job, "state": "COMPLETED"}, {"data": [{"id": job}]}):
        assert world.callback(world.callback_urls()[0], json.dumps(body))[0] == 200
    assert len(world.pump("DownloadQueue")) == 3
    world.pump("SubmitQueue")
    assert_complete(world, finish(world, export_id), 250)
    assert len(world.zoho.journal.requests("/result$", "GET")) == 3
    assert len(world.callback_urls()) == 3


def test_a_callback_before_the_answer_of_create_job_is_not_lost(small_jobs):
    """The answer of "create job" never comes; the callback names the job, and that job is taken."""
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", drop="after", times=1)
    export_id = world.start()
    (part,) = world.export(export_id)["parts"]
    assert (part["state"], part["job_id"]) == ("PENDING", None)
    job = world.zoho.organisation.jobs.all()[-1]
    world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": job.id, "state": "COMPLETED"}]}))
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "STORED"
    assert world.export(export_id)["parts"][0]["job_id"] == job.id
    assert_complete(world, finish(world, export_id), 250)
    assert len(world.callback_urls()) == 3


def test_a_callback_that_names_another_modules_job_is_not_believed(small_jobs):
    world = small_jobs
    other = world.start("accounts")
    world.zoho.fault(method="POST", path="/read$", drop="before", times=1)
    export_id = world.start()
    foreign = world.export(other)["parts"][0]["job_id"]
    world.callback(world.callback_urls()[-1], json.dumps({"data": [{"id": foreign}]}))
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["job_id"] != foreign
    assert_complete(world, finish(world, export_id), 250)


def test_create_job_throttled_is_tried_again_later(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", status=429, times=1)
    export_id = world.start()
    assert world.export(export_id)["state"] == "RUNNING"
    assert_complete(world, finish(world, export_id), 250)


def test_a_query_zoho_refuses_is_told_at_once(world):
    body = json.dumps({"query": {"fields": ["No_Such_Field"]}})
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    assert (status, answer["errno"], answer["zoho_code"]) == (422, 422, "FIELD_NOT_AVAILABLE")
    assert "No_Such_Field" in answer["message"]
    _, exports = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")
    (export,) = exports["data"]
    assert export["state"] == "FAILED"
    assert export["failure"]["code"] == "ZOHO_QUERY_REFUSED"
    assert export["failure"]["remedy"]


def test_whatever_zoho_says_of_a_failure_can_be_listed(world):
    body = '{"code": "INVALID_DATA\\ud800", "message": "' + "x" * 450_000 + '\\ud800", "status": "error"}'
    world.zoho.fault(method="POST", path="/read$", status=400, body=body)
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts")
    assert (status, answer["zoho_code"]) == (422, "INVALID_DATA?")
    status, answer = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")
    assert (status, answer["data"][0]["state"]) == (200, "FAILED")
    assert len(answer["data"][0]["failure"]["message"]) < 3000


def test_fields_and_criteria_reach_zoho(world):
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "starts_with", "value": "M"}
    world.deployment.functions["ExportReconciler"].environment["PART_QUIET_SECONDS"] = "0"
    export_id = world.start(query={"fields": ["Last_Name", "Email"], "criteria": criteria})
    export = finish(world, export_id)
    manifest = json.loads(world.objects(export_id)["manifest.json"])
    assert manifest["query"] == {"fields": ["Last_Name", "Email"], "criteria": criteria}
    assert manifest["parts"][0]["header"] == ["Id", "Last_Name", "Email"]
    names = [row[1] for row in rows_of(world.objects(export_id)["part-00001.csv"])[1:]]
    assert names
    assert all(name.startswith("M") for name in names)
    assert_complete(world, export, len(names))


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ("not json", 400, "not JSON"),
        ("[1]", 400, "not an object"),
        ("[" * 100_000, 400, "not JSON"),
        ('{"querry": {}}', 422, '"querry"; allowed are file_type, query'),
        ('{"query": {"per_page": 2}}', 422, "query has the key"),
        ('{"query": {"fields": "Id"}}', 422, 'query.fields is "Id"; it must be an array'),
        ('{"query": {"fields": [1]}}', 422, "query.fields[0] is 1"),
        ('{"file_type": "pdf"}', 422, 'file_type is "pdf"; allowed are csv, ics'),
        ('{"query": {"cvid": "x"}}', 422, 'query.cvid is "x"'),
        ('{"query": {"fields": ["' + "x" * 300 + '"]}}', 422, "query.fields[0]"),
        (json.dumps({"query": {"fields": ["x"] * 201}}), 422, "query.fields has 201 names; allowed are 200"),
        ('{"query": {"criteria": {"group": 5}}}', 422, "query.criteria.group_operator is null"),
        ('{"file_type": "\\ud800"}', 400, "not JSON"),
        ('{"query": {"criteria": {"value": NaN}}}', 400, "not JSON"),
        ('{"query": {"criteria": {"value": 1e999}}}', 400, "not JSON"),
        (json.dumps({"x": "y" * 300_000}), 400, "bytes; allowed are 262144"),
    ],
)
def test_a_body_that_cannot_work_is_refused_with_what_is_allowed(world, body, status, says):
    answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    assert answer[0] == answer[1]["errno"] == status
    assert says in answer[1]["message"]
    assert not world.callback_urls()


def test_a_type_that_does_not_exist(world):
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/nonsense")
    assert (status, answer["errno"], answer["message"]) == (404, 400, "Type is not Selected yet")


def test_without_a_connection(world):
    nobody = {"account_id": "nobody", "uid": "user-1"}
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals", claims=nobody)
    assert (status, answer["errno"], answer["message"]) == (404, 400, "Access Token is not Found")


@pytest.mark.parametrize("export_id", ["nonsense", "20260101T000000Z-0123456789abcdef", "..%2f"])
def test_an_export_that_does_not_exist(world, export_id):
    status, answer = world.http("BulkReadSubmitter", "GET", f"/v1/e/zoho/bulk-read/exports/{export_id}")
    assert (status, answer["errno"], answer["message"]) == (404, 404, "Export is not Found")


def test_another_accounts_export_cannot_be_seen(world):
    path = f"/v1/e/zoho/bulk-read/exports/{world.start()}"
    other = {"account_id": "somebody-else", "uid": "user-1"}
    assert world.http("BulkReadSubmitter", "GET", path, claims=other)[0] == 404
    assert (
        world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports", claims=other)[1]["data"] == []
    )


def test_exports_are_listed_newest_first_in_pages(world):
    started = [world.start("deals") for _ in range(3)]
    seen, query = [], {"limit": "2"}
    while True:
        _, answer = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports", query=query)
        seen += [export["export_id"] for export in answer["data"]]
        if not answer["pagination"]["more_records"]:
            break
        query["page_token"] = answer["pagination"]["next_page_token"]
    assert seen == started[::-1]


@pytest.mark.parametrize("token", ["x", "e30=", "bnVsbA==", "🙂"])
def test_a_page_token_that_is_not_ours_is_refused(world, token):
    query = {"page_token": token}
    status, answer = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports", query=query)
    assert (status, answer["errno"]) == (400, 400)
    assert "page_token" in answer["message"]


def test_a_stored_part_has_a_link_that_works(small_jobs):
    export = finish(small_jobs, small_jobs.start())
    with urllib.request.urlopen(export["parts"][1]["url"]) as answer:
        assert answer.read() == small_jobs.objects(export["export_id"])["part-00002.csv"]


# --- callbacks -------------------------------------------------------------------------------


def test_a_wrong_signature_is_refused_before_the_body_is_looked_at(world):
    export_id = world.start()
    url = world.callback_urls()[0]
    for forged in (url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace("/1/", "/2/"), url[:-64] + "é"):
        status, answer = world.callback(forged, "not even JSON")
        assert (status, answer["errno"]) == (403, 403)
        assert "signature" in answer["message"]
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"
    assert not world.pump("DownloadQueue")


@pytest.mark.parametrize(
    "body", ["", "not JSON", "[]", '{"data": []}', '{"data": [{"id": "../x"}]}', "[" * 100_000]
)
def test_a_signed_callback_with_a_strange_body_is_refused_but_not_lost(small_jobs, body):
    world = small_jobs
    export_id = world.start()
    status, answer = world.callback(world.callback_urls()[0], body)
    assert (status, answer["errno"]) == (400, 400)
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "STORED"


def test_a_callback_that_comes_before_the_job_is_done_changes_nothing(world):
    world.zoho.config.patch({"in_progress_seconds": 3600.0})
    export_id = world.start()
    world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": "1", "state": "COMPLETED"}]}))
    assert world.pump("DownloadQueue") == [[]]
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"


def test_repeated_callbacks_of_a_failed_job_do_not_use_up_the_next_ones(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"}, times=1)
    export_id = world.start()
    failed = world.export(export_id)["parts"][0]["job_id"]
    for _ in range(4):
        world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": failed, "state": "FAILURE"}]}))
        world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "RUNNING"
    export = finish(world, export_id)
    assert_complete(world, export, 250)
    assert export["parts"][0]["job_id"] != failed


# --- what Zoho may do ------------------------------------------------------------------------


def test_a_job_that_zoho_fails_is_made_anew_and_after_three_the_export_fails(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"}, times=1)
    assert_complete(world, finish(world, world.start()), 250)
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"})
    export = finish(world, world.start())
    assert export["state"] == "FAILED"
    assert export["failure"]["code"] == "ZOHO_JOB_FAILED"
    assert "INTERNAL_SERVER_ERROR" in export["failure"]["message"]
    assert export["parts"][0]["state"] == "FAILED"


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after": 3000},
        {"status": 500},
        {"status": 429, "headers": {"Retry-After": "7"}},
        {"status": 200, "body": "<html>maintenance</html>"},
        {"drop": "before"},
    ],
)
def test_a_download_that_fails_leaves_nothing_and_is_done_again(small_jobs, fault):
    world = small_jobs
    world.zoho.fault(path="/result$", times=1, **fault)
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    assert [len(failed) for failed in world.pump("DownloadQueue")] == [1]
    assert world.objects(export_id) == {}
    assert world.export(export_id)["parts"][0]["state"] == "READY"
    assert_complete(world, finish(world, export_id), 250)


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"corrupt_crc": True}, "RESULT_CORRUPT"), ({"missing_rows": 1}, "RECORD_COUNT_MISMATCH")],
)
def test_a_result_that_never_is_right_fails_the_export(small_jobs, fault, code):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", job=fault)
    export = finish(world, world.start())
    assert export["state"] == "FAILED"
    assert export["failure"]["code"] == code
    assert world.objects(export["export_id"]) == {}


def test_a_pause_that_zoho_asks_for_is_kept_whatever_else_pushes_the_part(small_jobs):
    world = small_jobs
    world.zoho.fault(path="/result$", status=429, headers={"Retry-After": "60"}, times=1)
    export_id = world.start()
    for _ in range(4):
        world.invoke("ExportReconciler", {})
        world.callback(world.callback_urls()[0], '{"job_id": "1"}')
        world.pump("DownloadQueue")
    assert len(world.zoho.journal.requests("/result$", "GET")) == 1
    assert world.export(export_id)["parts"][0]["state"] == "READY"
    assert_complete(world, finish(world, export_id), 250)


def test_throttling_never_uses_up_the_attempts(small_jobs):
    world = small_jobs
    world.zoho.fault(path="/result$", status=429, times=12)
    assert_complete(world, finish(world, world.start()), 250)
    assert len(world.zoho.journal.requests("/result$", "GET")) == 12 + 3


def test_a_job_not_found_at_once_may_be_found_later_but_not_for_ever(small_jobs):
    world = small_jobs
    gone = {"status": 404, "body": {"code": "RESOURCE_NOT_FOUND", "message": "gone", "status": "error"}}
    world.zoho.fault(method="GET", path="/read/[0-9]+$", times=1, **gone)
    world.zoho.fault(path="/result$", times=2, **gone)
    assert_complete(world, finish(world, world.start()), 250)
    world.zoho.fault(path="/result$", **gone)
    export = finish(world, world.start())
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "ZOHO_NOT_FOUND")


def test_s3_that_refuses_is_tried_again_and_then_told(small_jobs):
    world = small_jobs
    environment = world.deployment.functions["ResultDownloader"].environment
    bucket = environment["RESULTS_BUCKET"]
    export_id = world.start()
    environment["RESULTS_BUCKET"] = "no-such-bucket"
    try:
        world.invoke("ExportReconciler", {})
        world.pump("DownloadQueue")
        assert world.export(export_id)["parts"][0]["state"] == "READY"
        environment["RESULTS_BUCKET"] = bucket
        assert_complete(world, finish(world, export_id), 250)
        environment["RESULTS_BUCKET"] = "no-such-bucket"
        export = finish(world, world.start())
    finally:
        environment["RESULTS_BUCKET"] = bucket
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "STORAGE_REFUSED")
    assert "NoSuchBucket" in export["failure"]["message"]


def test_a_part_that_is_being_looked_at_is_left_alone_and_its_message_comes_again(small_jobs):
    world = small_jobs
    export_id = world.start()
    lease = {"lease_owner": {"S": "other"}, "lease_until": {"S": "2999-01-01T00:00:00.000Z"}}
    world.set_item(export_id, "PART#00001", **lease)
    world.callback(world.callback_urls()[0], '{"job_id": "1"}')
    assert [len(failed) for failed in world.pump("DownloadQueue")] == [1]
    assert not world.zoho.journal.requests("/read/[0-9]+$", "GET")
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"


def test_a_worker_that_dies_is_followed_when_its_lease_is_over_and_not_for_ever(small_jobs):
    world = small_jobs
    export_id = world.start()
    world.pump("DownloadQueue")
    dead = {"lease_owner": {"S": "dead"}, "lease_until": {"S": "2999-01-01T00:00:00.000Z"}}
    world.set_item(export_id, "PART#00001", **dead)
    finish(world, export_id)
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"
    over = {**dead, "lease_until": {"S": "2026-01-01T00:00:00.000Z"}}
    world.set_item(export_id, "PART#00001", **over)
    assert_complete(world, finish(world, export_id), 250)
    export_id = world.start()
    world.set_item(export_id, "PART#00001", crashes={"N": "1"}, **over)
    assert_complete(world, finish(world, export_id), 250)
    export_id = world.start()
    world.set_item(export_id, "PART#00001", crashes={"N": "2"}, **over)
    export = finish(world, export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "WORKER_DIED")
    assert "died 3 times" in export["failure"]["message"]


def test_paging_that_leads_nowhere_fails_the_export(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"records": {"Contacts": 250}})
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    result = {"page": 1, "count": 100, "more_records": True, "download_url": "/x"}
    datum = {"id": job, "state": "COMPLETED", "result": result, "query": {"module": {"api_name": "Contacts"}}}
    world.zoho.fault(method="GET", path=f"/read/{job}$", status=200, body={"data": [datum]})
    export = finish(world, export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "PAGING_BROKEN")


def test_a_callback_url_that_zoho_refuses_is_not_repeated_with_its_signature(world):
    body = {"code": "INVALID_CALLBACK_URL", "status": "error"}
    url = f"https://x/v1/e/zoho/bulk-read/callback/20260101T000000Z-0123456789abcdef/1/{'ab' * 32}"
    body["message"] = f"Invalid URL '{url}' for callback."
    world.zoho.fault(method="POST", path="/read$", status=400, body=body)
    status, answer = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts")
    assert (status, answer["zoho_code"]) == (502, "INVALID_CALLBACK_URL")
    assert "abab" not in json.dumps(answer)
    assert "/1/***" in answer["message"]


@pytest.mark.parametrize("encoded", [True, False])
def test_a_body_may_come_encoded_as_api_gateway_does_for_curl(world, encoded):
    text = json.dumps({"query": {"fields": ["Last_Name"]}})
    body = base64.b64encode(text.encode()).decode() if encoded else text
    event = http_event(
        "POST", "/v1/e/zoho/bulk-read/deals", claims={"account_id": world.account, "uid": "user-1"}, body=body
    )
    answer = world.invoke("BulkReadSubmitter", {**event, "isBase64Encoded": encoded})
    assert answer["statusCode"] == 422  # Deals has no Last_Name: Zoho was asked
    assert json.loads(answer["body"])["zoho_code"] == "FIELD_NOT_AVAILABLE"


def test_an_export_past_its_deadline_fails_with_the_part_it_waited_for(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"in_progress_seconds": 3600.0})
    export_id = world.start()
    world.set_item(export_id, "META", deadline_at={"S": "2026-01-01T00:00:00.000Z"})
    world.invoke("ExportReconciler", {})
    export = world.export(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "DEADLINE_EXCEEDED")
    assert "part 1" in export["failure"]["message"]


def test_an_export_that_died_between_the_last_part_and_the_manifest_is_completed(small_jobs):
    world = small_jobs
    export_id = world.start()
    finish(world, export_id)
    s3, bucket = world.aws.client("s3"), world.deployment.outputs["ResultsBucketName"]
    s3.delete_object(Bucket=bucket, Key=world.export(export_id)["manifest_key"])
    world.set_item(export_id, "META", state={"S": "RUNNING"}, open={"S": "OPEN"}, deadline_at={"S": "2026"})
    assert_complete(world, finish(world, export_id), 250)


def test_a_message_of_an_unknown_export_is_dropped(world):
    for function in ("BulkReadSubmitter", "ResultDownloader"):
        body = json.dumps({"export_id": "20260101T000000Z-0123456789abcdef", "part": 1})
        record = {"body": body, "messageId": "1", "receiptHandle": "r", "attributes": {}}
        assert world.invoke(function, {"Records": [record]}) == {"batchItemFailures": []}


def test_a_revoked_grant_ends_the_export_with_what_to_do(small_jobs):
    world = small_jobs
    export_id = world.start()
    world.zoho.organisation.tokens.expire_all()
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    export = finish(world, export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "TOKEN_INVALIDATED")
    assert "again" in export["failure"]["remedy"]


def test_settings_that_are_missing_are_all_named(world):
    with pytest.raises(ConfigurationError, match="CONNECTION_PREFIX is not set; .*RESULTS_BUCKET is not set"):
        ResultDownloaderSettings.from_env({})
