"""The search for the data centre that knows a client, among several simulated ones."""

from contextlib import ExitStack

import pytest

from crm_export.errors import TokenInvalidated, ZohoClientRejected, ZohoUnavailable
from crm_export.zoho.catalog import ACCOUNTS_SERVERS
from crm_export.zoho.grants import ZohoClientCredentials
from crm_export.zoho.transport import make_session
from crm_export_cli.obtain import Zoho, hosts
from zoho_simulator.http.server import SimulatorConfig, start_simulator

SOID = "ZohoCRM.60000000001"


@pytest.fixture
def centres():
    """Three data centres; only the second knows the client."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(start_simulator(SimulatorConfig(records={"Contacts": 1}))) for _ in range(3)
        ]
        for other in (found[0], found[2]):
            other.config.patch({"client_id": "1000.OTHER"})
        yield found


def zoho(centres):
    urls = tuple(centre.url for centre in centres)
    client = ZohoClientCredentials("1000.LOCAL", "local-secret")
    return Zoho(client, urls, None, urls, make_session())


def test_first_centre_that_knows_the_client_ends_the_search(centres):
    obtained = zoho(centres).by_client_credentials(SOID)
    assert (obtained.accounts_server, obtained.api_domain) == (centres[1].url, centres[1].url)
    assert centres[2].journal.requests() == []


def test_code_is_refused_as_a_code_if_one_centre_knows_the_client(centres):
    with pytest.raises(TokenInvalidated) as raised:
        zoho(centres).by_code("1000.used")
    assert raised.value.zoho_code == "invalid_code"


def test_client_whose_secret_differs_in_another_centre_is_found(centres):
    centres[0].config.patch({"client_id": "1000.LOCAL", "client_secret": "another"})
    assert zoho(centres).by_refresh_token("1000.local.refresh").accounts_server == centres[1].url


def test_refusal_of_the_secret_says_more_than_that_of_the_id(centres):
    centres[1].config.patch({"client_secret": "another"})
    with pytest.raises(ZohoClientRejected) as raised:
        zoho(centres).by_client_credentials(SOID)
    assert raised.value.zoho_code == "invalid_client_secret"
    assert len(centres[2].journal.requests()) == 1


def test_outage_ends_the_search(centres):
    centres[0].fault(path="/oauth/v2/token", status=503, body="<html>")
    with pytest.raises(ZohoUnavailable):
        zoho(centres).by_client_credentials(SOID)
    assert centres[1].journal.requests() == []


def test_device_code_comes_from_the_centre_that_knows_the_client(centres):
    centres[1].config.patch({"device_approval": "automatic", "device_interval_seconds": 1.0})
    shown = []
    assert zoho(centres).by_device(shown.append).accounts_server == centres[1].url
    assert shown[0].url == f"{centres[1].url}/oauth/v3/device"


@pytest.mark.parametrize(
    ("api_domain", "servers"),
    [
        (None, ACCOUNTS_SERVERS),
        ("https://sandbox.zohoapis.eu", ("https://accounts.zoho.eu",)),
    ],
)
def test_servers_to_ask_are_all_of_zohos_or_that_of_the_api_domain(api_domain, servers):
    assert hosts(api_domain, None, ()) == (api_domain, servers)
    assert ACCOUNTS_SERVERS[-1].endswith(".cn")
