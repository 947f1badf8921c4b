"""The key of callback URLs is rotated while jobs are in flight."""

import json
import uuid

import pytest

from crm_export.connections.secrets_manager import read_rotated_secret
from crm_export.exports.callbacks import KeyRing


def secret_of(world):
    return world.deployment.functions["CallbackReceiver"].environment["CALLBACK_SECRET_ID"]


def rotate(world):
    """As docs/operations.md says."""
    key = uuid.uuid4().hex * 2
    world.aws.client("secretsmanager").put_secret_value(SecretId=secret_of(world), SecretString=key)


def call_back(world, export_id, url):
    job = world.export(export_id)["parts"][0]["job_id"]
    return world.callback(url, json.dumps({"data": [{"id": job, "state": "COMPLETED"}]}))


@pytest.fixture
def quiet_at_once(world):
    environment = world.deployment.functions["ExportReconciler"].environment
    environment["PART_QUIET_SECONDS"] = "0"
    yield world
    environment["PART_QUIET_SECONDS"] = "300"


def test_a_key_rotated_between_a_job_and_its_callback_loses_nothing(world):
    export_id = world.start("deals")
    (url,) = world.callback_urls()
    rotate(world)
    assert call_back(world, export_id, url)[0] == 200
    world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "COMPLETED"


def test_what_is_signed_after_a_rotation_has_the_new_key(world):
    world.start("deals")
    rotate(world)
    second = world.start("deals")
    old, new = world.callback_urls()
    rotate(world)
    assert call_back(world, second, new)[0] == 200
    assert call_back(world, second, old)[0] == 403


def test_after_two_rotations_the_old_url_is_refused_and_the_reconciler_brings_it_home(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    (url,) = world.callback_urls()
    rotate(world)
    rotate(world)
    status, answer = call_back(world, export_id, url)
    assert (status, answer["errno"]) == (403, 403)
    assert not world.pump("DownloadQueue")
    for _ in range(3):
        world.invoke("ExportReconciler", {})
        world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "COMPLETED"


def test_a_container_that_read_the_keys_before_takes_urls_signed_since(world):
    client, now = world.aws.client("secretsmanager"), 1000.0
    ring = KeyRing(lambda: read_rotated_secret(client, secret_of(world)), lambda: now)
    ring.current()
    for _ in range(3):
        rotate(world)
        export_id = world.start("deals")
        now += 11
        signature = world.callback_urls()[-1].rpartition("/")[2]
        assert ring.verify(export_id, "1", signature) == 1


def test_a_key_that_was_never_rotated_has_none_before_it(world):
    client = world.aws.client("secretsmanager")
    name = f"key-{world.account}"
    client.create_secret(Name=name, SecretString="a" * 64)
    assert read_rotated_secret(client, name) == ("a" * 64, None)
    client.put_secret_value(SecretId=name, SecretString="b" * 64)
    assert read_rotated_secret(client, name) == ("b" * 64, "a" * 64)
