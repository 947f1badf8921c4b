"""An export from POST to its manifest: callbacks, queue messages and failures in every order."""

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


def rows_of(data: bytes):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def assert_complete(world, export, records):
    """Assert that every record is stored once, and that the manifest describes the objects."""
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


@pytest.mark.parametrize("version", ["v2", "v6", "v8"])
def test_export_of_three_parts_completes_on_every_version(small_jobs, version):
    world = small_jobs
    world.configure("BulkReadSubmitter", BULK_READ_API_VERSION=version)
    export_id = world.start()
    world.configure("BulkReadSubmitter", BULK_READ_API_VERSION="v8")  # a running export keeps its version
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


def test_next_part_is_submitted_before_this_one_is_downloaded(small_jobs):
    world = small_jobs
    world.zoho.fault(path="/result$", status=500)
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    world.pump("SubmitQueue")
    assert [part["state"] for part in world.export(export_id)["parts"]] == ["READY", "SUBMITTED"]


def test_export_without_callbacks_is_completed_by_the_reconciler(small_jobs):
    export_id = small_jobs.start()
    assert_complete(small_jobs, small_jobs.finish(export_id), 250)


def test_export_of_empty_module_has_an_empty_part_and_a_manifest(quiet_at_once):
    world = quiet_at_once
    world.zoho.config.patch({"records": {"Deals": 0}})
    assert_complete(world, world.finish(world.start("deals")), 0)


def test_repeated_callbacks_store_the_part_once(small_jobs):
    world = small_jobs
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    for body in ({"data": [{"id": job}]}, {"job_id": job, "state": "COMPLETED"}, {"data": [{"id": job}]}):
        assert world.callback(world.callback_urls()[0], json.dumps(body))[0] == 200
    assert len(world.pump("DownloadQueue")) == 3
    world.pump("SubmitQueue")
    assert_complete(world, world.finish(export_id), 250)
    assert len(world.zoho.journal.requests("/result$", "GET")) == 3
    assert len(world.callback_urls()) == 3


def test_callback_names_the_job_whose_response_was_lost(small_jobs):
    """The response of "create job" is lost; the callback names the job, and the part adopts it."""
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
    assert_complete(world, world.finish(export_id), 250)
    assert len(world.callback_urls()) == 3


def test_callback_with_another_modules_job_does_not_change_the_part(small_jobs):
    world = small_jobs
    other = world.start("accounts")
    world.zoho.fault(method="POST", path="/read$", drop="before", times=1)
    export_id = world.start()
    foreign = world.export(other)["parts"][0]["job_id"]
    world.callback(world.callback_urls()[-1], json.dumps({"data": [{"id": foreign}]}))
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["job_id"] != foreign
    assert_complete(world, world.finish(export_id), 250)


