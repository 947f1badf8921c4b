"""`crm-export page`, `modules`, `fields`, `logs`, and `export --where` and `--all`, against the simulator."""

import csv
import io
import json
import subprocess
import sys

import pytest

from crm_export.zoho.catalog import SCOPES
from crm_export_cli.backend import Backend
from crm_export_cli.exits import CliError
from crm_export_cli.exporting import _start as start_all
from crm_export_cli.folder.glance import kept_modules
from crm_export_cli.main import main
from tests.functional.test_folder import FAST, connect, run, zoho  # noqa: F401


@pytest.fixture
def crm(run):  # noqa: F811
    return run


def rows_of(zoho):  # noqa: F811
    (path,) = zoho.root.glob("exports/*/module=*/export_id=*/part-00001.csv")
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def test_page_prints_a_table_of_the_chosen_fields(crm):
    code, out, err = crm("page", "contacts", "--fields", "Last_Name,Email", "--limit", "3")
    assert code == 0, err
    assert len(out.splitlines()) == 4
    assert "Last_Name" in out.splitlines()[0]
    assert "3 records; there are more" in err


def test_page_as_json_is_one_document(crm):
    code, out, _ = crm("page", "Contacts", "--fields", "Last_Name", "--page", "2", "--json")
    document = json.loads(out)
    assert (code, len(document["data"]), document["info"]["page"]) == (0, 10, 2)


def test_all_pages_as_csv_have_every_record_once(crm):
    code, out, _ = crm("page", "contacts", "--fields", "Last_Name", "--all-pages", "--output", "csv")
    ids = [row["id"] for row in csv.DictReader(io.StringIO(out))]
    assert (code, len(ids), len(set(ids))) == (0, 1050, 1050)


def test_all_pages_as_json_are_one_document(crm):
    code, out, _ = crm("page", "events", "--fields", "Event_Title", "--all-pages", "--json")
    assert (code, len(json.loads(out)["data"])) == (0, 150)


def test_page_of_an_unknown_module_is_wrong_usage(crm):
    code, out, _ = crm("page", "unicorns", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "TYPE_NOT_SUPPORTED")


def test_modules_say_how_they_are_read_and_are_kept_for_completion(crm, zoho):  # noqa: F811
    code, out, _ = crm("modules", "--json")
    found = {module["api_name"]: module["read_with"] for module in json.loads(out)["modules"]}
    assert (code, found["Contacts"], found["Notes"]) == (0, "Bulk Read", "records API")
    assert kept_modules(zoho.root) == sorted(found)


def test_fields_have_types_and_what_bulk_read_does_not_export(crm):
    code, out, _ = crm("fields", "cases", "--json")
    found = {field["api_name"]: field for field in json.loads(out)["fields"]}
    assert (code, found["Comments"]["data_type"], found["Comments"]["bulk_read"]) == (0, "subform", False)
    assert found["Subject"]["bulk_read"]
    contacts = json.loads(crm("fields", "contacts", "--json")[1])["fields"]
    refused = {field["api_name"] for field in contacts if not field["bulk_read"]}
    assert refused == {"Mailing_Address", "Contract", "Events_Attended"}
    assert "Bulk Read does not export it" in crm("fields", "cases")[1]


def test_where_exports_only_the_matching_records(crm, zoho):  # noqa: F811
    code, out, err = crm("export", "contacts", "--where", "Email_Opt_Out = true", "--json", *FAST)
    assert code == 0, err
    (export,) = json.loads(out)["exports"]
    rows = rows_of(zoho)
    assert 0 < len(rows) == export["records"] < 1050
    assert {row["Email_Opt_Out"] for row in rows} == {"true"}


def test_where_compares_numbers(crm, zoho):  # noqa: F811
    code, _, err = crm("export", "contacts", "--where", "Lifetime_Value between 1000.5 and 50000", *FAST)
    assert code == 0, err
    assert all(1000.5 <= float(row["Lifetime_Value"]) <= 50_000 for row in rows_of(zoho))


def test_criteria_come_from_a_file(crm, tmp_path):
    file = tmp_path / "criteria.json"
    file.write_text('{"api_name": "Email_Opt_Out", "comparator": "equal", "value": true}')
    code, out, err = crm("export", "contacts", "--criteria", str(file), "--json", *FAST)
    assert code == 0, err
    assert 0 < json.loads(out)["exports"][0]["records"] < 1050


def test_criteria_from_a_file_reach_zoho_with_every_digit(crm, tmp_path, zoho):  # noqa: F811
    file = tmp_path / "criteria.json"
    value = "[12345678901234567.10, 0.10, 12345678901234567890, true]"
    file.write_text(f'{{"api_name": "Lifetime_Value", "comparator": "in", "value": {value}}}')
    crm("export", "contacts", "--criteria", str(file), "--no-wait", *FAST)
    (request,) = zoho.simulator.journal.requests("/read$", "POST")
    assert json.loads(request["body"])["query"]["criteria"]["value"] == [
        "12345678901234567.10", "0.10", 12345678901234567890, True
    ]  # fmt: skip


def test_wrong_where_shows_a_caret_and_starts_nothing(crm, zoho):  # noqa: F811
    code, _, err = crm("export", "contacts", "--where", "Amount > and X = 1")
    assert code == 2
    assert "\n  Amount > and X = 1\n           ^\n" in err
    assert zoho.requests("/crm/bulk/v8/read", "POST") == 0


