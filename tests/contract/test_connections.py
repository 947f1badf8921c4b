"""The contract of every store of connections: Secrets Manager on moto, a file, MongoDB over a socket, and the
MongoDB that the environment variable MONGODB_URI names, if it is set."""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import boto3
import dns.exception
import dns.resolver
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.write_concern import WriteConcern

from crm_export.cached import Cached
from crm_export.connections.model import Connection, ConnectionStore, require_identity
from crm_export.connections.mongo import MongoConnections, open_collection
from crm_export.connections.secrets_manager import SecretsManagerConnections, list_names
from crm_export.errors import (
    CallerNotIdentified,
    ConfigurationError,
    ConnectionMalformed,
    ConnectionNotFound,
    ExportError,
    StoreTimeout,
    StoreUnavailable,
    UntrustedOrigin,
)
from crm_export.zoho.catalog import DEFAULT_SCOPE
from crm_export.zoho.grants import ClientCredentials, RefreshToken, ZohoClientCredentials
from crm_export_cli.exits import CliError
from crm_export_cli.folder.connections import FolderConnections
from crm_export_cli.in_mongo import MongoAdmin
from local.host.aws import move_current_label
from tests.support.mongo import SILENT, MongoServer, always, ignore_mongomock_throw, mongo_server

# A real server is used if there is one, as in the GitHub workflow.
MONGOS = ["over_a_socket", "real"] if os.environ.get("MONGODB_URI") else ["over_a_socket"]
TRUSTED = ("http://127.0.0.1:9999",)
PREFIX = "zoho-crm-export/connections"
TOKEN = {"refresh_token": "1000.r", "api_domain": "https://www.zohoapis.eu"}


CLIENT = {"client_id": "1000.C", "client_secret": "1000.s3cret"}
OF_CLIENT = {
    "grant": "client_credentials",
    "soid": "ZohoCRM.60000000001",
    "scope": "ZohoCRM.bulk.READ,ZohoCRM.modules.READ",
    "api_domain": "https://www.zohoapis.eu",
}
CREDENTIALS = ClientCredentials(OF_CLIENT["soid"], OF_CLIENT["scope"])
OWN_CLIENT = ZohoClientCredentials(*CLIENT.values())
GRANTS = {
    "refresh token": (TOKEN, RefreshToken("1000.r"), None),
    "named refresh token": ({**TOKEN, "grant": "refresh_token"}, RefreshToken("1000.r"), None),
    "refresh token of an own client": ({**TOKEN, **CLIENT}, RefreshToken("1000.r"), OWN_CLIENT),
    "client credentials": ({**OF_CLIENT, **CLIENT}, CREDENTIALS, OWN_CLIENT),
    "client credentials of the stack's client": (OF_CLIENT, CREDENTIALS, None),
}
each_grant = pytest.mark.parametrize(("token", "grant", "client"), GRANTS.values(), ids=GRANTS)


def of(
    account_id: Any, owner: str, grant: RefreshToken | ClientCredentials, client: Any = None
) -> Connection:
    """Return a connection as it was read before its grant was refused."""
    return Connection(account_id, owner, "https://www.zohoapis.eu", "https://accounts.zoho.eu", grant, client)


def connection(account_id: Any, owner: str = "user-1", refresh_token: str = "1000.r") -> Connection:
    return of(account_id, owner, RefreshToken(refresh_token))


def mark_account(store: ConnectionStore, account_id: Any) -> None:
    store.mark_account(connection(account_id))


class Backend(Protocol):
    """A store under test, and direct access to its documents."""

    store: ConnectionStore

    def write(self, account_id: str, owner: str, document: dict[str, Any]) -> None: ...

    def read(self, account_id: str, owner: str) -> dict[str, Any]: ...


@dataclass
class Secrets:
    client: Any
    store: SecretsManagerConnections

    def write(self, account_id, owner, document):
        self.client.create_secret(Name=f"{PREFIX}/{account_id}/{owner}", SecretString=json.dumps(document))

    def read(self, account_id, owner):
        secret = self.client.get_secret_value(SecretId=f"{PREFIX}/{account_id}/{owner}")
        return json.loads(secret["SecretString"])


@dataclass
class Mongo:
    collection: Any
    store: MongoConnections

    def write(self, account_id, owner, document):
        self.collection.insert_one({"account_id": account_id, "owner": owner, **document})

    def read(self, account_id, owner):
        document = self.collection.find_one({"account_id": account_id, "owner": owner})
        del document["_id"]
        return document


