"""Every response of the simulator's Bulk Read v8 fits Zoho's OpenAPI document (zoho_bulk_read_v8.json)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft202012Validator, FormatChecker

from zoho_simulator.http.server import Simulator, SimulatorConfig, start_simulator

SCHEMA = json.loads((Path(__file__).parent / "zoho_bulk_read_v8.json").read_text())
CREDENTIALS = {
    "grant_type": "refresh_token",
    "client_id": "1000.LOCAL",
    "client_secret": "local-secret",
    "refresh_token": "1000.local.refresh",
}
BOYLE = {"field": {"api_name": "Last_Name"}, "comparator": "equal", "value": "Boyle"}
MOMENTS = ["2015-01-01T00:00:00+05:30", "2016-01-01T00:00:00+05:30"]
PERIOD = {"field": {"api_name": "Modified_Time"}, "comparator": "between", "value": MOMENTS}
OPTED_OUT = {"field": {"api_name": "Email_Opt_Out"}, "comparator": "equal", "value": True, "type": "value"}
NESTED = {
    "group_operator": "or",
    "group": [{"group_operator": "and", "group": [BOYLE, PERIOD]}, OPTED_OUT],
}


class Zoho:
    """A client of one simulator whose clock the test moves."""

    def __init__(self, simulator: Simulator, now: list[float]) -> None:
        self.simulator = simulator
        self.now = now  # one number: the moment on the simulator's clock
        self.session = requests.Session()
        self.session.trust_env = False
        token = self.session.post(f"{simulator.url}/oauth/v2/token", data=CREDENTIALS, timeout=10).json()
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {token['access_token']}"

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        url = f"{self.simulator.url}/crm/bulk/v8/read{path}"
        return self.session.request(method, url, timeout=10, **more)

    def create(self, body: Any) -> str:
        response = self.send("POST", "", json=body)
        assert response.status_code == 201, response.text
        check("created", response.json())
        return str(response.json()["data"][0]["details"]["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        response = self.send("GET", f"/{job_id}")
        assert response.status_code == 200, response.text
        check("job", response.json())
        detail: dict[str, Any] = response.json()["data"][0]
        return detail


@pytest.fixture
def zoho() -> Iterator[Zoho]:
    now = [1_700_000_000.0]
    config = SimulatorConfig(
        records={"Contacts": 250, "Events": 10, "Leads": 5},
        records_per_job=100,
        added_seconds=1,
        queued_seconds=1,
        in_progress_seconds=1,
        custom_views={"77": {"module": "Contacts", "criteria": BOYLE}},
        access_token_seconds=10**6,
    )
    with start_simulator(config, clock=lambda: now[0]) as running:
        client = Zoho(running, now)
        yield client
        client.session.close()


def check(name: str, document: Any) -> None:
    """Validate against one of the definitions."""
    schema = {**SCHEMA, "$ref": f"#/$defs/{name}"}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(document)


def contacts(**more: Any) -> dict[str, Any]:
    return {"query": {"module": {"api_name": "Contacts"}, **more}}


def filtered(criteria: Any) -> dict[str, Any]:
    return contacts(criteria=criteria)


def leaf(name: str, comparator: str, value: Any) -> dict[str, Any]:
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


ACCEPTED = {
    "all": contacts(),
    "fields": contacts(fields=["Last_Name", "Owner.last_name"], page=2),
    "single criterion": filtered(BOYLE),
    "nested criteria": filtered(NESTED),
    "view": contacts(cvid="77", criteria=PERIOD),
    "nothing found": filtered(leaf("Last_Name", "equal", "Nobody")),
    "ics": {"query": {"module": {"api_name": "Events"}}, "file_type": "ics"},
    "callback": {**contacts(page=3), "callback": {"url": "https://127.0.0.1:9/cb", "method": "post"}},
}


def test_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_job_fits_in_every_state(zoho: Zoho, body: Any) -> None:
    zoho.simulator.config.callback_mode = "never"
    job = zoho.create(body)
    states = []
    for _ in range(4):
        states.append(zoho.job(job)["state"])
        zoho.now[0] += 1
    assert states == ["ADDED", "QUEUED", "IN PROGRESS", "COMPLETED"]


def test_failed_job_and_continued_job_fit(zoho: Zoho) -> None:
    zoho.simulator.fault(method="POST", path="/read$", job={"state": "FAILURE"}, times=1)
    failed, first = zoho.create(contacts()), zoho.create(contacts())
    zoho.now[0] += 3
    assert zoho.job(failed)["state"] == "FAILURE"
    second = zoho.create({"query": {"page_token": zoho.job(first)["result"]["next_page_token"]}})
    zoho.now[0] += 3
    assert zoho.job(second)["result"]["page"] == 2


REFUSED = {
    "REQUEST_BODY_NOT_SUPPORTED": [1],
    "REQUEST_BODY_IS_EMPTY": {},
    "INVALID_REQUEST": contacts(order_by="id"),
    "QUERY_NOT_SUPPORTED": {"file_type": "csv"},
    "MODULE_NOT_AVAILABLE": {"query": {"module": {"api_name": "Nope"}}},
    "MODULE_NOT_SUPPORTED": {"query": {"module": {"api_name": "Notes"}}},
    "FIELD_NOT_AVAILABLE": contacts(fields=["Nope"]),
    "FIELD_NOT_SUPPORTED": contacts(fields=["Contract"]),
    "JOIN_LIMIT_EXCEEDED": contacts(fields=["Owner.last_name", "Created_By.last_name"]),
    "CVID_NOT_SUPPORTED": contacts(cvid="78"),
    "PAGE_NOT_SUPPORTED": contacts(page=0),
    "PAGE_RANGE_EXCEEDED": contacts(page=501),
    "INVALID_DATA": {**contacts(), "file_type": "ics"},
    "INVALID_CALLBACK_URL": {**contacts(), "callback": {"url": "x", "method": "post"}},
    "INVALID_CALLBACK_METHOD": {**contacts(), "callback": {"url": "https://example.com/", "method": "put"}},
    "CRITERIA_NOT_SUPPORTED": filtered("Last_Name = 'Boyle'"),
    "INVALID_CRITERIA": filtered({"field": {"api_name": "Last_Name"}, "comparator": "equal"}),
    "AMBIGUOUS_CRITERIA": filtered({**BOYLE, "group": [BOYLE, BOYLE], "group_operator": "or"}),
    "AMBIGUOUS_GROUP_IN_CRITERIA": filtered({"group": [BOYLE], "group_operator": "or"}),
    "GROUP_OPERATOR_NOT_SUPPORTED": filtered({"group": [BOYLE, BOYLE], "group_operator": "xor"}),
    "CRITERIA_LIMIT_EXCEEDED": filtered({"group": [BOYLE] * 26, "group_operator": "or"}),
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": filtered(leaf("Last_Name", "in", ["x"] * 201)),
    "VALUE_TYPE_NOT_SUPPORTED": filtered(leaf("Last_Name", "equal", {"id": "1"})),
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": filtered(leaf("Nope", "equal", "x")),
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": filtered(leaf("Contract", "equal", "x")),
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": filtered(leaf("Last_Name", "between", ["a", "b"])),
    "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": filtered(leaf("Visits", "equal", "many")),
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": filtered(leaf("Last_Name", "in", "x")),
}


@pytest.mark.parametrize(("code", "body"), REFUSED.items(), ids=REFUSED.keys())
def test_refusal_fits_its_code(zoho: Zoho, code: str, body: Any) -> None:
    zoho.simulator.config.bulk_join_limit = 1
    response = zoho.send("POST", "", json=body)
    assert (response.status_code, response.json()["code"]) == (400, code)
    check("error", response.json())


def test_refusal_outside_the_body_fits_its_code(zoho: Zoho) -> None:
    first = zoho.create(contacts())
    zoho.now[0] += 3
    token = {"query": {"page_token": zoho.job(first)["result"]["next_page_token"]}}
    zoho.simulator.organisation.page_tokens.expire_all()
    received = {
        "EXPIRED_VALUE": zoho.send("POST", "", json=token),
        "INVALID_DATA": zoho.send("POST", "", json={"query": {"page_token": "made up"}}),
        "MEDIA_TYPE_NOT_SUPPORTED": zoho.send("POST", "", data=b"{}"),
        "REQUEST_BODY_NOT_READABLE": zoho.send(
            "POST", "", data=b"{", headers={"Content-Type": "application/json"}
        ),
        "INVALID_REQUEST_METHOD": zoho.send("DELETE", f"/{first}"),
        "INVALID_URL_PATTERN": zoho.send("GET", f"/{first}/results"),
        "RESOURCE_NOT_FOUND": zoho.send("GET", "/42"),
        "INVALID_TOKEN": zoho.send("GET", "/42", headers={"Authorization": "Zoho-oauthtoken 1000.x.y"}),
    }
    for code, response in received.items():
        assert response.json()["code"] == code
        check("error", response.json())
    assert {
        code: response.status_code for code, response in received.items() if response.status_code != 400
    } == {
        "MEDIA_TYPE_NOT_SUPPORTED": 415,
        "INVALID_URL_PATTERN": 404,
        "RESOURCE_NOT_FOUND": 404,
        "INVALID_TOKEN": 401,
    }