def test_all_exports_the_modules_and_lists_the_refused_ones(crm, zoho):  # noqa: F811
    code, out, err = crm("export", "--all", "--no-wait", "--where", "Last_Name = 'x'", "--json", *FAST)
    document = json.loads(out)
    started = {export["module"] for export in document["exports"]}
    refused = {module["module"] for module in document["refused"]}
    assert code == 3, err
    assert "Contacts" in started
    assert "Accounts" in refused
    assert all(module["message"] for module in document["refused"])


@pytest.mark.parametrize("arguments", [["export"], ["export", "contacts", "--all"]])
def test_export_takes_modules_or_all(crm, arguments):
    code, out, _ = crm(*arguments, "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (2, "USAGE")
    assert error["remedy"]


def test_logs_show_the_lines_of_an_export_without_secrets(crm):
    _, out, _ = crm("export", "contacts", "--json", *FAST)
    export_id = json.loads(out)["exports"][0]["export_id"]
    code, out, _ = crm("logs", "--export", export_id)
    assert code == 0
    assert out
    assert all(export_id in line for line in out.splitlines())
    assert "1000.local.refresh" not in crm("logs")[1]
    assert json.loads(crm("logs", "--json")[1])["lines"]


def test_logs_of_a_folder_without_exports_are_wrong_usage(capsys, tmp_path):
    assert main(["logs", "--to", str(tmp_path)]) == 2
    assert "has no log" in capsys.readouterr().err


# --- doctor ---


def findings(out):
    return {finding["check"]: finding for finding in json.loads(out)["findings"]}


def test_doctor_of_a_working_folder_finds_nothing(crm):
    code, out, err = crm("doctor", "--json")
    found = findings(out)
    assert code == 0, err
    assert set(found) == {"permissions", "space", "connection", "clock", "token", "scopes", "credits"}
    assert "error" not in {finding["state"] for finding in found.values()}
    assert found["scopes"]["state"] == "ok"
    assert "1000.local.refresh" not in out


def test_doctor_shows_granted_scopes_in_one_line_and_each_missing_one_in_its_own(crm, zoho):  # noqa: F811
    scopes = "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL,ZohoCRM.settings.ALL"
    zoho.simulator.config.patch({"scopes": scopes})
    code, out, err = crm("doctor")
    assert code == 0, err
    shown = [line.split() for line in out.splitlines() if line[9:].startswith("scopes")]
    missing = {words[2] for words in shown if words[0] == "warning"}
    (granted,) = (words for words in shown if words[0] == "ok")
    assert int(granted[2]) + len(missing) == len(SCOPES)
    assert {"ZohoCRM.org.READ", "ZohoCRM.users.READ"} <= missing


def test_doctor_says_how_to_connect(capsys, tmp_path):
    assert main(["doctor", "--to", str(tmp_path), "--json"]) == 4
    connection = findings(capsys.readouterr().out)["connection"]
    assert (connection["state"], connection["remedy"]) == (
        "error",
        f"Run `crm-export connect --to {tmp_path}`.",
    )


def test_doctor_finds_secrets_that_others_may_read(crm, zoho):  # noqa: F811
    for path in (zoho.root / ".crm-export", zoho.root / ".crm-export" / "connections.json"):
        path.chmod(0o755)
    code, out, _ = crm("doctor", "--json")
    found = findings(out)["permissions"]
    assert (code, found["state"]) == (1, "error")
    assert "connections.json" in found["message"]
    assert found["remedy"].startswith("Run: chmod -R go= ")


def test_doctor_reports_a_connection_that_zoho_refuses(crm, zoho):  # noqa: F811
    connect(zoho, refresh_token="1000.revoked")
    code, out, _ = crm("doctor", "--json")
    token = findings(out)["token"]
    assert (code, token["state"]) == (4, "error")
    assert token["remedy"]


@pytest.mark.parametrize(
    "arguments", [["export"], ["page"], ["no-such-command"], ["exports", "resume", "x", "--latest"]]
)
def test_wrong_usage_as_json_has_a_remedy(capsys, tmp_path, arguments):
    code = main(
        [*arguments, *(["--to", str(tmp_path)] if arguments[0] != "no-such-command" else []), "--json"]
    )
    error = json.loads(capsys.readouterr().out)["error"]
    assert (code, error["code"]) == (2, "USAGE")
    assert error["message"]
    assert error["remedy"]


def test_debug_shows_the_log_without_secrets(zoho, capsys):  # noqa: F811
    code = main(["--debug", "export", "events", "--to", str(zoho.root), *FAST])
    err = capsys.readouterr().err
    assert code == 0, err
    assert "export completed" in err
    assert not any(secret in err for secret in ("1000.local", zoho.simulator.config.client_secret))


def test_ctrl_c_while_exports_are_started_prints_the_command_that_continues():
    class Interrupted(Backend):
        """The second export is interrupted while it is being started."""

        def start(self, module, body):
            if module == "deals":
                raise KeyboardInterrupt
            return {"export_id": "one"}

        def resume_command(self, export_ids):
            return f"resume {export_ids}"

    with pytest.raises(CliError) as caught:
        start_all(Interrupted(), ["contacts", "deals"], {})
    assert (caught.value.exit_code, caught.value.remedy) == (130, "To continue: resume ['one']")


def test_reader_that_goes_away_ends_the_command_quietly(zoho):  # noqa: F811
    command = ["page", "contacts", "--all-pages", "--output", "csv", "--to", str(zoho.root)]
    with subprocess.Popen(
        [sys.executable, "-m", "crm_export_cli", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(30), process.stderr.read()) == (1, b"")