@dataclass
class File:
    path: Path
    store: FolderConnections

    def write(self, account_id, owner, document):
        documents = json.loads(self.path.read_text())["connections"] if self.path.exists() else {}
        documents.setdefault(account_id, {})[owner] = document
        self.path.write_text(json.dumps({"connections": documents}))

    def read(self, account_id, owner):
        return json.loads(self.path.read_text())["connections"][account_id][owner]


@pytest.fixture
def file(tmp_path: Path) -> File:
    path = tmp_path / "connections.json"
    return File(path, FolderConnections(path, TRUSTED))


@pytest.fixture(scope="module")
def secrets_client() -> Any:
    """Return one client for all tests: creating a boto3 client is slow."""
    move_current_label()
    return boto3.client(
        "secretsmanager",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture
def secrets(secrets_client: Any) -> Iterator[Secrets]:
    with mock_aws():
        yield Secrets(secrets_client, SecretsManagerConnections(secrets_client, PREFIX, TRUSTED))


@pytest.fixture(scope="module")
def server() -> Iterator[MongoServer]:
    with mongo_server() as running:
        yield running


def database_uri(uri: str) -> str:
    """Return the URI with a database for this test only, and the database that authenticates as before."""
    parts = urlsplit(uri)
    query = parts.query
    if "@" in parts.netloc and "authsource" not in query.lower():
        query += f"{'&' if query else ''}authSource={parts.path.strip('/') or 'admin'}"
    return urlunsplit(parts._replace(path=f"/zce_test_{uuid.uuid4().hex[:12]}", query=query))


def opened(uri: str) -> Iterator[Mongo]:
    collection = open_collection(database_uri(uri))
    majority = collection.with_options(write_concern=WriteConcern(w="majority"))
    try:
        yield Mongo(majority, MongoConnections(always(collection), TRUSTED))
    finally:
        client = collection.database.client
        client.drop_database(collection.database.name)
        client.close()


@pytest.fixture
def over_a_socket(server: MongoServer) -> Iterator[Mongo]:
    server.refuse_code = None
    server.received.clear()
    yield from opened(server.uri)


@pytest.fixture
def real() -> Iterator[Mongo]:
    yield from opened(os.environ["MONGODB_URI"])


@pytest.fixture(params=MONGOS)
def mongo(request: pytest.FixtureRequest) -> Mongo:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["secrets", "file", *MONGOS])
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.getfixturevalue(request.param)


# --- every store -----------------------------------------------------------------------------


@each_grant
def test_stored_connection_is_found(backend, token, grant, client):
    backend.write("acct-1", "user-1", {"account_id": "acct-1", "owner": "user-1", "token": token})
    assert backend.store.get("acct-1", "user-1") == of("acct-1", "user-1", grant, client)


def test_half_a_client_next_to_a_refresh_token_is_ignored(backend):
    backend.write("acct-1", "user-1", {"token": {**TOKEN, "client_id": "1000.C", "client_secret": 5}})
    assert backend.store.get("acct-1", "user-1").client is None


def test_client_credentials_without_a_scope_have_all_scopes_that_connect_requests(backend):
    backend.write("acct-1", "user-1", {"token": {**OF_CLIENT, "scope": None}})
    assert backend.store.get("acct-1", "user-1").grant.scope == DEFAULT_SCOPE


@each_grant
def test_mark_marks_this_kind_of_grant_wherever_the_account_stores_it(backend, token, grant, client):
    backend.write("acct-1", "user-1", {"token": token})
    backend.write("acct-1", "user-2", {"token": {**token, "api_domain": "https://www.zohoapis.in"}})
    backend.write("acct-2", "user-1", {"token": token})
    backend.store.mark(of("acct-1", "user-1", grant, client))
    for owner in ("user-1", "user-2"):
        assert backend.read("acct-1", owner)["token_invalidated"] is True
    assert backend.read("acct-1", "user-1")["token"] == token
    assert "token_invalidated" not in backend.read("acct-2", "user-1")


@pytest.mark.parametrize(
    "newer",
    [
        TOKEN,
        {**OF_CLIENT, **CLIENT, "client_secret": "1000.n3w"},
        {**OF_CLIENT, **CLIENT, "soid": "ZohoCRM.2"},
    ],
    ids=["refresh token", "new secret", "other organisation"],
)
def test_client_credentials_that_were_replaced_are_not_marked(backend, newer):
    backend.write("acct-1", "user-1", {"token": newer})
    backend.store.mark_account(of("acct-1", "user-1", CREDENTIALS, OWN_CLIENT))
    assert "token_invalidated" not in backend.read("acct-1", "user-1")


