"""TokenStore `mongo`: the same contract with the connection in MongoDB, over a socket."""

import pytest

from crm_export import wiring
from crm_export.system import System
from crm_export.wiring import Container
from tests.support.mongo import SILENT, mongo_server

PAGE = "/v1/e/zoho/export/contacts"


@pytest.fixture
def mongo(world):
    """A MongoDB server that the functions read connections from."""
    with mongo_server() as server:
        uri = f"{server.uri.rstrip('/')}/crm"
        secret = world.client("secretsmanager").create_secret(Name=f"mongo-{world.account}", SecretString=uri)
        for function in ("ExportHandler", "BulkReadSubmitter", "ResultDownloader"):
            world.configure(function, TOKEN_STORE="mongo", MONGO_URI_SECRET_ID=secret["ARN"])
        yield server
        wiring.mongo_collection(uri).database.client.close()
        wiring.mongo_collection.cache_clear()


def collection(server):
    return server.data["crm"]["integrations.zoho.key"]


def store(world, server):
    hosts = {"api_domain": world.zoho.url, "accounts_server": world.zoho.url}
    token = {"refresh_token": f"1000.{world.account}", **hosts}
    collection(server).insert_one({"token": token, "account_id": world.account, "owner": world.owner})


def test_page_with_the_connection_of_the_seed_is_returned(world, mongo):
    store(world, mongo)
    status, body = world.http("ExportHandler", "GET", PAGE)
    assert (status, len(body["data"])) == (200, 10)


def test_page_without_a_connection_is_404(world, mongo):
    status, body = world.http("ExportHandler", "GET", PAGE)
    assert (status, body["errno"], body["message"]) == (404, 400, "Access Token is not Found")


def test_revoked_grant_marks_the_document(world, mongo):
    store(world, mongo)
    world.zoho.config.refresh_tokens.remove(f"1000.{world.account}")
    assert world.http("ExportHandler", "GET", PAGE)[0] == 401
    assert collection(mongo).find_one({"account_id": world.account})["token_invalidated"] is True


def test_silent_server_is_504_in_time(world, mongo):
    store(world, mongo)
    mongo.refuse_code = SILENT
    status, body = world.http("ExportHandler", "GET", PAGE)
    assert (status, body["errno"]) == (504, 504)
    assert "MongoDB" in body["message"]


def test_export_with_its_connection_in_mongodb_completes(quiet_at_once, mongo):
    world = quiet_at_once
    store(world, mongo)
    assert world.finish(world.start("deals"))["state"] == "COMPLETED"
    assert collection(mongo).count_documents({}) == 1


def test_refused_login_says_what_to_check_without_the_uri(world, mongo):
    mongo.refuse_code = 18
    status, body = world.http("ExportHandler", "GET", PAGE)
    assert status == 500
    assert "authSource" in body["message"]
    assert "mongodb://" not in body["message"]


# --- the URI changes while a container is warm ---


@pytest.fixture
def warm(world, mongo):
    """One container for all invocations, its clock, and a second server that has the connection."""
    containers = {}

    class Clock:
        now = 1000.0

    def make(env):
        if not containers:
            containers[0] = Container(env, system=System(monotonic=lambda: Clock.now))
        return containers[0]

    world.make_container = make
    with mongo_server() as second:
        uri = f"{second.uri.rstrip('/')}/crm"
        name = f"mongo-{world.account}"

        def rotate():
            world.client("secretsmanager").put_secret_value(SecretId=name, SecretString=uri)

        store(world, second)
        yield Clock, rotate
        wiring.mongo_collection(uri).database.client.close()


def test_changed_uri_is_used_within_five_minutes(world, warm):
    clock, rotate = warm
    assert world.http("ExportHandler", "GET", PAGE)[0] == 404
    rotate()
    clock.now += 299
    assert world.http("ExportHandler", "GET", PAGE)[0] == 404
    clock.now += 1
    assert world.http("ExportHandler", "GET", PAGE)[0] == 200


def test_uri_with_a_refused_login_is_read_again_at_once(world, mongo, warm):
    _, rotate = warm
    assert world.http("ExportHandler", "GET", PAGE)[0] == 404
    mongo.refuse_code = 18
    rotate()
    assert world.http("ExportHandler", "GET", PAGE)[0] == 200
