"""The key of callback URLs is rotated while jobs are in flight."""

import json
import uuid

from crm_export.connections.secrets_manager import read_rotated_secret
from crm_export.exports.callbacks import KeyRing


def secret_of(world):
    return world.deployment.functions["CallbackReceiver"].environment["CALLBACK_SECRET_ID"]


def rotate(world):
    """Rotate the key as docs/operations.md describes."""
    key = uuid.uuid4().hex * 2
    world.client("secretsmanager").put_secret_value(SecretId=secret_of(world), SecretString=key)


def call_back(world, export_id, url):
    job = world.export(export_id)["parts"][0]["job_id"]
    return world.callback(url, json.dumps({"data": [{"id": job, "state": "COMPLETED"}]}))


def test_callback_signed_before_a_rotation_is_accepted(world):
    export_id = world.start("deals")
    (url,) = world.callback_urls()
    rotate(world)
    assert call_back(world, export_id, url)[0] == 200
    world.pump("DownloadQueue")
    assert world.export(export_id)["state"] == "COMPLETED"


def test_url_made_after_a_rotation_has_the_new_key(world):
    world.start("deals")
    rotate(world)
    second = world.start("deals")
    old, new = world.callback_urls()
    rotate(world)
    assert call_back(world, second, new)[0] == 200
    assert call_back(world, second, old)[0] == 403


def test_url_made_before_two_rotations_is_refused_and_the_reconciler_completes_the_export(quiet_at_once):
    world = quiet_at_once
    export_id = world.start("deals")
    (url,) = world.callback_urls()
    rotate(world)
    rotate(world)
    status, response = call_back(world, export_id, url)
    assert (status, response["errno"]) == (403, 403)
    assert not world.pump("DownloadQueue")
    assert world.finish(export_id)["state"] == "COMPLETED"


def test_container_with_older_keys_accepts_newer_urls(world):
    client, now = world.client("secretsmanager"), 1000.0
    ring = KeyRing(lambda: read_rotated_secret(client, secret_of(world)), lambda: now)
    ring.current()
    for _ in range(3):
        rotate(world)
        export_id = world.start("deals")
        now += 11
        signature = world.callback_urls()[-1].rpartition("/")[2]
        assert ring.verify(export_id, "1", signature) == 1


def test_previous_key_is_none_before_the_first_rotation(world):
    client = world.client("secretsmanager")
    name = f"key-{world.account}"
    client.create_secret(Name=name, SecretString="a" * 64)
    assert read_rotated_secret(client, name) == ("a" * 64, None)
    client.put_secret_value(SecretId=name, SecretString="b" * 64)
    assert read_rotated_secret(client, name) == ("b" * 64, "a" * 64)