@pytest.mark.parametrize(
    ("account_id", "owner"),
    [
        ("acct-1", "user-2"),
        ("acct-2", "user-1"),
        ("acct-", "user-1"),
        ("acct-1", "user"),
        ("ACCT-1", "user-1"),
        ("acct-1", "USER-1"),
        ("acct-1", "."),
        ("a.*", "user-1"),
    ],
)
def test_only_the_exact_account_and_owner_are_found(backend, account_id, owner):
    backend.write("acct-1", "user-1", {"token": TOKEN})
    with pytest.raises(ConnectionNotFound, match="^Access Token is not Found$"):
        backend.store.get(account_id, owner)


def test_missing_connection_names_its_account_and_owner(backend):
    with pytest.raises(ConnectionNotFound) as raised:
        backend.store.get("acct-1", "user-1")
    assert raised.value.remedy.startswith("No connection is stored for account acct-1 and owner user-1.")


def test_empty_store_finds_and_marks_nothing(backend):
    mark_account(backend.store, "acct-1")
    with pytest.raises(ConnectionNotFound):
        backend.store.get("acct-1", "user-1")


@pytest.mark.parametrize("identity", ["0", "user_Lwh9EzeD8", "jo.doe@example-corp.com", "a" * 128])
def test_every_allowed_identity_can_be_stored(backend, identity):
    require_identity("uid", identity)
    backend.write(identity, identity, {"token": TOKEN})
    assert backend.store.get(identity, identity).owner == identity
    mark_account(backend.store, identity)
    assert backend.read(identity, identity)["token_invalidated"] is True


@pytest.mark.parametrize("identity", ["jürgen", "用户", "user\u0000", "a/b", "a b", "", {"$gt": ""}, None, 5])
def test_other_identities_are_refused_without_a_store(identity):
    with pytest.raises(CallerNotIdentified):
        require_identity("uid", identity)


def test_unicode_in_a_document_is_unchanged(backend):
    backend.write("acct-1", "user-1", {"token": TOKEN, "note": "Jürgen 用户"})
    mark_account(backend.store, "acct-1")
    assert backend.read("acct-1", "user-1")["note"] == "Jürgen 用户"


def test_mark_account_marks_all_connections_of_the_account_only(backend):
    for account_id, owner in [("acct-1", "u1"), ("acct-1", "u2"), ("acct-10", "u1"), ("ACCT-1", "u1")]:
        backend.write(account_id, owner, {"token": TOKEN})
    mark_account(backend.store, "acct-1")
    for owner in ("u1", "u2"):
        marked = backend.read("acct-1", owner)
        assert marked["token_invalidated"] is True
        assert marked["token"] == TOKEN
    assert "token_invalidated" not in backend.read("acct-10", "u1")
    assert "token_invalidated" not in backend.read("ACCT-1", "u1")


def test_mark_account_is_idempotent(backend):
    backend.write("acct-1", "user-1", {"token": TOKEN})
    mark_account(backend.store, "acct-1")
    once = backend.read("acct-1", "user-1")
    mark_account(backend.store, "acct-1")
    assert backend.read("acct-1", "user-1") == once


def test_mark_marks_the_refused_grant_only(backend):
    other = {**TOKEN, "refresh_token": "1000.other"}
    for account_id, owner, token in [
        ("acct-1", "user-1", TOKEN),
        ("acct-1", "user-2", other),
        ("acct-1", "user-3", TOKEN),
        ("acct-2", "user-1", TOKEN),
    ]:
        backend.write(account_id, owner, {"token": token})
    backend.store.mark(connection("acct-1", "user-1"))
    marked = [
        owner
        for owner in ("user-1", "user-2", "user-3")
        if "token_invalidated" in backend.read("acct-1", owner)
    ]
    assert marked == ["user-1", "user-3"]
    assert "token_invalidated" not in backend.read("acct-2", "user-1")