def test_throttled_job_is_created_later(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", status=429, times=1)
    export_id = world.start()
    assert world.export(export_id)["state"] == "RUNNING"
    assert_complete(world, world.finish(export_id), 250)


def test_query_that_zoho_refuses_is_reported_in_the_response(world):
    body = json.dumps({"query": {"fields": ["No_Such_Field"]}})
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    assert (status, response["errno"], response["zoho_code"]) == (422, 422, "FIELD_NOT_AVAILABLE")
    assert "No_Such_Field" in response["message"]
    _, exports = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")
    (export,) = exports["data"]
    assert export["state"] == "FAILED"
    assert export["failure"]["code"] == "ZOHO_QUERY_REFUSED"
    assert export["failure"]["remedy"]


def test_very_long_failure_message_is_cut_and_listed(world):
    body = '{"code": "INVALID_DATA\\ud800", "message": "' + "x" * 450_000 + '\\ud800", "status": "error"}'
    world.zoho.fault(method="POST", path="/read$", status=400, body=body)
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts")
    assert (status, response["zoho_code"]) == (422, "INVALID_DATA?")
    status, response = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports")
    assert (status, response["data"][0]["state"]) == (200, "FAILED")
    assert len(response["data"][0]["failure"]["message"]) < 3000


def test_fields_and_criteria_are_sent_to_zoho(quiet_at_once):
    world = quiet_at_once
    criteria = {"field": {"api_name": "Last_Name"}, "comparator": "starts_with", "value": "M"}
    export_id = world.start(query={"fields": ["Last_Name", "Email"], "criteria": criteria})
    export = world.finish(export_id)
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
        ('{"querry": {}}', 422, '"querry"; allowed: file_type, query'),
        ('{"query": {"per_page": 2}}', 422, "query has the key"),
        ('{"query": {"fields": "Id"}}', 422, 'query.fields is "Id"; it must be an array'),
        ('{"query": {"fields": [1]}}', 422, "query.fields[0] is 1"),
        ('{"file_type": "pdf"}', 422, 'file_type is "pdf"; allowed: csv, ics'),
        ('{"query": {"cvid": "x"}}', 422, 'query.cvid is "x"'),
        ('{"query": {"fields": ["' + "x" * 300 + '"]}}', 422, "query.fields[0]"),
        (
            json.dumps({"query": {"fields": ["x"] * 201}}),
            422,
            "query.fields has 201 names; at most 200 are allowed",
        ),
        (
            '{"query": {"criteria": {"group": 5}}}',
            422,
            "query.criteria.group_operator is missing; allowed: and, or",
        ),
        ('{"file_type": "\\ud800"}', 400, "not JSON"),
        ('{"query": {"criteria": {"value": NaN}}}', 400, "not JSON"),
        ('{"query": {"criteria": {"value": 1e999}}}', 400, "not JSON"),
        (json.dumps({"x": "y" * 300_000}), 400, "bytes; at most 262144 are allowed"),
    ],
)
def test_invalid_body_is_refused_with_its_value_and_what_is_allowed(world, body, status, says):
    response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts", body=body)
    assert response[0] == response[1]["errno"] == status
    assert says in response[1]["message"]
    assert not world.callback_urls()


def test_unknown_type_is_404(world):
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/nonsense")
    assert (status, response["errno"], response["message"]) == (404, 400, "Type is not Selected yet")


def test_account_without_a_connection_is_404(world):
    nobody = {"account_id": "nobody", "uid": "user-1"}
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/deals", claims=nobody)
    assert (status, response["errno"], response["message"]) == (404, 400, "Access Token is not Found")


@pytest.mark.parametrize("export_id", ["nonsense", "20260101T000000Z-0123456789abcdef", "..%2f"])
def test_unknown_export_is_404(world, export_id):
    status, response = world.http("BulkReadSubmitter", "GET", f"/v1/e/zoho/bulk-read/exports/{export_id}")
    assert (status, response["errno"], response["message"]) == (404, 404, "Export is not Found")


def test_export_of_another_account_is_neither_shown_nor_listed(world):
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
        _, response = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports", query=query)
        seen += [export["export_id"] for export in response["data"]]
        if not response["pagination"]["more_records"]:
            break
        query["page_token"] = response["pagination"]["next_page_token"]
    assert seen == started[::-1]


@pytest.mark.parametrize("token", ["x", "e30=", "bnVsbA==", "🙂"])
def test_malformed_page_token_is_refused(world, token):
    query = {"page_token": token}
    status, response = world.http("BulkReadSubmitter", "GET", "/v1/e/zoho/bulk-read/exports", query=query)
    assert (status, response["errno"]) == (400, 400)
    assert "page_token" in response["message"]


def test_link_of_stored_part_returns_its_object(small_jobs):
    export = small_jobs.finish(small_jobs.start())
    with urllib.request.urlopen(export["parts"][1]["url"]) as response:
        assert response.read() == small_jobs.objects(export["export_id"])["part-00002.csv"]


# --- callbacks -------------------------------------------------------------------------------


def test_wrong_signature_is_refused_before_the_body_is_parsed(world):
    export_id = world.start()
    url = world.callback_urls()[0]
    for forged in (url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace("/1/", "/2/"), url[:-64] + "é"):
        status, response = world.callback(forged, "not even JSON")
        assert (status, response["errno"]) == (403, 403)
        assert "signature" in response["message"]
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"
    assert not world.pump("DownloadQueue")


