"""Zoho's published sample requests, v2 to v8: the simulator accepts each in its versions only.

https://www.zoho.com/crm/developer/docs/api/v3/bulk-read/create-job.html and the same page of other
versions. The datetimes of the sample with a custom view are printed there with a year of five digits.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from zoho_simulator.config import VERSIONS
from zoho_simulator.http.server import SimulatorConfig, start_simulator

NAMED = VERSIONS[1:]  # the versions in which module and field are objects
VIEW = "5725767000000087501"
CALLBACK = {"url": "https://www.example.com/callback", "method": "post"}
CONTACT_FIELDS = [
    "Last_Name", "Owner", "Owner.last_name", "Account_Name.Account_Name", "Account_Name.Phone",
    "Lead_Source", "Created_Time",
]  # fmt: skip
LEAD_FIELDS = [
    "Last_Name", "Owner", "Owner.last_name", "$converted", "Lead_Source", "Lead_Status", "Company",
    "Email", "Mobile", "Created_Time",
]  # fmt: skip
PERIOD = ["2019-02-22T15:39:26+05:30", "2019-07-20T09:00:00+05:30"]


def field(name: str, **more: Any) -> dict[str, Any]:
    return {"field": {"api_name": name}, **more}


SAMPLES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "v2: all records of a page": (("v2",), {"query": {"module": "Leads", "page": 1}}),
    "v2: a criterion": (
        ("v2",),
        {
            "callback": CALLBACK,
            "query": {
                "module": "Contacts",
                "fields": CONTACT_FIELDS,
                "criteria": {"api_name": "Last_Name", "comparator": "equal", "value": "Boyle"},
                "page": 1,
            },
        },
    ),
    "v2: a group in a view": (
        ("v2",),
        {
            "callback": CALLBACK,
            "query": {
                "module": "Leads",
                "cvid": VIEW,
                "fields": LEAD_FIELDS,
                "criteria": {
                    "group": [
                        {"api_name": "Last_Name", "comparator": "equal", "value": "Patricia"},
                        {"api_name": "Modified_Time", "comparator": "between", "value": PERIOD},
                    ],
                    "group_operator": "and",
                },
            },
        },
    ),
    "v2: events as ics": (("v2",), {"query": {"module": "Events"}, "file_type": "ics"}),
    "events as ics": (
        NAMED,
        {"callback": CALLBACK, "query": {"module": {"api_name": "Events"}}, "file_type": "ics"},
    ),
    "file type in the query": (
        VERSIONS[2:],
        {"callback": CALLBACK, "query": {"module": {"api_name": "Events"}, "file_type": "ics"}},
    ),
    "a criterion": (
        NAMED,
        {
            "query": {
                "module": {"api_name": "Contacts"},
                "fields": CONTACT_FIELDS,
                "criteria": field("Last_Name", comparator="equal", value="Boyle"),
            }
        },
    ),
    "a group in a view": (
        NAMED,
        {
            "callback": CALLBACK,
            "query": {
                "module": {"api_name": "Leads"},
                "cvid": VIEW,
                "fields": LEAD_FIELDS,
                "criteria": {
                    "group": [
                        field("Last_Name", comparator="equal", value="Patricia"),
                        field("Email", comparator="equal", value="patricia.b@zylker.com"),
                        {"comparator": "between", "field": {"api_name": "Modified_Time"}, "value": PERIOD},
                    ],
                    "group_operator": "and",
                },
            },
        },
    ),
    "a criterion with its type": (
        ("v7", "v8"),
        {
            "query": {
                "module": {"api_name": "Leads"},
                "criteria": {
                    "group_operator": "or",
                    "group": [
                        field("Lead_Source", type="value", comparator="equal", value="Advertisement"),
                        field("Owner.last_name", type="value", comparator="equal", value="Boyle"),
                    ],
                },
                "page": 1,
            },
            "file_type": "csv",
        },
    ),
    "page token": (("v7", "v8"), {"query": {"page_token": "{next_page_token}"}}),
}
CASES = [pytest.param(version, name, id=f"{version} {name}") for name in SAMPLES for version in VERSIONS]


class Zoho:
    """A simulator in which the samples' custom view exists."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        form = {
            "grant_type": "refresh_token",
            "client_id": "1000.LOCAL",
            "client_secret": "local-secret",
            "refresh_token": "1000.local.refresh",
        }
        token = self.session.post(f"{url}/oauth/v2/token", data=form, timeout=10).json()["access_token"]
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {token}"

    def create(self, version: str, body: Any) -> requests.Response:
        return self.session.post(f"{self.url}/crm/bulk/{version}/read", json=body, timeout=10)

    def next_page_token(self) -> str:
        """Return a valid token: that of a job whose module has more records than it returned."""
        created = self.create("v8", {"query": {"module": {"api_name": "Contacts"}}}).json()
        path = f"/crm/bulk/v8/read/{created['data'][0]['details']['id']}"
        job = self.session.get(self.url + path, timeout=10).json()
        return str(job["data"][0]["result"]["next_page_token"])


@pytest.fixture(scope="module")
def zoho() -> Iterator[Zoho]:
    every_lead = field("Last_Name", comparator="not_equal", value="${EMPTY}")
    config = SimulatorConfig(
        custom_views={VIEW: {"module": "Leads", "criteria": every_lead}},
        records={"Contacts": 30, "Leads": 20, "Events": 10},
        records_per_job=10,
        added_seconds=0,
        queued_seconds=0,
        in_progress_seconds=0,
        callback_mode="never",
    )
    with start_simulator(config) as running:
        client = Zoho(running.url)
        yield client
        client.session.close()


@pytest.mark.parametrize(("version", "name"), CASES)
def test_sample_is_accepted_in_its_versions_only(zoho: Zoho, version: str, name: str) -> None:
    versions, body = SAMPLES[name]
    if "page_token" in body["query"]:
        body = {"query": {"page_token": zoho.next_page_token()}}
    response = zoho.create(version, body)
    if version in versions:
        assert response.status_code == 201, response.text
    else:
        assert response.status_code == 400, response.text
        assert response.json()["code"] in ("VALUE_TYPE_NOT_SUPPORTED", "INVALID_REQUEST", "INVALID_CRITERIA")