@pytest.mark.parametrize("method", ["mark", "mark_account"])
def test_grant_that_replaced_the_refused_one_is_not_marked(backend, method):
    backend.write("acct-1", "user-1", {"token": {**TOKEN, "refresh_token": "1000.new"}})
    backend.write("acct-1", "user-2", {"token": {**TOKEN, "refresh_token": "1000.other"}})
    getattr(backend.store, method)(connection("acct-1", "user-1"))
    assert "token_invalidated" not in backend.read("acct-1", "user-1")
    assert ("token_invalidated" in backend.read("acct-1", "user-2")) == (method == "mark_account")


def test_invalidated_connection_is_still_found(backend):
    backend.write("acct-1", "user-1", {"token": TOKEN, "token_invalidated": True})
    assert backend.store.get("acct-1", "user-1").grant.value == "1000.r"


def test_mark_account_skips_a_malformed_connection_and_marks_the_others(backend):
    backend.write("acct-1", "a", {"token": "?"})
    backend.write("acct-1", "b", {"token": TOKEN})
    mark_account(backend.store, "acct-1")
    assert backend.read("acct-1", "b")["token_invalidated"] is True


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"token": None},
        {"token": "1000.secret"},
        {"token": ["1000.secret"]},
        {"token": [{**TOKEN, "refresh_token": "1000.secret"}]},
        {"token": {}},
        {"token": {"refresh_token": "1000.secret"}},
        {"token": {"api_domain": "https://www.zohoapis.eu"}},
        {"token": {**TOKEN, "refresh_token": ""}},
        {"token": {**TOKEN, "refresh_token": 5}},
        {"token": {"refresh_token": "1000.secret", "api_domain": None}},
        {"token": {**TOKEN, "accounts_server": 5}},
        {"token": {"refresh_token": "1000.secret", "api_domain": {"$ne": "1"}}},
        {"token": {**TOKEN, "grant": "password"}},
        {"token": {**TOKEN, "grant": ["client_credentials"]}},
        {"token": {**OF_CLIENT, "soid": ""}},
        {"token": {**OF_CLIENT, "soid": 60000000001}},
        {"token": {**OF_CLIENT, "scope": ["ZohoCRM.bulk.READ"]}},
        {"token": {**OF_CLIENT, "client_id": "1000.C"}},
        {"token": {**OF_CLIENT, "client_secret": "1000.s3cret"}},
        {"token": {**OF_CLIENT, **CLIENT, "client_secret": 5}},
        {"token": {**OF_CLIENT, **CLIENT, "api_domain": None}},
    ],
)
def test_malformed_document_raises(backend, document):
    backend.write("acct-1", "user-1", document)
    with pytest.raises(ConnectionMalformed, match="acct-1/user-1") as raised:
        backend.store.get("acct-1", "user-1")
    assert "1000" not in raised.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"api_domain": "https://evil.example"},
        {"api_domain": "http://www.zohoapis.eu"},
        {"api_domain": "https://www.zohoapis.eu.evil.example"},
        {"api_domain": "https://www.zohoapis.eu@evil.example"},
        {"api_domain": "https://www.zohoapis.eu/crm"},
        {"accounts_server": "https://evil.example"},
        {"accounts_server": "http://accounts.zoho.eu"},
    ],
)
def test_untrusted_host_is_refused(backend, changes):
    backend.write("acct-1", "user-1", {"token": {**TOKEN, **changes}})
    with pytest.raises(UntrustedOrigin):
        backend.store.get("acct-1", "user-1")


@pytest.mark.parametrize(
    ("token", "accounts_server"),
    [
        ({}, "https://accounts.zoho.eu"),
        ({"accounts_server": None}, "https://accounts.zoho.eu"),
        ({"api_domain": "https://www.zohoapis.ca"}, "https://accounts.zohocloud.ca"),
        ({"accounts_server": "https://accounts.zoho.in"}, "https://accounts.zoho.in"),
        ({"accounts_server": TRUSTED[0]}, TRUSTED[0]),
        ({"api_domain": TRUSTED[0], "accounts_server": TRUSTED[0]}, TRUSTED[0]),
        (
            {"api_domain": TRUSTED[0], "accounts_server": "https://accounts.zoho.in"},
            "https://accounts.zoho.in",
        ),
    ],
)
def test_accounts_server_is_the_stored_one_or_the_api_domains(backend, token, accounts_server):
    backend.write("acct-1", "user-1", {"token": {**TOKEN, **token}})
    assert backend.store.get("acct-1", "user-1").accounts_server == accounts_server