@pytest.mark.parametrize(
    "body", ["", "not JSON", "[]", '{"data": []}', '{"data": [{"id": "../x"}]}', "[" * 100_000]
)
def test_signed_callback_with_malformed_body_is_refused_but_queues_its_part(small_jobs, body):
    world = small_jobs
    export_id = world.start()
    status, response = world.callback(world.callback_urls()[0], body)
    assert (status, response["errno"]) == (400, 400)
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "STORED"


def test_callback_before_the_job_is_done_changes_nothing(world):
    world.zoho.config.patch({"in_progress_seconds": 3600.0})
    export_id = world.start()
    world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": "1", "state": "COMPLETED"}]}))
    assert world.pump("DownloadQueue") == [[]]
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"


def test_repeated_callbacks_of_a_failed_job_replace_it_once(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"}, times=1)
    export_id = world.start()
    failed = world.export(export_id)["parts"][0]["job_id"]
    for _ in range(4):
        world.callback(world.callback_urls()[0], json.dumps({"data": [{"id": failed, "state": "FAILURE"}]}))
        world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "RUNNING"
    export = world.finish(export_id)
    assert_complete(world, export, 250)
    assert export["parts"][0]["job_id"] != failed


# --- failures --------------------------------------------------------------------------------


def test_failed_job_is_replaced_until_the_third_fails_the_export(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"}, times=1)
    assert_complete(world, world.finish(world.start()), 250)
    world.zoho.fault(method="POST", path="/read$", job={"state": "FAILURE"})
    export = world.finish(world.start())
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
def test_failed_download_stores_nothing_and_is_repeated(small_jobs, fault):
    world = small_jobs
    world.zoho.fault(path="/result$", times=1, **fault)
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    assert [len(failed) for failed in world.pump("DownloadQueue")] == [1]
    assert world.objects(export_id) == {}
    assert world.export(export_id)["parts"][0]["state"] == "READY"
    assert_complete(world, world.finish(export_id), 250)


@pytest.mark.parametrize(
    ("fault", "code"),
    [({"corrupt_crc": True}, "RESULT_CORRUPT"), ({"missing_rows": 1}, "RECORD_COUNT_MISMATCH")],
)
def test_result_that_is_always_wrong_fails_the_export(quiet_at_once, fault, code):
    world = quiet_at_once
    world.zoho.fault(method="POST", path="/read$", job=fault)
    export = world.finish(world.start("deals"))
    assert export["state"] == "FAILED"
    assert export["failure"]["code"] == code
    assert world.objects(export["export_id"]) == {}


def test_retry_after_of_zoho_is_kept_although_callbacks_arrive(small_jobs):
    world = small_jobs
    world.zoho.fault(path="/result$", status=429, headers={"Retry-After": "60"}, times=1)
    export_id = world.start()
    for _ in range(4):
        world.invoke("ExportReconciler", {})
        world.callback(world.callback_urls()[0], '{"job_id": "1"}')
        world.pump("DownloadQueue")
    first = world.export(export_id)["parts"][0]
    assert len(world.zoho.journal.requests(f"/{first['job_id']}/result$", "GET")) == 1
    assert first["state"] == "READY"
    assert_complete(world, world.finish(export_id), 250)


def test_throttling_never_uses_up_the_attempts(small_jobs):
    world = small_jobs
    world.zoho.fault(path="/result$", status=429, times=12)
    assert_complete(world, world.finish(world.start()), 250)
    assert len(world.zoho.journal.requests("/result$", "GET")) == 12 + 3


def test_job_or_result_that_is_not_found_is_retried(small_jobs):
    world = small_jobs
    gone = {"status": 404, "body": {"code": "RESOURCE_NOT_FOUND", "message": "gone", "status": "error"}}
    world.zoho.fault(method="GET", path="/read/[0-9]+$", times=1, **gone)
    world.zoho.fault(path="/result$", times=2, **gone)
    assert_complete(world, world.finish(world.start()), 250)


def test_details_of_another_job_are_asked_for_again(small_jobs):
    """A cache returns another export's job, of the same module and with as many records."""
    world = small_jobs
    one, other = world.start(), world.start(query={"fields": ["Email"]})
    jobs = [world.export(export_id)["parts"][0]["job_id"] for export_id in (one, other)]
    result = {"page": 1, "count": 100, "more_records": True, "download_url": "/x", "next_page_token": "x"}
    datum = {"id": jobs[1], "state": "COMPLETED", "result": result}
    world.zoho.fault(method="GET", path=f"/read/{jobs[0]}$", times=3, status=200, body={"data": [datum]})
    for export_id in (one, other):
        assert_complete(world, world.finish(export_id), 250)
    assert world.export(one)["parts"][0]["job_id"] == jobs[0]


@pytest.mark.parametrize(
    "details",
    [
        {"state": "completed"},
        {"state": "Completed", "result": {"count": "100.0"}},
        {"result": {"count": 100.0}},
    ],
    ids=str,
)
def test_details_in_other_words_are_understood(small_jobs, details):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", nth=1, job={"details": details})
    export = world.finish(world.start(), rounds=3)
    assert_complete(world, export, 250)
    assert len(world.callback_urls()) == 3


@pytest.mark.parametrize(
    "details", [{"state": "DELETED"}, {"result": None}, {"state": None}, {"result": {"count": None}}], ids=str
)
def test_job_whose_details_never_become_useful_is_replaced(small_jobs, details):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", nth=1, job={"details": details})
    export = world.finish(world.start())
    assert_complete(world, export, 250)
    assert len(world.callback_urls()) == 4


def test_three_jobs_without_a_result_in_their_details_fail_the_export(small_jobs):
    world = small_jobs
    world.zoho.fault(method="POST", path="/read$", job={"details": {"result": None}})
    export = world.finish(world.start(), rounds=25)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "ZOHO_RESPONSE_INVALID")
    assert "lacks state, count or more_records" in export["failure"]["message"]
    assert len(world.callback_urls()) == 3


def test_storage_that_refuses_is_retried_and_then_fails_the_export(small_jobs):
    world = small_jobs
    bucket = world.deployment.functions["ResultDownloader"].environment["RESULTS_BUCKET"]
    export_id = world.start()
    world.configure("ResultDownloader", RESULTS_BUCKET="no-such-bucket")
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    assert world.export(export_id)["parts"][0]["state"] == "READY"
    world.configure("ResultDownloader", RESULTS_BUCKET=bucket)
    assert_complete(world, world.finish(export_id), 250)
    world.configure("ResultDownloader", RESULTS_BUCKET="no-such-bucket")
    export = world.finish(world.start("deals"))
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "STORAGE_REFUSED")
    assert "NoSuchBucket" in export["failure"]["message"]


