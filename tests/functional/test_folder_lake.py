"""`export --format parquet`, `lake write` and `lake ddl` in a folder, against the Zoho simulator."""

import json

import duckdb
import pytest

from crm_export_cli.folder import ACCOUNT, OWNER
from crm_export_cli.folder.wiring import Folder
from crm_export_cli.main import main
from zoho_simulator.http.server import SimulatorConfig, start_simulator

FAST = ("--downloads-per-minute", "1000")


@pytest.fixture(scope="module")
def simulator():
    config = SimulatorConfig(
        records={"Deals": 50, "Events": 5},
        records_per_job=30,
        downloads_per_minute=0,
        added_seconds=0.0,
        queued_seconds=0.1,
        in_progress_seconds=0.1,
    )
    with start_simulator(config) as simulator:
        yield simulator


@pytest.fixture
def run(capsys, tmp_path, simulator):
    """Run a command on a connected folder, tmp_path; return its exit code and its document."""
    url, config = simulator.url, simulator.config
    token = {
        "refresh_token": "1000.local.refresh",
        "client_id": config.client_id,
        "client_secret": config.client_secret,
        "api_domain": url,
        "accounts_server": url,
    }
    with Folder.open(tmp_path) as folder:
        folder.connections((url,)).put(ACCOUNT, OWNER, token)

    def run_it(*arguments):
        trust = ("--trust-origin", url, *FAST) if arguments[0] == "export" else ()
        code = main([*arguments, *trust, "--to", str(tmp_path), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run_it


def query(tmp_path, what):
    files = f"{tmp_path}/lake/account_id=local/module=Deals/*/*.parquet"
    return duckdb.sql(f"SELECT {what} FROM read_parquet('{files}')").fetchall()


def test_export_as_parquet_has_the_types_and_the_rows_of_the_csv(run, tmp_path):
    code, document = run("export", "deals", "--format", "parquet")
    (export,) = document["exports"]
    assert (code, export["state"], export["records"]) == (0, "COMPLETED", 50)
    lake = export["lake"]
    assert (lake["rows"], lake["files"], lake["rescued"]) == (50, 2, {})
    assert query(tmp_path, "count(*), count(DISTINCT id), any_value(typeof(amount))") == [
        (50, 50, "DECIMAL(28,2)")
    ]
    csv_files = f"{tmp_path}/exports/*/*/*/part-*.csv"
    texts = duckdb.sql(f"SELECT Id, Stage FROM read_csv('{csv_files}', all_varchar = true) ORDER BY Id")
    assert sorted(query(tmp_path, "id, stage")) == texts.fetchall()


def test_completed_export_becomes_parquet_later_and_again(run):
    run("export", "deals")
    code, document = run("lake", "write", "--latest")
    assert (code, document["exports"][0]["lake"]["rows"]) == (0, 50)
    assert run("lake", "write", document["exports"][0]["export_id"]) == (0, document)


def test_ddl_is_that_of_the_last_export(run, tmp_path):
    run("export", "deals", "--format", "parquet")
    (newer,) = run("export", "deals", "--format", "parquet")[1]["exports"]
    code, document = run("lake", "ddl", "deals")
    assert code == 0
    assert newer["export_id"] in document["key"]
    assert "`amount` decimal(28,2)" in document["ddl"]


def test_ddl_of_a_module_that_is_not_in_the_lake_says_how_it_gets_there(run):
    code, document = run("lake", "ddl", "leads")
    assert (code, document["error"]["code"]) == (1, "NOT_IN_LAKE")
    assert "crm-export lake write" in document["error"]["remedy"]


def test_calendar_does_not_become_parquet(run):
    run("export", "events", "--format", "ics")
    code, document = run("lake", "write", "--latest")
    assert (code, document["error"]["code"]) == (2, "USAGE")


def test_parquet_goes_neither_without_waiting_nor_without_a_folder(run, tmp_path):
    code, document = run("export", "deals", "--format", "parquet", "--no-wait")
    assert (code, "lake write" in document["error"]["remedy"]) == (2, True)
    assert run("exports", "list")[1] == {"exports": []}


def test_damaged_export_is_complete_but_reported(run, tmp_path):
    run("export", "deals")
    (part,) = tmp_path.glob("exports/*/*/*/part-00002.csv")
    part.write_bytes(part.read_bytes()[:-1000])
    code, document = run("lake", "write", "--latest")
    assert (code, document["error"]["code"]) == (1, "RECORD_COUNT_MISMATCH")
    assert "crm-export lake write" in document["error"]["remedy"]
    assert not list(tmp_path.glob("lake/account_id=*/*/*/manifest.json"))