@pytest.mark.parametrize("accounts_server", [{}, {"accounts_server": None}, {"accounts_server": ""}])
def test_trusted_domain_without_an_accounts_server_is_refused(backend, accounts_server):
    backend.write("acct-1", "user-1", {"token": {**TOKEN, "api_domain": TRUSTED[0], **accounts_server}})
    with pytest.raises(ConnectionMalformed, match=r"no token\.accounts_server"):
        backend.store.get("acct-1", "user-1")


# --- MongoDB ---------------------------------------------------------------------------------


def test_collection_has_the_name_of_the_original_api(mongo):
    assert mongo.collection.name == "integrations.zoho.key"


@pytest.mark.parametrize("operator", [{"$gt": ""}, {"$ne": None}, {"$regex": ".*"}, {"$in": ["acct-1"]}])
def test_operator_in_an_identity_never_matches(mongo, operator):
    mongo.write("acct-1", "user-1", {"token": TOKEN})
    for account_id, owner in [(operator, "user-1"), ("acct-1", operator)]:
        with pytest.raises(ConnectionNotFound):
            mongo.store.get(account_id, owner)
    mark_account(mongo.store, operator)
    assert "token_invalidated" not in mongo.read("acct-1", "user-1")


def test_unicode_identities_are_compared_without_normalisation(mongo):
    mongo.write("acct-1", "jürgen", {"token": TOKEN})
    assert mongo.store.get("acct-1", "jürgen").owner == "jürgen"
    with pytest.raises(ConnectionNotFound):
        mongo.store.get("acct-1", "ju\u0308rgen")


def test_newest_valid_document_of_several_is_used(mongo):
    for token, marked in [("1000.old", {}), ("1000.new", {}), ("1000.dead", {"token_invalidated": True})]:
        mongo.write("acct-1", "user-1", {"token": {**TOKEN, "refresh_token": token}, **marked})
    assert mongo.store.get("acct-1", "user-1").grant.value == "1000.new"
    mongo.store.mark(connection("acct-1", refresh_token="1000.new"))
    assert mongo.store.get("acct-1", "user-1").grant.value == "1000.old"


def test_functions_create_no_index_and_read_the_token_only(over_a_socket, server):
    over_a_socket.write("acct-1", "user-1", {"token": TOKEN})
    server.received.clear()
    over_a_socket.store.get("acct-1", "user-1")
    mark_account(over_a_socket.store, "acct-1")
    find, update = server.received
    assert dict(find["projection"]) == {"_id": False, "token": True}
    assert [change["multi"] for change in update["updates"]] == [True]


def test_ensure_indexes_prevents_a_second_document(mongo):
    admin = MongoAdmin(mongo.collection)
    mongo.write("acct-1", "user-1", {"token": TOKEN})
    assert admin.ensure_indexes() == admin.ensure_indexes() == "account_id_1_owner_1"
    mongo.write("acct-1", "user-2", {"token": TOKEN})
    mongo.write("acct-2", "user-1", {"token": TOKEN})
    with pytest.raises(DuplicateKeyError):
        mongo.write("acct-1", "user-1", {"token": TOKEN})


@ignore_mongomock_throw
def test_ensure_indexes_lists_the_duplicates_that_prevent_it(mongo):
    for owner in ("user-1", "user-1", "user-2", "user-3", "user-3", "user-3"):
        mongo.write("acct-1", owner, {"token": TOKEN})
    with pytest.raises(CliError) as raised:
        MongoAdmin(mongo.collection).ensure_indexes()
    message = str(raised.value)
    assert "2 documents of account acct-1, owner user-1\n" in message
    assert "3 documents of account acct-1, owner user-3\n" in message
    assert "user-2" not in message
    assert list(mongo.collection.index_information()) == ["_id_"]


# --- MongoDB that fails ----------------------------------------------------------------------

SECRETS_OF_URI = ("s3cret", "operator", "127.0.0.1", "mongodb://")


def failing(uri: str, timeout_seconds: float = 0.5) -> Iterator[MongoConnections]:
    collection = open_collection(uri, timeout_seconds=timeout_seconds)
    try:
        yield MongoConnections(always(collection), TRUSTED)
    finally:
        collection.database.client.close()


