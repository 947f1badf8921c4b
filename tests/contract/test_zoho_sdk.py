"""Zoho's own Python SDK 8.0, unpatched, against the simulator: its parsers check every response.

The SDK keeps its settings in a process-wide singleton, so each scenario runs in its own process,
which executes this file as a script.
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
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest

from zoho_simulator.http.server import Simulator, SimulatorConfig, start_simulator

ROOT = Path(__file__).parents[2]
NOT_EMPTY = {"field": {"api_name": "Last_Name"}, "comparator": "not_equal", "value": "${EMPTY}"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    config = SimulatorConfig(
        records={"Contacts": 700, "Events": 30, "Notes": 450},
        custom_views={"77": {"module": "Contacts", "criteria": NOT_EMPTY}},
        records_per_job=400,
        added_seconds=0.02,
        queued_seconds=0.02,
        in_progress_seconds=0.05,
    )
    with start_simulator(config) as running:
        yield running


def run_scenario(name: str, simulator: Simulator, folder: Path) -> dict:
    """Run one of the scenarios below in a fresh interpreter and return its outcome, passed as JSON."""
    finished = subprocess.run(
        [sys.executable, __file__, name, simulator.url, str(folder)],
        cwd=folder,  # the SDK writes to the working directory
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


def test_sdk_reads_zoho_code_for_unknown_module(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("unknown_module", simulator, tmp_path)

    assert outcome == {
        "type": "APIException",
        "code": "MODULE_NOT_AVAILABLE",
        "details": {"api_name": "Nonsense"},
    }


def test_sdk_lists_fields_of_a_module(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("list_fields", simulator, tmp_path)

    assert {"Last_Name", "Account_Name", "Modified_Time"} <= set(outcome["fields"])


def test_sdk_exports_a_page_of_a_view_with_nested_criteria(simulator: Simulator, tmp_path: Path) -> None:
    simulator.config.records_per_job = 20
    outcome = run_scenario("export_view", simulator, tmp_path)

    (create,) = simulator.journal.requests("/read$", "POST")
    query = json.loads(create["body"])["query"]
    # The SDK sends the id of the view as a number, although Zoho's pages show a string.
    assert (query["cvid"], query["page"], query["criteria"]["group_operator"]) == (77, 2, "and")
    page = outcome["pages"][0]
    assert (page["page"], page["per_page"], page["count"]) == (2, 20, 20)
    header, *rows = rows_of(tmp_path / page["file"])
    assert header == ["Id", "Last_Name", "Email_Opt_Out", "Created_Time"]
    assert len(rows) == 20
    assert {row[1] for row in rows} <= {"Boyle", "Silva", "O'Brien"}
    # The query as the SDK parsed it from the job details.
    assert outcome["query"] == {
        "module": "Contacts",
        "cvid": 77,
        "fields": ["Last_Name", "Email_Opt_Out", "Created_Time"],
        "group_operator": "and",
        "comparators": ["in", "between"],
        "field_ids": True,
    }
    assert outcome["created_by"] == "Patricia Boyle"


def test_sdk_exports_events_as_ics(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("export_events", simulator, tmp_path)

    assert outcome["pages"][0]["count"] == 30
    with zipfile.ZipFile(tmp_path / outcome["pages"][0]["file"]) as opened:
        (name,) = opened.namelist()
        assert name.endswith(".ics")
        assert opened.read(name).count(b"BEGIN:VEVENT\r\n") == 30


def test_sdk_reads_a_failed_job(simulator: Simulator, tmp_path: Path) -> None:
    simulator.fault(method="POST", path="/read$", job={"state": "FAILURE"})
    outcome = run_scenario("failed_job", simulator, tmp_path)

    assert outcome["states"][-1] == "FAILURE"
    assert outcome["download"] == {
        "type": "APIException",
        "code": "RESOURCE_NOT_FOUND",
        "details": {"resource": outcome["id"]},
    }


def test_sdk_reads_refusals(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("refusals", simulator, tmp_path)

    # The SDK keeps only the details it knows.
    assert outcome == {
        "page token": {
            "type": "APIException",
            "code": "EXPIRED_VALUE",
            "details": {"api_name": "page_token"},
        },
        "field": {
            "type": "APIException",
            "code": "FIELD_NOT_SUPPORTED",
            "details": {"api_name": "Contract"},
        },
        "comparator": {
            "type": "APIException",
            "code": "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED",
            "details": {"api_name": "Email_Opt_Out", "supported": ["equal"]},
        },
    }


def test_sdk_reads_scripted_errors_and_errors_wrapped_in_data(simulator: Simulator, tmp_path: Path) -> None:
    codes = ["TOO_MANY_REQUESTS", "JOB_NOT_SUPPORTED", "INTERNAL_ERROR"]
    for code in codes:
        simulator.fault(method="POST", path="/read$", error=code, times=1)
    simulator.config.bulk_error_envelope = "data"
    outcome = run_scenario("four_errors", simulator, tmp_path)
    assert outcome == {"scripted": codes, "wrapped": ["ActionWrapper", "MODULE_NOT_AVAILABLE"]}


def test_sdk_lists_notes_by_page_token(simulator: Simulator, tmp_path: Path) -> None:
    outcome = run_scenario("list_notes", simulator, tmp_path)

    assert outcome["counts"] == [200, 200, 50]
    assert len(set(outcome["ids"])) == 450
    assert outcome["sorted_by"] == ["id", "asc"]
    assert [entry["status"] for entry in simulator.journal.requests("/crm/v8/Notes$")] == [200, 200, 200]


def test_sdk_counts_records_and_lists_deleted_ones(simulator: Simulator, tmp_path: Path) -> None:
    changes = simulator.organisation.changes
    changes.apply("Accounts", {"create": 5})  # there are no others
    gone = changes.apply("Accounts", {"delete": 1, "purge": 1})
    outcome = run_scenario("count_records", simulator, tmp_path)

    assert (outcome["count"], outcome["created"]) == (3, 3)
    moment = datetime.fromisoformat(gone["time"]).timestamp()
    assert [gone["deleted"][0], "recycle", moment] in outcome["deleted"]
    assert [gone["purged"][0], "permanent", moment] in outcome["deleted"]


# The rest runs in the child process only, where the SDK is imported.


def initialise(url: str, folder: Path) -> None:
    from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.api.authenticator.store.file_store import FileStore  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.api.logger import Logger  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer  # noqa: PLC0415

    # The SDK's public way to set hosts: an Environment with three URLs.
    environment = DataCenter.Environment(url, f"{url}/oauth/v2/token", url)
    token = OAuthToken(
        client_id="1000.LOCAL", client_secret="local-secret", refresh_token="1000.local.refresh"
    )
    logger = Logger.get_instance(Logger.Levels.INFO, str(folder / "sdk.log"))
    store = FileStore(str(folder / "tokens.csv"))
    Initializer.initialize(environment, token, store=store, resource_path=str(folder), logger=logger)


def create_job(query: object, url: str, file_type: str | None = None) -> object:
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
    if file_type:
        body.set_file_type(file_type)
    return BulkReadOperations().create_bulk_read_job(body).get_object()


def contacts_query(module_name: str = "Contacts") -> object:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Query  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.modules.minified_module import MinifiedModule  # noqa: PLC0415

    module = MinifiedModule()
    module.set_api_name(module_name)
    query = Query()
    query.set_module(module)
    return query


def wait_for(job_id: int, states: list[str]) -> object:
    """Poll the job until it has ended."""
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import BulkReadOperations  # noqa: PLC0415

    while True:
        detail = BulkReadOperations().get_bulk_read_job_details(job_id).get_object().get_data()[0]
        states.append(detail.get_state().get_value())
        if states[-1] in ("COMPLETED", "FAILURE"):
            return detail
        time.sleep(0.02)


def finish_job(
    query: object, url: str, folder: Path, states: list[str], file_type: str | None = None
) -> tuple[dict, object]:
    """Create a job, poll it and download it. Returns facts of the page, and the job as parsed."""
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import BulkReadOperations  # noqa: PLC0415

    created = create_job(query, url, file_type).get_data()[0]
    job_id = int(created.get_details()["id"])
    detail = wait_for(job_id, states)
    stream = BulkReadOperations().download_result(job_id).get_object().get_file()
    with (folder / stream.get_name()).open("wb") as target:
        for chunk in stream.get_stream():
            target.write(chunk)
    result = detail.get_result()
    page = {
        "page": result.get_page(),
        "per_page": result.get_per_page(),
        "count": result.get_count(),
        "more_records": result.get_more_records(),
        "file": stream.get_name(),
    }
    return page, detail


def criterion(name: str, comparator: str, value: object) -> object:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Criteria  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.fields.minified_field import MinifiedField  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.util.choice import Choice  # noqa: PLC0415

    field = MinifiedField()
    field.set_api_name(name)
    criteria = Criteria()
    criteria.set_field(field)
    criteria.set_comparator(Choice(comparator))
    criteria.set_value(value)
    return criteria


def error_of(response: object) -> dict:
    code = response.get_code().get_value()
    return {"type": type(response).__name__, "code": code, "details": response.get_details()}


def export_contacts(url: str, folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Query  # noqa: PLC0415

    states: list[str] = []
    query = contacts_query()
    query.set_fields(["Last_Name", "Account_Name.Account_Name"])
    first, detail = finish_job(query, url, folder, states)
    following = Query()
    following.set_page_token(detail.get_result().get_next_page_token())
    second, _ = finish_job(following, url, folder, states)
    return {"states": states, "pages": [first, second]}


def export_opted_out(url: str, folder: Path) -> dict:
    query = contacts_query()
    query.set_criteria(criterion("Email_Opt_Out", "equal", "true"))
    page, _ = finish_job(query, url, folder, [])
    return {"pages": [page]}


def export_view(url: str, folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Criteria  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.util.choice import Choice  # noqa: PLC0415

    moments = ["2015-01-01T00:00:00+05:30", "2015-01-02T00:00:00+05:30"]
    criteria = Criteria()
    criteria.set_group_operator(Choice("and"))
    criteria.set_group(
        [
            criterion("Last_Name", "in", ["Boyle", "Silva", "O'Brien"]),
            criterion("Created_Time", "between", moments),
        ]
    )
    query = contacts_query()
    query.set_cvid(77)
    query.set_page(2)
    query.set_fields(["Last_Name", "Email_Opt_Out", "Created_Time"])
    query.set_criteria(criteria)
    page, detail = finish_job(query, url, folder, [])
    echo = detail.get_query()
    members = echo.get_criteria().get_group()
    parsed = {
        "module": echo.get_module().get_api_name(),
        "cvid": echo.get_cvid(),
        "fields": echo.get_fields(),
        "group_operator": echo.get_criteria().get_group_operator().get_value(),
        "comparators": [member.get_comparator().get_value() for member in members],
        "field_ids": all(isinstance(member.get_field().get_id(), int) for member in members),
    }
    return {"pages": [page], "query": parsed, "created_by": detail.get_created_by().get_name()}


def export_events(url: str, folder: Path) -> dict:
    page, _ = finish_job(contacts_query("Events"), url, folder, [], "ics")
    return {"pages": [page]}


def failed_job(url: str, _folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import BulkReadOperations  # noqa: PLC0415

    states: list[str] = []
    job_id = create_job(contacts_query(), url).get_data()[0].get_details()["id"]
    wait_for(int(job_id), states)
    download = BulkReadOperations().download_result(int(job_id)).get_object()
    return {"id": job_id, "states": states, "download": error_of(download)}


def refusals(url: str, _folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api.bulk_read import Query  # noqa: PLC0415

    job_id = create_job(contacts_query(), url).get_data()[0].get_details()["id"]
    token = wait_for(int(job_id), []).get_result().get_next_page_token()
    connection = HTTPConnection(url.removeprefix("http://"))
    connection.request("DELETE", "/__sim__/page_tokens")
    connection.getresponse().read()
    connection.close()
    expired, field, comparator = Query(), contacts_query(), contacts_query()
    expired.set_page_token(token)
    field.set_fields(["Last_Name", "Contract"])
    comparator.set_criteria(criterion("Email_Opt_Out", "not_equal", "true"))
    queries = {"page token": expired, "field": field, "comparator": comparator}
    return {name: error_of(create_job(query, url)) for name, query in queries.items()}


def unknown_module(url: str, _folder: Path) -> dict:
    return error_of(create_job(contacts_query("Nonsense"), url))


def four_errors(url: str, _folder: Path) -> dict:
    scripted = [error_of(create_job(contacts_query(), url))["code"] for _ in range(3)]
    wrapper = create_job(contacts_query("Nonsense"), url)
    return {
        "scripted": scripted,
        "wrapped": [type(wrapper).__name__, wrapper.get_data()[0].get_code().get_value()],
    }


def list_notes(_url: str, _folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api import ParameterMap  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.record import GetRecordsParam, RecordOperations  # noqa: PLC0415

    counts, ids, token, info = [], [], None, None
    while info is None or token:
        parameters = ParameterMap()
        parameters.add(GetRecordsParam.fields, "Note_Title,Note_Content,Parent_Id")
        parameters.add(GetRecordsParam.sort_by, "id")
        parameters.add(GetRecordsParam.sort_order, "asc")
        if token:
            parameters.add(GetRecordsParam.page_token, token)
        page = RecordOperations("Notes").get_records(parameters).get_object()
        info = page.get_info()
        counts.append(info.get_count())
        ids += [record.get_id() for record in page.get_data()]
        token = info.get_next_page_token()
    return {"counts": counts, "ids": ids, "sorted_by": [info.get_sort_by(), info.get_sort_order()]}


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


def count_records(_url: str, _folder: Path) -> dict:
    from zohocrmsdk.src.com.zoho.crm.api import ParameterMap  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.record import RecordOperations  # noqa: PLC0415
    from zohocrmsdk.src.com.zoho.crm.api.record.record_operations import RecordCountParam  # noqa: PLC0415

    accounts, criteria = RecordOperations("Accounts"), ParameterMap()
    criteria.add(RecordCountParam.criteria, "(Created_Time:greater_equal:2020-01-01T00:00:00+00:00)")
    deleted = accounts.get_deleted_records().get_object().get_data()
    return {
        "count": accounts.record_count().get_object().get_count(),
        "created": accounts.record_count(criteria).get_object().get_count(),
        "deleted": [
            [str(row.get_id()), row.get_type(), row.get_deleted_time().timestamp()] for row in deleted
        ],
    }


def main() -> None:
    scenarios = (
        export_contacts,
        export_opted_out,
        export_view,
        export_events,
        failed_job,
        refusals,
        unknown_module,
        four_errors,
        list_fields,
        list_notes,
        count_records,
    )
    name, url, folder = sys.argv[1:]
    initialise(url, Path(folder))
    outcome = {f.__name__: f for f in scenarios}[name](url, Path(folder))
    sys.stdout.write(json.dumps(outcome) + "\n")


if __name__ == "__main__":
    main()