def test_message_of_a_locked_part_is_delivered_again(small_jobs):
    world = small_jobs
    export_id = world.start()
    lease = {"lease_owner": {"S": "other"}, "lease_until": {"S": "2999-01-01T00:00:00.000Z"}}
    world.set_item(export_id, "PART#00001", **lease)
    world.callback(world.callback_urls()[0], '{"job_id": "1"}')
    assert [len(failed) for failed in world.pump("DownloadQueue")] == [1]
    assert not world.zoho.journal.requests("/read/[0-9]+$", "GET")
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"


def test_lease_of_dead_worker_is_taken_over_until_the_eighth_death(small_jobs):
    world = small_jobs
    export_id = world.start()
    world.pump("DownloadQueue")
    dead = {"lease_owner": {"S": "dead"}, "lease_until": {"S": "2999-01-01T00:00:00.000Z"}}
    world.set_item(export_id, "PART#00001", **dead)
    world.finish(export_id)
    assert world.export(export_id)["parts"][0]["state"] == "SUBMITTED"
    over = {**dead, "lease_until": {"S": "2026-01-01T00:00:00.000Z"}}
    world.set_item(export_id, "PART#00001", **over)
    assert_complete(world, world.finish(export_id), 250)
    export_id = world.start()
    world.set_item(export_id, "PART#00001", dead_owners={"SS": list("abcdef")}, **over)
    assert_complete(world, world.finish(export_id), 250)
    export_id = world.start()
    world.set_item(export_id, "PART#00001", dead_owners={"SS": list("abcdefg")}, **over)
    export = world.finish(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "WORKER_DIED")
    assert "8 workers were lost" in export["failure"]["message"]