def failure(kind: type[ExportError], store: ConnectionStore, method: str = "get") -> ExportError:
    """Call the store; check the error's exact class, that it reveals nothing of the URI, and its time."""
    began = time.monotonic()
    with pytest.raises(kind) as raised:
        store.get("acct-1", "user-1") if method == "get" else mark_account(store, "acct-1")
    assert time.monotonic() - began < 0.9  # one timeout of 0.5 seconds, not two
    assert type(raised.value) is kind
    assert not [part for part in SECRETS_OF_URI if part in raised.value.message]
    return raised.value


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.parametrize("method", ["get", "mark_account"])
def test_mongo_server_that_is_down_is_unavailable_in_time(closed_port, method):
    for store in failing(f"mongodb://operator:s3cret@127.0.0.1:{closed_port}/crm"):
        assert failure(StoreUnavailable, store, method).retryable


@pytest.mark.parametrize("method", ["get", "mark_account"])
def test_mongo_server_that_never_responds_is_unavailable_in_time(method):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for store in failing(f"mongodb://operator:s3cret@127.0.0.1:{listening.getsockname()[1]}/crm"):
            failure(StoreUnavailable, store, method)


@pytest.mark.parametrize("method", ["get", "mark_account"])
def test_mongo_server_that_becomes_silent_times_out(server, monkeypatch, method):
    for store in failing(f"{server.uri}crm"):
        server.refuse_code = None
        mark_account(store, "acct-1")  # connected
        monkeypatch.setattr(server, "refuse_code", SILENT)
        failure(StoreTimeout, store, method)


class Collections:
    """Two collections, of an old and of a new URI, and how often they were asked for."""

    def __init__(self, old: Any, new: Any) -> None:
        self.answers, self.now = [old, new], 0.0
        self.cached = Cached(self.read, lambda: self.now)

    def read(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def collections(server: MongoServer) -> Iterator[Collections]:
    """An old collection whose server refuses the login, and a new one with a connection."""
    with mongo_server() as old:
        old.refuse_code = 18
        opened = [open_collection(f"{old.uri}crm"), open_collection(f"{server.uri}{uuid.uuid4().hex}")]
        server.refuse_code = None
        opened[1].insert_one({"account_id": "acct-1", "owner": "user-1", "token": TOKEN})
        yield Collections(*opened)
        for collection in opened:
            collection.database.client.close()


@pytest.mark.parametrize("method", ["get", "mark_account"])
def test_refused_login_is_repeated_with_a_newer_uri(collections, method):
    store = MongoConnections(collections.cached, TRUSTED)
    if method == "mark_account":
        mark_account(store, "acct-1")
    assert store.get("acct-1", "user-1").grant.value == "1000.r"


def test_refused_login_is_not_repeated_with_the_same_uri_nor_within_ten_seconds(collections):
    old, _ = collections.answers
    store = MongoConnections(collections.cached, TRUSTED)
    collections.answers.insert(0, old)  # the first new read brings the same URI
    with pytest.raises(ConfigurationError):
        store.get("acct-1", "user-1")
    collections.now += 9
    with pytest.raises(ConfigurationError):
        store.get("acct-1", "user-1")
    assert len(collections.answers) == 1
    collections.now += 1
    assert store.get("acct-1", "user-1").owner == "user-1"


def test_mongo_timeouts_of_production_are_below_api_gateways():
    options = open_collection("mongodb://127.0.0.1/crm").database.client.options
    assert options.server_selection_timeout == options.pool_options.connect_timeout == 5
    assert options.timeout == 5
    assert options.pool_options.max_pool_size == 2
    assert options.pool_options.appname == "zoho-crm-export"
    assert options.retry_reads


def test_uri_decides_on_tls_and_access_but_not_on_timeouts():
    uri = "mongodb://operator:s3cret@127.0.0.1/crm?tls=true&authSource=admin&timeoutMS=90000&maxPoolSize=50"
    client = open_collection(uri).database.client
    assert client.options.pool_options._ssl_context is not None
    assert client.options.timeout == 5
    assert client.options.pool_options.max_pool_size == 2
    credentials = client.options.pool_options._credentials
    assert (credentials.source, credentials.username) == ("admin", "operator")


@pytest.mark.parametrize("code", [13, 18, 8000])
@pytest.mark.parametrize("credentials", ["operator:s3cret@", ""])
def test_refused_access_is_a_configuration_error(server, monkeypatch, code, credentials):
    monkeypatch.setattr(server, "refuse_code", code)
    for store in failing(server.uri.replace("://", f"://{credentials}") + "crm"):
        error = failure(ConfigurationError, store)
        assert not error.retryable
        assert "authSource" in error.message


def test_other_refusal_passes_unchanged(server, monkeypatch):
    monkeypatch.setattr(server, "refuse_code", 73)
    for store in failing(f"{server.uri}crm"):
        with pytest.raises(OperationFailure):
            store.get("acct-1", "user-1")


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://operator:s3cret@127.0.0.1",
        "mongodb://operator:s3cret@127.0.0.1/",
        "mongodb://operator:s3cret@127.0.0.1/?tls=true",
        "mongodb://operator:s3cret@127.0.0.1:s3cret/crm",
        "mongodb://operator:s3cret@x@127.0.0.1/crm",
        "postgres://operator:s3cret@127.0.0.1/crm",
        "mongodb://",
        "operator:s3cret",
    ],
)
def test_unusable_uri_is_a_configuration_error(uri):
    with pytest.raises(ConfigurationError, match="name a database") as raised:
        open_collection(uri)
    assert not [part for part in SECRETS_OF_URI[:3] if part in raised.value.message]
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_srv_uri_is_looked_up_at_the_first_use(monkeypatch):
    def resolve(*_: Any, **__: Any) -> None:
        raise dns.exception.Timeout

    for uri, kind in [("127.0.0.1", ConfigurationError), ("cluster.example.com", StoreUnavailable)]:
        for store in failing(f"mongodb+srv://operator:s3cret@{uri}/crm"):
            monkeypatch.setattr(dns.resolver, "resolve", resolve)
            failure(kind, store)


