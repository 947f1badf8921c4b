"""`crm-export` on the local stack: exports, and what Zoho and the stack have."""

import json
import os
from pathlib import Path

import pytest

from crm_export_cli.main import main


@pytest.fixture
def run(stack, tmp_path, capsys, monkeypatch):
    """Run a command on the stack; return exit code, the JSON document and stderr."""
    state_file = tmp_path / "stack.json"
    stack.state.write(state_file)
    for name in [name for name in os.environ if name.startswith(("AWS_", "CRM_EXPORT_"))]:
        monkeypatch.delenv(name)

    def run_it(*arguments, account="acct-1"):
        where = ("--local", "--state-file", str(state_file), "--account", account)
        code = main([*arguments, *where, "--json"])
        written = capsys.readouterr()
        return code, json.loads(written.out), written.err

    return run_it


def test_export_is_started_watched_downloaded_and_verified(run, tmp_path, capsys):
    code, out, err = run("export", "deals", "contacts", "--to", str(tmp_path / "out"))
    assert code == 0, (out, err)
    deals, contacts = out["exports"]
    assert (deals["records"], contacts["records"], len(contacts["parts"])) == (120, 450, 3)
    assert deals["run_id"] == contacts["run_id"] is not None
    _, listed, _ = run("exports", "list", "--run", deals["run_id"])
    assert {export["export_id"] for export in listed["exports"]} == {
        deals["export_id"],
        contacts["export_id"],
    }
    assert main(["exports", "verify", str(tmp_path / "out"), "--json"]) == 0
    verified = json.loads(capsys.readouterr().out)["exports"]
    assert sorted(export["records"] for export in verified) == [120, 450]
    assert not list((tmp_path / "out").rglob("*.part"))


def test_interrupted_download_continues_and_wrong_bytes_are_fetched_again(run, tmp_path):
    _, out, _ = run("export", "contacts")
    export_id = out["exports"][0]["export_id"]
    code, out, _ = run("exports", "download", export_id, "--to", str(tmp_path / "a"))
    assert code == 0
    folder = Path(out["exports"][0]["folder"])
    right = {path.name: path.read_bytes() for path in folder.iterdir()}
    first, second, third = sorted(folder.glob("part-*"))
    first.with_name(f"{first.name}.part").write_bytes(first.read_bytes()[:100])
    first.unlink()
    second.with_name(f"{second.name}.part").write_bytes(b"x" * 100)
    second.unlink()
    third.write_bytes(b"y" + third.read_bytes()[1:])
    code, _, _ = run("exports", "download", export_id, "--to", str(tmp_path / "a"))
    assert code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == right


def test_export_of_a_stack_is_downloaded_and_written_as_parquet(run, tmp_path):
    code, out, err = run("export", "deals", "--format", "parquet", "--to", str(tmp_path / "out"))
    assert code == 0, (out, err)
    (lake,) = (export["lake"] for export in out["exports"])
    assert (lake["rows"], len(list(Path(lake["folder"]).glob("*.parquet")))) == (120, 1)
    code, out, _ = run("lake", "ddl", "deals")
    assert (code, out["error"]["code"]) == (1, "NOT_IN_LAKE")


def test_running_export_is_cancelled_and_leaves_no_object(run, stack):
    stack.zoho("PATCH", "config", {"in_progress_seconds": 60})
    _, out, _ = run("export", "contacts", "--no-wait")
    export_id = out["exports"][0]["export_id"]
    code, out, _ = run("exports", "cancel", export_id)
    stack.zoho("PATCH", "config", stack.defaults)
    assert (code, out["state"]) == (0, "CANCELLED")
    assert run("exports", "cancel", export_id)[0] == 0
    code, out, _ = run("exports", "watch", export_id)
    assert (code, out["exports"][0]["state"]) == (1, "CANCELLED")
    assert stack.keys(export_id) == []
    code, out, _ = run("exports", "retry", export_id)
    assert (code, out["exports"][0]["state"]) == (0, "COMPLETED")
    code, out, _ = run("exports", "cancel", out["exports"][0]["export_id"])
    assert (code, out["error"]["code"]) == (1, "EXPORT_NOT_CANCELLABLE")


@pytest.mark.parametrize(
    "command", [("export", "contacts"), ("export", "--all"), ("page", "contacts"), ("modules",)]
)
def test_account_without_connection_exits_with_4(run, command):
    code, out, _ = run(*command, account="nobody")
    assert (code, out["error"]["code"]) == (4, "CONNECTION_NOT_FOUND")