def test_more_records_without_a_page_token_fails_the_export(small_jobs):
    world = small_jobs
    export_id = world.start()
    job = world.export(export_id)["parts"][0]["job_id"]
    result = {"page": 1, "count": 100, "more_records": True, "download_url": "/x"}
    datum = {"id": job, "state": "COMPLETED", "result": result, "query": {"module": {"api_name": "Contacts"}}}
    world.zoho.fault(method="GET", path=f"/read/{job}$", status=200, body={"data": [datum]})
    export = world.finish(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "PAGING_BROKEN")


def test_message_about_a_refused_callback_url_hides_its_signature(world):
    body = {"code": "INVALID_CALLBACK_URL", "status": "error"}
    url = f"https://x/v1/e/zoho/bulk-read/callback/20260101T000000Z-0123456789abcdef/1/{'ab' * 32}"
    body["message"] = f"Invalid URL '{url}' for callback."
    world.zoho.fault(method="POST", path="/read$", status=400, body=body)
    status, response = world.http("BulkReadSubmitter", "POST", "/v1/e/zoho/bulk-read/contacts")
    assert (status, response["zoho_code"]) == (502, "INVALID_CALLBACK_URL")
    assert "abab" not in json.dumps(response)
    assert "/1/***" in response["message"]


@pytest.mark.parametrize("encoded", [True, False])
def test_body_in_base64_is_decoded(world, encoded):
    text = json.dumps({"query": {"fields": ["Last_Name"]}})
    body = base64.b64encode(text.encode()).decode() if encoded else text
    event = http_event(
        "POST", "/v1/e/zoho/bulk-read/deals", claims={"account_id": world.account, "uid": "user-1"}, body=body
    )
    response = world.invoke("BulkReadSubmitter", {**event, "isBase64Encoded": encoded})
    assert response["statusCode"] == 422  # from Zoho: Deals has no Last_Name
    assert json.loads(response["body"])["zoho_code"] == "FIELD_NOT_AVAILABLE"


def test_export_past_its_deadline_fails_and_names_the_missing_part(small_jobs):
    world = small_jobs
    world.zoho.config.patch({"in_progress_seconds": 3600.0})
    export_id = world.start()
    world.set_item(export_id, "META", deadline_at={"S": "2026-01-01T00:00:00.000Z"})
    world.invoke("ExportReconciler", {})
    export = world.export(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "DEADLINE_EXCEEDED")
    assert "part 1" in export["failure"]["message"]


def test_export_without_its_manifest_is_completed_by_the_reconciler(small_jobs):
    world = small_jobs
    export_id = world.start()
    world.finish(export_id)
    s3, bucket = world.client("s3"), world.deployment.outputs["ResultsBucketName"]
    s3.delete_object(Bucket=bucket, Key=world.export(export_id)["manifest_key"])
    past = {"S": "2026-01-01T00:00:00.000Z"}
    world.set_item(export_id, "META", state={"S": "RUNNING"}, open={"S": "OPEN"}, deadline_at=past)
    assert_complete(world, world.finish(export_id), 250)


def test_message_of_unknown_export_is_dropped(world):
    for function in ("BulkReadSubmitter", "ResultDownloader"):
        body = json.dumps({"export_id": "20260101T000000Z-0123456789abcdef", "part": 1})
        record = {"body": body, "messageId": "1", "receiptHandle": "r", "attributes": {}}
        assert world.invoke(function, {"Records": [record]}) == {"batchItemFailures": []}


def test_revoked_grant_fails_the_export_with_a_remedy(small_jobs):
    world = small_jobs
    export_id = world.start()
    world.zoho.organisation.tokens.expire_all()
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    export = world.finish(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "TOKEN_INVALIDATED")
    assert "again" in export["failure"]["remedy"]


def test_missing_settings_are_all_named_in_one_error(world):
    with pytest.raises(ConfigurationError, match="RESULTS_BUCKET is not set; .*CONNECTION_PREFIX is not set"):
        ResultDownloaderSettings.from_env({})