# --- Secrets Manager that fails ----------------------------------------------------------------


def secrets_at(address: str, monkeypatch: pytest.MonkeyPatch) -> SecretsManagerConnections:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    config = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    client = boto3.client("secretsmanager", region_name="us-east-1", endpoint_url=address, config=config)
    return SecretsManagerConnections(client, PREFIX, TRUSTED)


@pytest.mark.parametrize("method", ["get", "mark_account"])
def test_secrets_manager_that_cannot_be_reached_is_unavailable(closed_port, monkeypatch, method):
    failure(StoreUnavailable, secrets_at(f"http://127.0.0.1:{closed_port}", monkeypatch), method)


@pytest.mark.parametrize("method", ["get", "mark_account"])
def test_secrets_manager_that_never_responds_times_out(monkeypatch, method):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        failure(StoreTimeout, secrets_at(address, monkeypatch), method)


@contextmanager
def refusing(client: Any, operation: str, code: str, status: int, message: str = "m") -> Iterator[None]:
    """Let one operation of the client fail."""

    def respond(**_: Any) -> None:
        metadata = {"HTTPStatusCode": status}
        raise ClientError(
            {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, operation
        )

    event = f"before-call.secrets-manager.{operation}"
    client.meta.events.register(event, respond)
    try:
        yield
    finally:
        client.meta.events.unregister(event, respond)


@contextmanager
def before(client: Any, operation: str, do: Callable[[], None]) -> Iterator[None]:
    """Do something just before the client's first call of an operation."""

    def once(**_: Any) -> None:
        client.meta.events.unregister(event, once)
        do()

    event = f"before-call.secrets-manager.{operation}"
    client.meta.events.register(event, once)
    yield


@pytest.mark.parametrize("operation", ["PutSecretValue", "UpdateSecretVersionStage"])
@pytest.mark.parametrize("owner", ["user-1", "user-2"])
def test_grant_stored_while_it_is_marked_stays_as_it_was_stored(secrets, operation, owner):
    secrets.write("acct-1", owner, {"token": TOKEN})
    name, new = f"{PREFIX}/acct-1/{owner}", {"token": {**TOKEN, "refresh_token": "1000.new"}}
    with before(
        secrets.client,
        operation,
        lambda: secrets.client.put_secret_value(SecretId=name, SecretString=json.dumps(new)),
    ):
        mark_account(secrets.store, "acct-1")
    assert secrets.read("acct-1", owner) == new


def test_secret_deleted_while_it_is_marked_is_left_alone(secrets):
    secrets.write("acct-1", "user-1", {"token": TOKEN})
    name = f"{PREFIX}/acct-1/user-1"
    with before(
        secrets.client,
        "UpdateSecretVersionStage",
        lambda: secrets.client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True),
    ):
        mark_account(secrets.store, "acct-1")
    with pytest.raises(ConnectionNotFound):
        secrets.store.get("acct-1", "user-1")


def test_list_names_drops_names_that_differ_in_case():
    class Client:  # AWS's filter ignores case, moto's does not
        def get_paginator(self, _operation):
            return self

        def paginate(self, **_):
            return [{"SecretList": [{"Name": "p/acct-1/u"}, {"Name": "p/ACCT-1/u"}]}]

    assert list_names(Client(), "p/acct-1/") == ["p/acct-1/u"]


