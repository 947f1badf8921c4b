"""`crm-export connections`, on Secrets Manager (moto) and MongoDB (over a socket)."""

import getpass
import io
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from crm_export import wiring
from crm_export.connections.model import Connection
from crm_export.connections.mongo import MongoConnections, open_collection
from crm_export.connections.secrets_manager import SecretsManagerConnections
from crm_export.errors import ConnectionNotFound
from crm_export.zoho.grants import RefreshToken
from crm_export_cli.main import main
from local.host.aws import move_current_label
from tests.support.mongo import always, ignore_mongomock_throw, mongo_server
from zoho_simulator.http.server import SimulatorConfig, start_simulator

PREFIX = "zoho-crm-export/connections"
GRANT = ("--account", "acct-1", "--owner", "user-1")
TOKEN = "1000.s3cret"


@pytest.fixture(scope="module", autouse=True)
def no_clients_of_other_modules():
    """Creating a boto3 client is slow, so the tests share one, but not with other modules."""
    wiring.boto3_client.cache_clear()
    yield
    wiring.boto3_client.cache_clear()


@pytest.fixture
def aws(monkeypatch):
    for name, value in [("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("REGION", "us-east-1")]:
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    move_current_label()
    with mock_aws():
        yield wiring.boto3_client("secretsmanager")


@pytest.fixture(scope="module")
def server():
    with mongo_server() as running:
        yield running


@pytest.fixture
def collection(server, monkeypatch):
    uri = f"{server.uri}{uuid.uuid4().hex}"
    monkeypatch.setenv("MONGODB_URI", uri)
    monkeypatch.setattr(server, "refuse_code", None)
    opened = open_collection(uri)
    yield opened
    opened.database.client.close()


@pytest.fixture(params=["secretsmanager", "mongo"])
def store(request):
    """Return the name of the store, and the functions' view of it."""
    if request.param == "mongo":
        return "mongo", MongoConnections(always(request.getfixturevalue("collection")), ())
    return "secretsmanager", SecretsManagerConnections(request.getfixturevalue("aws"), PREFIX, ())


class Input(io.StringIO):
    terminal = False

    def isatty(self):
        return self.terminal


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command; return its exit code and its output, which never contains a token."""

    def run_it(*arguments, stdin="", terminal=False):
        monkeypatch.setattr(sys, "stdin", Input(stdin))
        sys.stdin.terminal = terminal
        try:
            code = main(["connections", *arguments])
        except SystemExit as stop:
            code = stop.code
        written = capsys.readouterr()
        assert "s3cret" not in written.out + written.err
        return code, written.out, written.err

    return run_it


def put(run, store, *more, grant=GRANT, domain="https://www.zohoapis.eu/", token=TOKEN + "\n"):
    arguments = ("put", "--store", store, *grant, "--api-domain", domain, "--refresh-token-stdin", *more)
    return run(*arguments, stdin=token)


def test_put_stores_what_the_functions_get(run, store):
    name, connections = store
    assert put(run, name) == (0, "Stored the connection of acct-1/user-1.\n", "")
    stored = connections.get("acct-1", "user-1")
    assert (stored.grant.value, stored.api_domain) == (TOKEN, "https://www.zohoapis.eu")
    assert stored.accounts_server == "https://accounts.zoho.eu"


def test_put_again_replaces_everything_and_clears_the_mark(run, store):
    name, connections = store
    put(run, name, "--accounts-server", "https://accounts.zoho.in")
    connections.mark_account(Connection("acct-1", "user-1", "", "", RefreshToken(TOKEN)))
    code, out, _ = put(run, name, domain="https://www.zohoapis.jp", token="1000.s3cret.new")
    assert (code, out) == (0, "Replaced the connection of acct-1/user-1.\n")
    stored = connections.get("acct-1", "user-1")
    assert (stored.grant.value, stored.accounts_server) == ("1000.s3cret.new", "https://accounts.zoho.jp")
    assert "state           stored\n" in run("show", "--store", name, *GRANT)[1]


@pytest.mark.parametrize(
    ("more", "domain", "says"),
    [
        ((), "https://evil.example", "api_domain 'https://evil.example'"),
        ((), "http://www.zohoapis.eu", "api_domain"),
        (("--accounts-server", "https://evil.example"), "https://www.zohoapis.eu", "accounts_server"),
        (("--trust-origin", "http://127.0.0.1:9"), "http://127.0.0.1:9", "no token.accounts_server"),
    ],
)
def test_put_of_untrusted_host_stores_nothing(run, store, more, domain, says):
    name, connections = store
    code, out, err = put(run, name, *more, domain=domain)
    assert (code, out) == (4, "")
    assert says in err
    with pytest.raises(ConnectionNotFound):
        connections.get("acct-1", "user-1")


def test_trust_origin_allows_another_host(run, store):
    name, _ = store
    trust = ("--trust-origin", "http://127.0.0.1:9")
    accounts = ("--accounts-server", "http://127.0.0.1:9")
    assert put(run, name, *trust, *accounts, domain="http://127.0.0.1:9")[0] == 0
    shown = run("show", "--store", name, *GRANT)[1]
    assert "state           unusable: api_domain 'http://127.0.0.1:9'" in shown
    assert "TrustedZohoOrigins. Here --trust-origin lists such origins." in shown
    shown = run("show", "--store", name, *GRANT, *trust)[1]
    assert "accounts_server http://127.0.0.1:9\n" in shown


@pytest.mark.parametrize("token", ["", "\n", "two words", "a\nb", "1000.\x07", "1000.ü"])
def test_put_of_invalid_token_stores_nothing(run, store, token):
    name, connections = store
    code, _, err = put(run, name, token=token)
    assert (code, "nothing was stored" in err) == (2, True)
    with pytest.raises(ConnectionNotFound):
        connections.get("acct-1", "user-1")


def test_put_asks_for_the_token_on_a_terminal_only(run, store, monkeypatch):
    name, connections = store
    arguments = ("put", "--store", name, *GRANT, "--api-domain", "https://www.zohoapis.eu")
    code, _, err = run(*arguments)
    assert (code, "--refresh-token-stdin" in err) == (2, True)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: TOKEN)
    assert run(*arguments, terminal=True)[0] == 0
    assert connections.get("acct-1", "user-1").grant.value == TOKEN


def test_put_has_no_option_for_the_token_itself(run):
    code, _, err = run("put", *GRANT, "--api-domain", "https://www.zohoapis.eu", "--refresh-token", "x")
    assert code == 2
    assert "--refresh-token" in err


@pytest.mark.parametrize("account", ["", "a/b", "jürgen", "-a", "a b", "$gt", "a" * 129])
def test_identity_that_the_functions_would_refuse_is_wrong_usage(run, account):
    code, _, err = run("delete", f"--account={account}", "--owner", "user-1")
    assert code == 2
    assert "the functions would refuse it" in err


def test_show_prints_the_connection_without_its_token(run, store):
    name, connections = store
    put(run, name)
    code, out, err = run("show", "--store", name, *GRANT)
    assert (code, err) == (0, "")
    assert out == (
        "account_id      acct-1\n"
        "owner           user-1\n"
        "grant           refresh_token\n"
        "api_domain      https://www.zohoapis.eu\n"
        "accounts_server https://accounts.zoho.eu\n"
        "state           stored\n"
    )
    connections.mark_account(Connection("acct-1", "user-1", "", "", RefreshToken(TOKEN)))
    assert run("show", "--store", name, *GRANT)[1] == out.replace("stored", "invalidated")


def test_list_prints_a_line_for_each_connection(run, store):
    name, connections = store
    for account, owner in [("b", "u1"), ("a", "u2"), ("a", "u1"), ("a1", "u1")]:
        put(run, name, grant=("--account", account, "--owner", owner))
    connections.mark_account(Connection("a", "u1", "", "", RefreshToken(TOKEN)))
    domain = "https://www.zohoapis.eu"
    of_a = [f"a\tu1\t{domain}\tinvalidated", f"a\tu2\t{domain}\tinvalidated"]
    code, out, err = run("list", "--store", name, "--account", "a")
    assert (code, out.splitlines(), err) == (0, of_a, "2 connections\n")
    code, out, err = run("list", "--store", name)
    others = [f"a1\tu1\t{domain}\tstored", f"b\tu1\t{domain}\tstored"]
    assert (code, out.splitlines(), err) == (0, of_a + others, "4 connections\n")
    assert run("list", "--store", name, "--account", "c") == (0, "", "0 connections\n")


def test_delete_removes_one_connection(run, store):
    name, connections = store
    put(run, name)
    put(run, name, grant=("--account", "acct-1", "--owner", "user-2"))
    assert run("delete", "--yes", "--store", name, *GRANT) == (
        0,
        "Deleted the connection of acct-1/user-1.\n",
        "",
    )
    with pytest.raises(ConnectionNotFound):
        connections.get("acct-1", "user-1")
    assert connections.get("acct-1", "user-2").grant.value == TOKEN
    assert put(run, name)[1].startswith("Stored")


@pytest.mark.parametrize("command", [("show",), ("test",), ("delete", "--yes")])
def test_missing_connection_has_its_own_exit_code(run, store, command):
    code, out, err = run(*command, "--store", store[0], *GRANT)
    assert (code, out, err) == (4, "", "error: No connection of acct-1/user-1 is stored.\n")


def test_connect_stores_what_the_functions_get(store, capsys, monkeypatch):
    name, connections = store
    monkeypatch.setenv("CRM_EXPORT_CLIENT_SECRET", "local-secret")
    with start_simulator(SimulatorConfig(records={"Contacts": 1})) as zoho:
        connections._trusted_origins = (zoho.url,)
        arguments = (
            "connect", "--store", name, *GRANT, "--grant", "client_credentials", "--client-id", "1000.LOCAL",
            "--soid", "60000000001", "--accounts-server", zoho.url, "--trust-origin", zoho.url,
        )  # fmt: skip
        assert main(arguments) == 0
    assert "local-secret" not in capsys.readouterr().out
    stored = connections.get("acct-1", "user-1")
    assert (stored.grant.soid, stored.client.client_secret) == ("ZohoCRM.60000000001", "local-secret")


# --- Secrets Manager -------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["s3cret", "[]", '{"token": "s3cret"}'])
def test_malformed_secrets_are_listed_as_unusable(run, aws, text):
    aws.create_secret(Name=f"{PREFIX}/acct-1/user-1", SecretString=text)
    aws.create_secret(Name=f"{PREFIX}/something-else", SecretString=text)
    code, out, _ = run("list")
    assert code == 0
    assert out.startswith("acct-1\tuser-1\t-\tunusable: ")
    assert out.count("\n") == 1
    assert run("show", *GRANT)[0] == 0


def test_prefix_option_changes_the_names_of_secrets(run, aws):
    put(run, "secretsmanager", "--prefix", "other")
    assert json.loads(aws.get_secret_value(SecretId="other/acct-1/user-1")["SecretString"]) == {
        "account_id": "acct-1",
        "owner": "user-1",
        "token": {"api_domain": "https://www.zohoapis.eu", "refresh_token": TOKEN},
    }
    assert run("list")[2] == "0 connections\n"


def test_secret_scheduled_for_deletion_is_absent_until_put(run, aws):
    put(run, "secretsmanager")
    aws.delete_secret(SecretId=f"{PREFIX}/acct-1/user-1", RecoveryWindowInDays=7)
    assert run("show", *GRANT)[0] == 4
    assert put(run, "secretsmanager")[0] == 0
    assert "stored" in run("show", *GRANT)[1]


def test_missing_region_says_what_to_set(run, monkeypatch, tmp_path):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # or it asks there for credentials first
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the region it once saw
    wiring.boto3_client.cache_clear()
    code, out, problem = run("list")
    assert (code, out) == (1, "")
    assert problem.startswith("error: AWS cannot be used: You must specify a region. ")
    assert "AWS_DEFAULT_REGION" in problem


def test_unreachable_secrets_manager_is_reported_as_temporary(run, monkeypatch):
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    wiring.boto3_client.cache_clear()
    code, _, err = run("show", *GRANT)
    wiring.boto3_client.cache_clear()
    assert code == 1
    assert err.endswith("Try again later.\n")


def test_ensure_indexes_of_secrets_manager_is_wrong_usage(run):
    code, _, err = run("ensure-indexes")
    assert (code, "Only --store mongo" in err) == (2, True)


# --- MongoDB ---------------------------------------------------------------------------------


def test_mongo_uri_comes_from_the_environment_only(run, collection, monkeypatch):
    monkeypatch.setenv("OTHER", os.environ["MONGODB_URI"])
    monkeypatch.delenv("MONGODB_URI")
    code, _, err = run("list", "--store", "mongo")
    assert (code, err) == (2, "error: The environment variable MONGODB_URI has no MongoDB URI.\n")
    assert run("list", "--store", "mongo", "--mongo-uri-env", "OTHER")[0] == 0
    assert run("list", "--store", "mongo", "--mongo-uri", "mongodb://x/y")[0] == 2


@pytest.mark.parametrize("uri", ["mongodb://u:s3cret@127.0.0.1:1", "s3cret"])
def test_unusable_mongo_uri_is_reported(run, monkeypatch, uri):
    monkeypatch.setenv("MONGODB_URI", uri)
    code, _, err = run("list", "--store", "mongo")
    assert (code, "name a database" in err) == (1, True)


@pytest.mark.usefixtures("collection")
@pytest.mark.parametrize("arguments", [("list",), ("delete", "--yes", *GRANT), ("ensure-indexes",)])
@pytest.mark.parametrize(("refused", "says"), [(13, "authSource"), (18, "authSource"), (73, "code 73")])
def test_refusal_of_mongodb_is_reported(run, server, arguments, refused, says):
    server.refuse_code = refused
    code, out, err = run(*arguments, "--store", "mongo")
    assert (code, out, says in err) == (1, "", True)


def test_put_keeps_other_keys_of_the_document(run, collection):
    grant = {"account_id": "acct-1", "owner": "user-1"}
    collection.insert_one({**grant, "token": {"scope": "old"}, "token_invalidated": True, "note": "kept"})
    assert put(run, "mongo")[1].startswith("Replaced")
    document = collection.find_one(grant, {"_id": False})
    token = {"api_domain": "https://www.zohoapis.eu", "refresh_token": TOKEN}
    assert document == {**grant, "token": token, "note": "kept"}


@ignore_mongomock_throw
def test_ensure_indexes_lists_duplicates_until_they_are_deleted(run, collection):
    for owner in ("user-1", "user-1", "user-2"):
        collection.insert_one({"account_id": "acct-1", "owner": owner, "token": {"refresh_token": TOKEN}})
    code, out, err = run("ensure-indexes", "--store", "mongo")
    assert (code, out) == (1, "")
    assert "\n  2 documents of account acct-1, owner user-1\n" in err
    assert "user-2" not in err
    assert "stored 2 times" in run("show", "--store", "mongo", *GRANT)[2]
    run("delete", "--yes", "--store", "mongo", *GRANT)
    for _ in range(2):
        code, out, err = run("ensure-indexes", "--store", "mongo")
        assert (code, out, err) == (0, "Unique index account_id_1_owner_1 exists.\n", "")


@pytest.mark.process
def test_command_runs_from_the_repository():
    repository = Path(__file__).resolve().parents[3]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "crm_export_cli", "connections", "--help"],
        cwd=repository, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "ensure-indexes" in done.stdout
