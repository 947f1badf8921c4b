"""`crm-export connect` and `connections test`, against the simulator, into a folder."""

import getpass
import io
import json
import stat
import sys
import threading
import time

import pytest

from crm_export_cli.folder import ACCOUNT, OWNER
from crm_export_cli.folder.glance import kept_modules
from crm_export_cli.folder.wiring import connections_of
from crm_export_cli.main import main
from zoho_simulator.http.server import SimulatorConfig, start_simulator

CLIENT_ID, SECRET, SOID = "1000.LOCAL", "local-secret", "ZohoCRM.60000000001"
ALL = "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL,ZohoCRM.settings.ALL,ZohoCRM.users.ALL,ZohoCRM.org.ALL"
SMALL = {"Contacts": 3, "Accounts": 1}


class Input(io.StringIO):
    terminal = False

    def isatty(self):
        return self.terminal


@pytest.fixture
def simulate():
    """Start simulators with the given settings."""
    running = []

    def start(**settings):
        context = start_simulator(SimulatorConfig(**{"records": dict(SMALL), "scopes": ALL, **settings}))
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def zoho(simulate):
    return simulate(device_interval_seconds=1.0)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("GRANT", "CLIENT_ID", "CLIENT_SECRET", "SOID", "REFRESH_TOKEN", "CODE", "TO"):
        monkeypatch.delenv(f"CRM_EXPORT_{name}", raising=False)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command with variables and typed lines; return its exit code and output, never with a secret."""

    def run_it(*arguments, typed=None, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"CRM_EXPORT_{name}", value)
        monkeypatch.setattr(sys, "stdin", Input("\n".join(typed or [])))
        sys.stdin.terminal = typed is not None
        code = main(list(arguments))
        written = capsys.readouterr()
        for secret in (SECRET, "1000.local.refresh", *variables.get("CODE", "").split()):
            assert secret not in written.out + written.err
        assert "Traceback" not in written.err
        return code, written.out, written.err

    return run_it


def at(zoho, *more):
    return (
        "--api-domain", zoho.url, "--accounts-server", zoho.url, "--trust-origin", zoho.url, *more,
    )  # fmt: skip


def by_client(tmp_path, zoho, *more):
    return (
        "connect", "--to", str(tmp_path), "--grant", "client_credentials", "--client-id", CLIENT_ID,
        "--soid", SOID, *at(zoho), *more,
    )  # fmt: skip


def file_in(folder):
    return folder / ".crm-export" / "connections.json"


def stored(tmp_path, zoho):
    return connections_of(tmp_path, (zoho.url,)).get(ACCOUNT, OWNER)


def requests(zoho):
    return [request["path"] for request in zoho.journal.requests()]


def test_client_credentials_are_tried_and_stored(run, zoho, tmp_path):
    code, out, err = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, err) == (0, "")
    assert "token         valid: Zoho issued one for 60 minutes\n" in out
    assert "organisation  Zylker, 60000000001, enterprise\n" in out
    connection = stored(tmp_path, zoho)
    assert (connection.grant.soid, connection.client.client_secret) == (SOID, SECRET)
    assert stat.S_IMODE(file_in(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(file_in(tmp_path).parent.stat().st_mode) == 0o700
    assert requests(zoho)[0] == "/oauth/v2/token"
    assert f"Next: crm-export export contacts --to {tmp_path}\n" in out


def test_output_fits_into_80_columns_but_for_paths_and_urls(run, zoho, tmp_path):
    _, out, _ = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    lines = [line for line in out.splitlines() if not line.startswith(("Stored in", "Next:"))]
    assert max(map(len, lines)) <= 80


def test_json_is_one_document_with_the_missing_scopes(run, zoho, tmp_path):
    code, out, err = run(*by_client(tmp_path, zoho, "--json"), CLIENT_SECRET=SECRET)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["connection"]["grant"] == "client_credentials"
    assert document["connection"]["stored_in"] == str(file_in(tmp_path))
    assert document["token"]["state"] == "valid"
    assert document["modules"] == len(kept_modules(tmp_path)) > 10
    assert [scope["name"] for scope in document["missing_scopes"]] == ["ZohoSearch.securesearch.READ"]
    assert "count" in document["missing_scopes"][0]["for"]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("lost", ["bulk", "modules"])
def test_missing_required_scope_stores_nothing_and_exits_with_4(run, zoho, tmp_path, lost, named):
    left = {"bulk": "ZohoCRM.modules.READ", "modules": "ZohoCRM.bulk.READ,ZohoCRM.org.READ"}[lost]
    zoho.config.patch({"scopes": left, "token_names_scopes": named})
    code, out, err = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, out) == (4, "")
    assert f"lacks ZohoCRM.{lost}.READ, which is needed to" in err
    assert "Nothing was stored" in err
    assert not (tmp_path / ".crm-export").exists()
    code, out, _ = run(*by_client(tmp_path, zoho, "--json"))
    assert (code, json.loads(out)["error"]["code"]) == (4, "SCOPES_MISSING")


@pytest.mark.parametrize("named", [True, False])
def test_missing_helpful_scopes_are_listed_with_their_purpose_and_stored(run, zoho, tmp_path, named):
    zoho.config.patch({"scopes": "ZohoCRM.modules.READ,ZohoCRM.bulk.READ", "token_names_scopes": named})
    code, out, _ = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert code == 0
    assert "ZohoCRM.settings.fields.READ: missing\n    to list the fields" in out
    assert "ZohoCRM.org.READ: missing\n" in out
    assert stored(tmp_path, zoho).grant.soid == SOID


def test_scope_of_one_module_is_enough_and_said(run, zoho, tmp_path):
    zoho.config.patch({"refresh_tokens": {"1000.local.refresh"}, "scopes": "ZohoCRM.bulk.READ,"
                       "ZohoCRM.modules.deals.READ"})  # fmt: skip
    code, out, _ = run(
        "connect", "--to", str(tmp_path), "--grant", "refresh_token", "--client-id", CLIENT_ID, *at(zoho),
        CLIENT_SECRET=SECRET, REFRESH_TOKEN="1000.local.refresh",
    )  # fmt: skip
    assert (code, "only for ZohoCRM.modules.deals.READ" in out) == (0, True)


def test_scope_that_zoho_refuses_by_name_is_left_out(run, zoho, tmp_path):
    zoho.config.patch({"unknown_scopes": "refuse"})
    assert run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)[0] == 0
    assert "ZohoSearch" not in stored(tmp_path, zoho).grant.scope
    assert "ZohoCRM.org.READ" in stored(tmp_path, zoho).grant.scope


@pytest.mark.parametrize("soid", ["60000000001", "org60000000001", "zohocrm.60000000001"])
def test_soid_is_accepted_in_every_form_that_zoho_shows(run, zoho, tmp_path, soid):
    arguments = [soid if argument == SOID else argument for argument in by_client(tmp_path, zoho)]
    assert run(*arguments, CLIENT_SECRET=SECRET)[0] == 0
    assert stored(tmp_path, zoho).grant.soid == SOID


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_id": "x"}, "Zoho does not know the client id."),
        ({"client_secret": "x"}, "Zoho does not accept the client secret."),
        ({"soid": "ZohoCRM.2"}, "Zoho does not accept the organisation id."),
        ({"scopes": "ZohoBooks.invoices.READ"}, "Zoho refuses the scopes"),
    ],
)
def test_refused_client_credentials_are_explained_and_not_stored(run, zoho, tmp_path, changes, says):
    zoho.config.patch(changes)
    code, out, err = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, out) == (4, "")
    assert says in err
    assert not (tmp_path / ".crm-export").exists()


def test_outage_is_not_a_refusal(run, zoho, tmp_path):
    zoho.fault(path="/oauth/v2/token", status=503, body="<html>")
    code, _, err = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, "Try again later" in err) == (1, True)
    assert not (tmp_path / ".crm-export").exists()


def test_outage_of_a_required_check_stores_nothing(run, zoho, tmp_path):
    zoho.fault(path="/crm/bulk/", status=503, body="<html>")
    assert run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)[0] == 1
    assert not (tmp_path / ".crm-export").exists()


# --- hosts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "url"),
    [
        ("--accounts-server", "https://accounts.evil.example"),
        ("--api-domain", "https://evil.example"),
        ("--accounts-server", "http://accounts.zoho.eu"),
        ("--accounts-server", "https://accounts.zoho.eu/oauth"),
    ],
)
def test_host_that_is_not_trusted_gets_nothing(run, zoho, tmp_path, option, url):
    code, _, err = run(*by_client(tmp_path, zoho), option, url, CLIENT_SECRET=SECRET)
    assert code == 4
    assert f"{option} {url} is neither" in err
    assert "--trust-origin" in err
    assert requests(zoho) == []


def test_simulator_is_not_trusted_without_trust_origin(run, zoho, tmp_path):
    arguments = by_client(tmp_path, zoho)
    kept = arguments[: arguments.index("--trust-origin")]
    code, _, err = run(*kept, CLIENT_SECRET=SECRET)
    assert (code, "Nothing was sent to it" in err) == (4, True)
    assert requests(zoho) == []


@pytest.mark.parametrize("named", ["https://evil.example", "http://www.zohoapis.eu"])
def test_api_domain_that_zoho_names_is_trusted_only_if_it_is_zohos(run, zoho, tmp_path, named):
    zoho.config.patch({"api_domain": named})
    code, _, err = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, named in err) == (4, True)
    assert requests(zoho) == ["/oauth/v2/token"]
    assert not (tmp_path / ".crm-export").exists()


def test_tokens_for_another_data_centre_are_refused(run, zoho, tmp_path):
    zoho.config.patch({"api_domain": "https://www.zohoapis.eu"})
    code, _, err = run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, "issues tokens for https://www.zohoapis.eu" in err) == (4, True)


def test_api_domain_is_the_one_that_zoho_names(run, zoho, tmp_path):
    arguments = list(by_client(tmp_path, zoho))
    at_domain = arguments.index("--api-domain")
    del arguments[at_domain : at_domain + 2]
    assert run(*arguments, CLIENT_SECRET=SECRET)[0] == 0
    assert stored(tmp_path, zoho).api_domain == zoho.url


# --- codes and refresh tokens ----------------------------------------------------------------


def by_code(tmp_path, zoho, *more):
    return (
        "connect", "--to", str(tmp_path), "--grant", "code", "--client-id", CLIENT_ID, *at(zoho), *more,
    )  # fmt: skip


def test_code_is_exchanged_for_a_refresh_token(run, zoho, tmp_path):
    code = zoho.organisation.accounts.make_code()
    assert run(*by_code(tmp_path, zoho), CLIENT_SECRET=SECRET, CODE=code)[0] == 0
    connection = stored(tmp_path, zoho)
    assert connection.grant.value in zoho.config.refresh_tokens
    assert connection.client.client_id == CLIENT_ID


def test_code_that_was_used_is_refused(run, zoho, tmp_path):
    code = zoho.organisation.accounts.make_code()
    run(*by_code(tmp_path / "a", zoho), CLIENT_SECRET=SECRET, CODE=code)
    status, _, err = run(*by_code(tmp_path / "b", zoho))
    assert (status, "it is wrong, was used before, or has expired" in err) == (4, True)
    assert not (tmp_path / "b").exists()


def test_refresh_token_comes_from_the_environment(run, zoho, tmp_path):
    arguments = (
        "connect", "--to", str(tmp_path), "--grant", "refresh_token", "--client-id", CLIENT_ID, *at(zoho),
    )  # fmt: skip
    code, _, _ = run(*arguments, CLIENT_SECRET=SECRET, REFRESH_TOKEN="1000.local.refresh")
    assert (code, stored(tmp_path, zoho).grant.value) == (0, "1000.local.refresh")
    code, _, err = run(*arguments, REFRESH_TOKEN="1000.revoked")
    assert (code, "does not accept the refresh token" in err) == (4, True)
    assert stored(tmp_path, zoho).grant.value == "1000.local.refresh"


# --- the device flow -------------------------------------------------------------------------


def by_device(tmp_path, zoho, *more):
    return (
        "connect", "--to", str(tmp_path), "--grant", "device", "--client-id", CLIENT_ID, *at(zoho), *more,
    )  # fmt: skip


class User(threading.Thread):
    """Decides what the device requests, as soon as it requests something."""

    def __init__(self, zoho, decision):
        super().__init__(daemon=True)
        self.accounts, self.decision = zoho.organisation.accounts, decision

    def run(self):
        for _ in range(1000):
            for device in list(self.accounts.devices.values()):
                self.accounts.decide(device.user_code, self.decision)
                return
            time.sleep(0.01)


def test_device_flow_shows_url_and_code_and_waits_for_the_user(run, zoho, tmp_path):
    user = User(zoho, "approve")
    user.start()
    code, out, err = run(*by_device(tmp_path, zoho), CLIENT_SECRET=SECRET)
    user.join()
    assert code == 0
    assert f"    {zoho.url}/oauth/v3/device\n" in err
    assert "Waiting for you to accept the request; the code is valid for 5 minutes." in err
    assert stored(tmp_path, zoho).grant.value in zoho.config.refresh_tokens
    assert stored(tmp_path, zoho).grant.value not in out + err


def test_device_flow_that_the_user_denies_stores_nothing(run, zoho, tmp_path):
    User(zoho, "deny").start()
    code, _, err = run(*by_device(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, "The request was rejected in the browser." in err) == (4, True)
    assert not (tmp_path / ".crm-export").exists()


def test_device_flow_sends_no_secret_before_a_server_knows_the_client(run, zoho, tmp_path):
    zoho.config.patch({"client_id": "x"})
    code, _, err = run(*by_device(tmp_path, zoho), CLIENT_SECRET=SECRET)
    assert (code, "does not know the client id" in err) == (4, True)
    assert [request["body"].count("client_secret") for request in zoho.journal.requests()] == [0]


def test_device_flow_follows_its_user_to_another_data_centre(run, simulate, tmp_path):
    eu = simulate(device_interval_seconds=1.0)
    us = simulate(
        device_interval_seconds=1.0, device_approval="automatic", user_location="eu",
        accounts_servers={"eu": eu.url},
    )  # fmt: skip
    eu.organisation.accounts.devices = us.organisation.accounts.devices
    arguments = (
        "connect", "--to", str(tmp_path), "--grant", "device", "--client-id", CLIENT_ID,
        "--accounts-server", us.url, "--trust-origin", us.url, "--trust-origin", eu.url,
    )  # fmt: skip
    assert run(*arguments, CLIENT_SECRET=SECRET)[0] == 0
    connection = connections_of(tmp_path, ()).get(ACCOUNT, OWNER)
    assert (connection.accounts_server, connection.api_domain) == (eu.url, eu.url)


def test_data_centre_of_a_user_gets_no_secret_if_it_is_not_trusted(run, simulate, tmp_path):
    eu = simulate()
    us = simulate(
        device_interval_seconds=1.0, device_approval="automatic", user_location="eu",
        accounts_servers={"eu": eu.url},
    )  # fmt: skip
    code, _, err = run(*by_device(tmp_path, us), CLIENT_SECRET=SECRET)
    assert (code, eu.url in err) == (4, True)
    assert requests(eu) == []


# --- questions -------------------------------------------------------------------------------


def test_everything_that_is_missing_is_reported_at_once_without_a_terminal(run):
    code, out, err = run("connect", "--grant", "client_credentials")
    assert (code, out) == (2, "")
    for name in ("--to DIR", "--client-id", "CRM_EXPORT_CLIENT_SECRET", "--soid"):
        assert name in err
    code, out, _ = run("connect", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (2, "MISSING_ANSWERS")
    assert "--grant (client_credentials, device, code, refresh_token)" in error["message"]


@pytest.mark.parametrize(
    ("grant", "variable"), [("code", "CRM_EXPORT_CODE"), ("refresh_token", "CRM_EXPORT_REFRESH_TOKEN")]
)
def test_variable_of_a_missing_secret_is_named(run, tmp_path, grant, variable):
    code, _, err = run("connect", "--to", str(tmp_path), "--grant", grant, "--client-id", "x")
    assert (code, variable in err) == (2, True)


def test_store_of_a_stack_needs_account_and_owner(run):
    code, _, err = run("connect", "--store", "mongo", "--grant", "device", "--client-id", "x")
    assert (code, "--account; --owner" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--grant", "password"), "--grant 'password' is not one of"),
        (("--soid", "Zylker"), "'Zylker' is not the id of an organisation"),
        (("--client-id", "two words"), "The client id must be one word"),
        (("--store", "mongo"), "give one of them"),
        (("--client-secret", "x"), "--client-secret"),
    ],
)
def test_wrong_usage_has_its_own_exit_code(run, zoho, tmp_path, arguments, says):
    code, _, err = run(*by_client(tmp_path, zoho), *arguments, CLIENT_SECRET=SECRET)
    assert (code, says in err) == (2, True)
    assert requests(zoho) == []


def test_terminal_is_asked_for_what_is_missing(run, zoho, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(getpass, "getpass", lambda prompt, *_: asked.append(prompt) or SECRET)
    typed = [str(tmp_path), "7", "1", CLIENT_ID, "60000000001"]
    code, out, err = run("connect", *at(zoho), typed=typed)
    assert (code, len(asked)) == (0, 1)
    assert "  1  client_credentials  a self client" in err
    assert "Self Client" in err
    assert "Connected" not in err
    assert stored(tmp_path, zoho).grant.soid == SOID
    assert "token         valid" in out


# --- connections -----------------------------------------------------------------------------


def test_connections_of_a_folder_are_shown_tested_and_deleted(run, zoho, tmp_path):
    run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    here = ("--to", str(tmp_path))
    code, out, _ = run("connections", "list", *here, "--json")
    assert [found["state"] for found in json.loads(out)["connections"]] == ["stored"]
    shown = json.loads(run("connections", "show", *here, "--json")[1])["connection"]
    assert (shown["client_id"], shown["soid"]) == (CLIENT_ID, SOID)
    code, out, _ = run("connections", "test", *here)
    assert (code, "token         valid" in out) == (0, True)
    tested = json.loads(run("connections", "test", *here, "--json")[1])
    assert tested["token"]["state"] == "valid"
    assert {scope["state"] for scope in tested["scopes"] if scope["required"]} == {"granted"}
    code, _, err = run("connections", "delete", "--to", str(tmp_path))
    assert (code, "--yes" in err) == (2, True)
    assert run("connections", "delete", "--to", str(tmp_path), "--yes")[0] == 0
    assert run("connections", "show", *here)[0] == 4


def test_test_of_a_revoked_connection_says_so(run, zoho, tmp_path):
    code = zoho.organisation.accounts.make_code()
    run(*by_code(tmp_path, zoho), CLIENT_SECRET=SECRET, CODE=code)
    zoho.config.refresh_tokens.clear()
    status, out, err = run("connections", "test", "--to", str(tmp_path))
    assert (status, out) == (4, "")
    assert "invalid_code" in err
    assert "Connect again: crm-export connect." in err


def test_test_reports_lost_scopes_and_credits(run, zoho, tmp_path):
    run(*by_client(tmp_path, zoho), CLIENT_SECRET=SECRET)
    zoho.config.patch({"scopes": "ZohoCRM.modules.READ", "credits": 12})
    here = ("--to", str(tmp_path))
    code, out, _ = run("connections", "test", *here, "--json")
    document = json.loads(out)
    assert (code, document["error"]["code"]) == (4, "SCOPES_MISSING")
    assert document["credits_left"] < 12
    zoho.config.patch({"credits": 1000})
    code, out, err = run("connections", "test", *here)
    assert (code, "ZohoCRM.bulk.READ: missing" in out, "No export would work" in err) == (4, True, True)


def test_connection_of_the_stacks_client_is_tested_with_its_secret(run, zoho, tmp_path):
    token = {"refresh_token": "1000.local.refresh", "api_domain": zoho.url, "accounts_server": zoho.url}
    connections_of(tmp_path, (zoho.url,)).put(ACCOUNT, OWNER, token)
    here = ("connections", "test", "--to", str(tmp_path))
    code, _, err = run(*here)
    assert (code, "CRM_EXPORT_CLIENT_SECRET" in err) == (2, True)
    assert run(*here, CLIENT_ID=CLIENT_ID, CLIENT_SECRET=SECRET)[0] == 0