def test_modules_fields_and_all_pages_are_seen_through_the_stack(run):
    code, out, _ = run("modules")
    read_with = {module["api_name"]: module["read_with"] for module in out["modules"]}
    assert (code, read_with["Contacts"], read_with["Notes"]) == (0, "Bulk Read", "records API")
    code, out, _ = run("fields", "cases")
    bulk_read = {field["api_name"]: field["bulk_read"] for field in out["fields"]}
    assert (code, bulk_read["Subject"], bulk_read["Comments"]) == (0, True, False)
    code, out, _ = run("page", "contacts", "--fields", "Last_Name", "--all-pages")
    assert (code, len({record["id"] for record in out["data"]})) == (0, 450)


def test_all_exports_the_modules_of_the_stack_and_lists_the_refused_ones(run):
    code, out, err = run("export", "--all", "--no-wait", "--where", "Closing_Date > '2100-01-01'")
    assert code == 3, (out, err)
    assert "Deals" in {export["module"] for export in out["exports"]}
    refused = {module["module"]: module["message"] for module in out["refused"]}
    assert "Closing_Date" in refused["Contacts"]


def test_sync_is_created_run_shown_and_deleted(run, tmp_path):
    """It is disabled, so that only this test starts runs."""
    code, put, err = run("sync", "put", "deals", "--every", "6h", "--disabled")
    assert (code, put["state"], put["every"]) == (0, "DISABLED", "6h"), err
    code, out, err = run("sync", "run", "deals", "nosuch", "--to", str(tmp_path / "out"))
    (export,) = out["exports"]
    assert (code, export["records"], export["sync"]["reason"]) == (3, 120, "first"), (out, err)
    assert (Path(export["folder"]) / "manifest.json").exists()
    assert [(refused["module"], refused["code"]) for refused in out["refused"]] == [
        ("nosuch", "SYNC_NOT_FOUND")
    ]
    code, shown, _ = run("sync", "show", "deals")
    assert (code, shown["last_run"]["export_id"]) == (0, export["export_id"])
    code, out, _ = run("sync", "run", "deals", "--no-wait")
    assert (code, out["exports"][0]["sync"]["reason"]) == (0, "requested")
    assert shown["module"] in [listed["module"] for listed in run("sync", "list")[1]["syncs"]]
    assert run("sync", "delete", "deals")[:2] == (0, {"module": "Deals"})
    code, out, _ = run("sync", "run", "deals")
    assert (code, out["refused"][0]["code"]) == (3, "SYNC_NOT_FOUND")


def test_doctor_of_the_local_stack_finds_nothing(run):
    code, out, err = run("doctor")
    found = {finding["check"]: finding["state"] for finding in out["findings"]}
    assert code == 0, (out, err)
    assert found.pop("dead-letter")  # other tests of this stack may have left some
    assert found == dict.fromkeys(
        ("functions", "callback", "connection", "token", "clock", "scopes", "credits"), "ok"
    )


def test_doctor_of_an_account_without_connection_exits_with_4(run):
    code, out, _ = run("doctor", account="nobody")
    (error,) = [finding for finding in out["findings"] if finding["state"] == "error"]
    assert (code, error["check"]) == (4, "connection")
    assert error["remedy"]


def test_exports_of_another_account_are_not_found(run):
    _, out, _ = run("export", "deals")
    export_id = out["exports"][0]["export_id"]
    code, out, _ = run("exports", "show", export_id, account="nobody")
    assert (code, out["error"]["code"]) == (1, "EXPORT_NOT_FOUND")


@pytest.fixture
def by_name(stack, run, monkeypatch, capsys):
    """Run a command that looks for a stack by its name, with credentials of the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": stack.state.aws_endpoint_url,
        "AWS_ENDPOINT_URL_LAMBDA": stack.state.control_url,
        "AWS_DEFAULT_REGION": stack.state.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "CRM_EXPORT_ACCOUNT": "acct-1",
        "CRM_EXPORT_OWNER": "user-1",
    }.items():
        monkeypatch.setenv(name, value)

    def run_it(*arguments):
        code = main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run_it


def test_unknown_stack_is_reported_with_a_remedy(by_name):
    code, out = by_name("exports", "list", "--stack", "nosuch")
    assert (code, out["error"]["code"]) == (1, "AWS_REFUSED")
    assert "nosuch" in out["error"]["message"]
    code, out = by_name("doctor", "--stack", "nosuch")
    assert (code, [finding["check"] for finding in out["findings"]]) == (1, ["stack"])


def test_missing_state_file_is_reported_with_a_remedy(by_name, tmp_path):
    code, out = by_name("exports", "list", "--local", "--state-file", str(tmp_path / "x"))
    assert (code, out["error"]["code"]) == (2, "STACK_NOT_FOUND")
    assert "make local" in out["error"]["remedy"]