OPERATIONS = [("get", "GetSecretValue")] + [
    ("mark_account", name)
    for name in ("ListSecrets", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
]


@pytest.mark.parametrize(("method", "operation"), OPERATIONS)
@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (("ThrottlingException", 400), StoreUnavailable),
        (("InternalServiceError", 500), StoreUnavailable),
        (("ServiceUnavailable", 503), StoreUnavailable),
        (("DecryptionFailure", 400), ClientError),
    ],
)
def test_secrets_manager_failure_is_ours_and_refusal_a_client_error(
    secrets, method, operation, response, kind
):
    secrets.write("acct-1", "user-1", {"token": TOKEN})
    with refusing(secrets.client, operation, *response), pytest.raises(kind) as raised:
        secrets.store.get("acct-1", "user-1") if method == "get" else mark_account(secrets.store, "acct-1")
    assert type(raised.value) is kind


KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/4c3b"
DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/crm-ExportHandlerRole-1X2/crm-ExportHandler-3 is not "
    "authorized to perform: secretsmanager:GetSecretValue because no identity-based policy allows it"
)


def test_denied_secret_that_does_not_exist_is_not_found(secrets):
    secrets.write("acct-1", "user-12", {"token": TOKEN})  # its name begins alike
    with (
        refusing(secrets.client, "GetSecretValue", "AccessDeniedException", 400),
        pytest.raises(ConnectionNotFound) as raised,
    ):
        secrets.store.get("acct-1", "user-1")
    assert "account acct-1 and owner user-1" in raised.value.remedy


@pytest.mark.parametrize(
    ("message", "role"),
    [(DENIED, "crm-ExportHandlerRole-1X2"), ("Access to KMS is not allowed", "of this function")],
)
@pytest.mark.parametrize(("given", "key"), [({"KmsKeyId": KMS_KEY}, KMS_KEY), ({}, "aws/secretsmanager")])
def test_denied_secret_that_exists_names_role_and_key(secrets, message, role, given, key):
    secrets.client.create_secret(Name=f"{PREFIX}/acct-1/user-1", SecretString="{}", **given)
    with (
        refusing(secrets.client, "GetSecretValue", "AccessDeniedException", 400, message),
        pytest.raises(ConfigurationError) as raised,
    ):
        secrets.store.get("acct-1", "user-1")
    assert f"The role {role} may not read the secret {PREFIX}/acct-1/user-1." in raised.value.message
    assert key in raised.value.message
    assert "SecretsKmsKeyArn" in raised.value.remedy


def test_denied_list_of_secrets_is_no_missing_connection(secrets):
    with (
        refusing(secrets.client, "GetSecretValue", "AccessDeniedException", 400),
        refusing(secrets.client, "ListSecrets", "AccessDeniedException", 400),
        pytest.raises(ClientError),
    ):
        secrets.store.get("acct-1", "user-1")


@pytest.mark.parametrize("text", ["", "1000.secret", "null", "[]", '"1000.secret"'])
def test_secret_that_is_not_an_object_is_malformed(secrets, text):
    name = f"{PREFIX}/acct-1/user-1"
    secrets.client.create_secret(Name=name, SecretString=text or " ")
    secrets.write("acct-1", "user-2", {"token": TOKEN})
    with pytest.raises(ConnectionMalformed) as raised:
        secrets.store.get("acct-1", "user-1")
    assert "1000" not in raised.value.message
    mark_account(secrets.store, "acct-1")
    assert secrets.read("acct-1", "user-2")["token_invalidated"] is True


def test_binary_secret_is_malformed(secrets):
    secrets.client.create_secret(Name=f"{PREFIX}/acct-1/user-1", SecretBinary=b"\x00")
    with pytest.raises(ConnectionMalformed):
        secrets.store.get("acct-1", "user-1")
    mark_account(secrets.store, "acct-1")


def test_secret_scheduled_for_deletion_is_not_found(secrets):
    secrets.write("acct-1", "user-1", {"token": TOKEN})
    secrets.client.delete_secret(SecretId=f"{PREFIX}/acct-1/user-1", RecoveryWindowInDays=7)
    with pytest.raises(ConnectionNotFound):
        secrets.store.get("acct-1", "user-1")
    mark_account(secrets.store, "acct-1")
