"""Zoho's own Python SDK 8.0, unpatched, against the simulator: what satisfies it is close to Zoho.

The SDK keeps its settings in a process-wide singleton, so each scenario runs in a process of its own:
this file executed as a script.
"""

import csv
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.zoho.server import Simulator, SimulatorConfig, start_simulator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    config = SimulatorConfig(
        records={"Contacts": 700},
        records_per_job=400,
        added_seconds=0.02,
        queued_seconds=0.02,
        in_progress_seconds=0.05,
    )
    with start_simulator(config) as running:
        yield running


def run_scenario(name: str, simulator: Simulator, folder: Path) -> dict:
    """Run one of the functions below in a fresh interpreter; what it returns comes back as JSON."""
    finished = subprocess.run(
        [sys.executable, __file__, name, simulator.url, str(folder)],
        cwd=folder,  # the SDK falls back to the working directory
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


def rows_of(archive: Path) -> list[list[str]]:
    with zipfile.ZipFile(archive) as opened:
        (name,) = opened.namelist()
        return list(csv.reader(io.StringIO(opened.read(name).decode(), newline="")))


def test_sdk_exports_contacts_over_two_pages(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("export_contacts", simulator, tmp_path)

    assert outcome["states"][-1] == "COMPLETED"
    assert [page["count"] for page in outcome["pages"]] == [400, 300]
    assert [page["more_records"] for page in outcome["pages"]] == [True, False]
    files = [rows_of(tmp_path / page["file"]) for page in outcome["pages"]]
    assert [len(rows) - 1 for rows in files] == [400, 300]
    assert files[0][0] == ["Id", "Last_Name", "Account_Name.Account_Name"]
    assert len({row[0] for rows in files for row in rows[1:]}) == 700


def test_sdk_sends_callback_and_form_encoded_token_request(simulator: Simulator, tmp_path: Path) -> None:
    run_scenario("export_contacts", simulator, tmp_path)

    token, *_ = simulator.journal.requests("^/oauth/v2/token$")
    assert (token["status"], token["query"]) == (200, {})
    create, _ = simulator.journal.requests("/read$", "POST")
    assert json.loads(create["body"])["callback"] == {"url": f"{simulator.url}/callback", "method": "post"}


def test_sdk_filters_with_criteria(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("export_opted_out", simulator, tmp_path)

    (header, *rows) = rows_of(tmp_path / outcome["pages"][0]["file"])
    assert len(rows) == outcome["pages"][0]["count"]
    assert 0 < len(rows) < 400
    assert {row[header.index("Email_Opt_Out")] for row in rows} == {"true"}


def test_sdk_gets_zoho_code_for_unknown_module(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("unknown_module", simulator, tmp_path)

    assert outcome == {
        "type": "APIException",
        "code": "MODULE_NOT_AVAILABLE",
        "details": {"api_name": "Nonsense"},
    }


def test_sdk_lists_fields_of_a_module(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("list_fields", simulator, tmp_path)

    assert {"Last_Name", "Account_Name", "Modified_Time"} <= set(outcome["fields"])


# What follows runs in the child process only; the SDK is imported there.


def initialise(url: str, folder: Path) -> None:
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.api.logger import Logger  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer  # noqa: PLC0415

    # The SDK's public way to name hosts of one's own: an Environment with three URLs.
    environment = DataCenter.Environment(url, f"{url}/oauth/v2/token", url)
    token = OAuthToken(
        client_id="1000.LOCAL", client_secret="local-secret", refresh_token="1000.local.refresh"
    )
    logger = Logger.get_instance(Logger.Levels.INFO, str(folder / "sdk.log"))
    store = FileStore(str(folder / "tokens.csv"))
    Initializer.initialize(environment, token, store=store, resource_path=str(folder), logger=logger)


def create_job(query: object, url: str) -> object:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import (  # noqa: PLC0415
        BodyWrapper,
        BulkReadOperations,
        CallBack,
    )
    from zohocrmsdk.src.com.zoho.crm.api.util.choice import Choice  # noqa: PLC0415

    callback = CallBack()
    callback.set_url(f"{url}/callback")
    callback.set_method(Choice("post"))
    body = BodyWrapper()
    body.set_callback(callback)
    body.set_query(query)
    return BulkReadOperations().create_bulk_read_job(body).get_object()


def contacts_query(module_name: str = "Contacts") -> object:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Query  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.modules.minified_module import MinifiedModule  # noqa: PLC0415

    module = MinifiedModule()
    module.set_api_name(module_name)
    query = Query()
    query.set_module(module)
    return query


def finish_job(query: object, url: str, folder: Path, states: list[str]) -> tuple[dict, str | None]:
    """Create, poll, download: the page's facts and the token of the next page."""
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import BulkReadOperations  # noqa: PLC0415

    answer = create_job(query, url).get_data()[0]
    job_id = int(answer.get_details()["id"])
    operations = BulkReadOperations()
    while True:
        detail = operations.get_bulk_read_job_details(job_id).get_object().get_data()[0]
        states.append(detail.get_state().get_value())
        if states[-1] == "COMPLETED":
            break
        time.sleep(0.02)
    stream = operations.download_result(job_id).get_object().get_file()
    with (folder / stream.get_name()).open("wb") as target:
        for chunk in stream.get_stream():
            target.write(chunk)
    result = detail.get_result()
    page = {"count": result.get_count(), "more_records": result.get_more_records(), "file": stream.get_name()}
    return page, result.get_next_page_token()


def export_contacts(url: str, folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Query  # noqa: PLC0415

    states: list[str] = []
    query = contacts_query()
    query.set_fields(["Last_Name", "Account_Name.Account_Name"])
    first, token = finish_job(query, url, folder, states)
    following = Query()
    following.set_page_token(token)
    second, _ = finish_job(following, url, folder, states)
    return {"states": states, "pages": [first, second]}


def export_opted_out(url: str, folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Criteria  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.fields.minified_field import MinifiedField  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.util.choice import Choice  # noqa: PLC0415

    field = MinifiedField()
    field.set_api_name("Email_Opt_Out")
    criteria = Criteria()
    criteria.set_field(field)
    criteria.set_comparator(Choice("equal"))
    criteria.set_value("true")
    query = contacts_query()
    query.set_criteria(criteria)
    page, _ = finish_job(query, url, folder, [])
    return {"pages": [page]}


def unknown_module(url: str, _folder: Path) -> dict:
    error = create_job(contacts_query("Nonsense"), url)
    kind = type(error).__name__
    return {"type": kind, "code": error.get_code().get_value(), "details": error.get_details()}


def list_fields(_url: str, _folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api import ParameterMap  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.fields.fields_operations import (  # noqa: PLC0415
        FieldsOperations,
        GetFieldsParam,
    )

    parameters = ParameterMap()
    parameters.add(GetFieldsParam.module, "Contacts")
    fields = FieldsOperations().get_fields(parameters).get_object().get_fields()
    return {"fields": [field.get_api_name() for field in fields]}


def main() -> None:
    scenarios = {f.__name__: f for f in (export_contacts, export_opted_out, unknown_module, list_fields)}
    name, url, folder = sys.argv[1:]
    initialise(url, Path(folder))
    outcome = scenarios[name](url, Path(folder))
    sys.stdout.write(json.dumps(outcome) + "\n")


if __name__ == "__main__":
    main()
