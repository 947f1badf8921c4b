"""An export's objects contain the same records in every format, and an export never changes its format."""

import gzip
import json
import urllib.request
import zlib

import pytest


@pytest.fixture
def world(small_jobs):
    small_jobs.zoho.config.patch({"records": {"Events": 30}})
    return small_jobs


def store_as(world, result_format):
    """Change ResultFormat as a new deployment does."""
    world.configure("BulkReadSubmitter", RESULT_FORMAT=result_format)


@pytest.mark.parametrize("method", ["deflate", "store"])
def test_csv_gz_has_the_content_of_csv(world, method):
    world.zoho.config.patch({"zip_method": method})
    plain = world.objects(world.finish(world.start())["export_id"])
    store_as(world, "csv.gz")
    export = world.finish(world.start())
    assert (export["state"], export["records"]) == ("COMPLETED", 250)
    objects = world.objects(export["export_id"])
    manifest = json.loads(objects.pop("manifest.json"))
    assert manifest["file_format"] == "csv.gz"
    assert json.loads(plain["manifest.json"])["file_format"] == "csv"
    assert sorted(objects) == ["part-00001.csv.gz", "part-00002.csv.gz", "part-00003.csv.gz"]
    for part in manifest["parts"]:
        data = objects[part["key"].rpartition("/")[2]]
        content = gzip.decompress(data)
        assert content == plain[f"part-{part['part']:05d}.csv"]
        assert (part["bytes"], part["crc32"]) == (len(data), f"{zlib.crc32(content):08x}")
        assert part["crc32"] == f"{int.from_bytes(data[-8:-4], 'little'):08x}"
    assert manifest["bytes"] == sum(map(len, objects.values()))


def test_download_link_returns_the_gzip_file_without_content_encoding(world):
    store_as(world, "csv.gz")
    export = world.finish(world.start())
    with urllib.request.urlopen(export["parts"][0]["url"]) as response:
        assert response.read() == world.objects(export["export_id"])["part-00001.csv.gz"]
        assert response.headers["Content-Type"] == "application/gzip"
        assert "Content-Encoding" not in response.headers


@pytest.mark.parametrize(("before", "after"), [("csv", "csv.gz"), ("csv.gz", "csv")])
def test_running_export_keeps_its_format_when_the_parameter_changes(world, before, after):
    store_as(world, before)
    export_id = world.start()
    world.invoke("ExportReconciler", {})
    world.pump("DownloadQueue")
    store_as(world, after)
    world.finish(export_id)
    names = set(world.objects(export_id)) - {"manifest.json"}
    assert names == {f"part-{part:05d}.{before}" for part in (1, 2, 3)}


def test_export_without_a_format_is_stored_as_csv(world):
    store_as(world, "csv.gz")
    export_id = world.start()
    world.set_item(export_id, "META", result_format=None)
    world.finish(export_id)
    assert "part-00001.csv" in world.objects(export_id)


@pytest.mark.parametrize("result_format", ["csv", "csv.gz"])
def test_calendar_is_stored_as_ics_whatever_the_parameter_is(world, result_format):
    store_as(world, result_format)
    export_id = world.start("events")
    job = create_ics_job(world)
    world.set_item(export_id, "META", file_type={"S": "ics"})
    world.set_item(export_id, "PART#00001", job_id={"S": job})
    export = world.finish(export_id)
    assert (export["state"], export["records"]) == ("COMPLETED", 30)
    objects = world.objects(export_id)
    assert objects["part-00001.ics"].count(b"BEGIN:VEVENT\r\n") == 30
    manifest = json.loads(objects["manifest.json"])
    assert (manifest["file_format"], manifest["parts"][0]["header"]) == ("ics", [])


def test_calendar_with_a_missing_event_is_not_stored(world):
    export_id = world.start("events")
    world.zoho.fault(method="POST", path="/read$", job={"missing_rows": 1})
    job = create_ics_job(world)
    world.set_item(export_id, "META", file_type={"S": "ics"})
    world.set_item(export_id, "PART#00001", job_id={"S": job})
    export = world.finish(export_id)
    assert (export["state"], export["failure"]["code"]) == ("FAILED", "RECORD_COUNT_MISMATCH")
    assert world.objects(export_id) == {}


def create_ics_job(world) -> str:
    """Create a job in Zoho whose result is a calendar; return its id."""
    zoho = world.zoho
    form = f"grant_type=refresh_token&client_id={zoho.config.client_id}&refresh_token=1000.{world.account}"
    form += f"&client_secret={zoho.config.client_secret}"
    with urllib.request.urlopen(f"{zoho.url}/oauth/v2/token", form.encode()) as response:
        token = json.loads(response.read())["access_token"]
    body = {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"}
    headers = {"Authorization": f"Zoho-oauthtoken {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{zoho.url}/crm/bulk/v8/read", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read())["data"][0]["details"]["id"]
