"""`crm-export export MODULE... --to DIR` and `exports resume`, against the Zoho simulator."""

import csv
import gzip
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from crm_export.system import MACHINE, System, utc_now
from crm_export_cli.exits import CliError
from crm_export_cli.folder import ACCOUNT, OWNER
from crm_export_cli.folder.backend import FolderBackend
from crm_export_cli.folder.errors import FolderFull
from crm_export_cli.folder.wiring import Folder, FolderSettings, connections_of
from crm_export_cli.main import main
from zoho_simulator.http.server import Simulator, SimulatorConfig, start_simulator

FAST = ("--downloads-per-minute", "1000")
SECRET = "folder-secret"


@dataclass
class Zoho:
    """The simulator, and a folder that is connected to it."""

    simulator: Simulator
    root: Path
    seconds_later: float = 0.0

    def now(self):
        return time.time() + self.seconds_later

    def settings(self, **more):
        """Return settings with the clock of this test."""
        system = System(
            now=lambda: utc_now() + timedelta(seconds=self.seconds_later),
            epoch=self.now,
            sleep=MACHINE.sleep,
        )
        return FolderSettings(downloads_per_minute=1000, system=system, **more)

    @contextmanager
    def backend(self):
        with FolderBackend.open(self.root, self.settings()) as backend:
            yield backend

    def folder_of(self, export_id):
        (folder,) = self.root.glob(f"exports/account_id={ACCOUNT}/module=*/export_id={export_id}")
        return folder

    def requests(self, path, method="GET"):
        return len(self.simulator.journal.requests(path, method))


@pytest.fixture
def zoho(tmp_path):
    config = SimulatorConfig(
        client_secret=SECRET,
        records={"Contacts": 1050, "Events": 150, "Notes": 250},
        records_per_job=400,
        downloads_per_minute=0,
        tokens_per_window=1000,
        added_seconds=0.0,
        queued_seconds=0.1,
        in_progress_seconds=0.2,
    )
    clock = []
    with start_simulator(config, clock=lambda: clock[0].now() if clock else time.time()) as simulator:
        zoho = Zoho(simulator, tmp_path / "out")
        clock.append(zoho)
        connect(zoho)
        yield zoho


def connect(zoho, **changes):
    url = zoho.simulator.url
    token = {
        "refresh_token": "1000.local.refresh",
        "client_id": zoho.simulator.config.client_id,
        "client_secret": SECRET,
        "api_domain": url,
        "accounts_server": url,
        **changes,
    }
    with Folder.open(zoho.root) as folder:
        folder.connections((url,)).put(ACCOUNT, OWNER, token)


@pytest.fixture
def run(capsys, zoho):
    """Run a command on the folder; return its exit code, stdout and stderr."""

    def run_it(*arguments):
        code = main([*arguments, "--to", str(zoho.root)])
        written = capsys.readouterr()
        assert SECRET not in written.out + written.err
        return code, written.out, written.err

    return run_it


def check(zoho, export_id, records):
    """Check the files of a COMPLETED export against its manifest; return the ids of its records."""
    folder = zoho.folder_of(export_id)
    manifest = json.loads((folder / "manifest.json").read_text())
    ids = []
    for part in manifest["parts"]:
        path = zoho.root / part["key"]
        assert path.stat().st_size == part["bytes"]
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        ids += [row["Id"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert (manifest["records"], len(ids), len(set(ids))) == (records, records, records)
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", *(part["key"].rpartition("/")[2] for part in manifest["parts"])
    }  # fmt: skip
    return ids


# --- what an export leaves behind ---


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_export_of_several_parts_is_complete(run, zoho, file_format):
    code, out, err = run("export", "contacts", "--format", file_format, "--json", *FAST)
    assert code == 0, err
    (export,) = json.loads(out)["exports"]
    assert (export["state"], export["records"], len(export["parts"])) == ("COMPLETED", 1050, 3)
    check(zoho, export["export_id"], 1050)


def test_manifest_has_the_witness_and_the_fields(run, zoho):
    _, out, _ = run("export", "contacts", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    manifest = json.loads((zoho.folder_of(export["export_id"]) / "manifest.json").read_text())
    assert (manifest["witness"]["before"], manifest["witness"]["verdict"]) == (1050, "exact")
    assert export["witness"] == manifest["witness"]
    assert {"api_name": "Email", "data_type": "email"}.items() <= next(
        field.items() for field in manifest["fields"] if field["api_name"] == "Email"
    )


def test_command_says_if_records_are_missing(run, zoho):
    zoho.simulator.fault(method="POST", path="/read$", job={"omitted_rows": 3}, times=1)
    code, out, err = run("export", "contacts", *FAST)
    assert (code, "1,047 records" in out) == (0, True)
    assert "warning: Contacts: The export has 1047 records; Zoho counted 1050" in " ".join(err.split())


def test_module_without_bulk_read_is_read_through_the_records_api(run, zoho):
    code, out, _ = run("export", "notes", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    assert (code, export["source"], export["records"]) == (0, "records", 250)
    check(zoho, export["export_id"], 250)


def test_events_are_exported_as_a_calendar(run, zoho):
    code, out, _ = run("export", "events", "--format", "ics", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    assert (code, export["records"]) == (0, 150)
    calendar = (zoho.folder_of(export["export_id"]) / "part-00001.ics").read_bytes()
    assert calendar.count(b"BEGIN:VEVENT") == 150


def test_fields_are_passed_on(run, zoho):
    code, out, _ = run("export", "contacts", "--fields", "Last_Name, Email", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    manifest = json.loads((zoho.folder_of(export["export_id"]) / "manifest.json").read_text())
    assert (code, manifest["query"]) == (0, {"fields": ["Last_Name", "Email"]})
    assert manifest["parts"][0]["header"] == ["Id", "Last_Name", "Email"]


def test_custom_view_is_passed_on(run, zoho):
    assert run("export", "contacts", "--cvid", "7", "--no-wait")[0] == 1  # there is no such view
    (request,) = zoho.simulator.journal.requests("/read$", "POST")
    assert json.loads(request["body"])["query"]["cvid"] == "7"


def test_job_is_created_without_a_callback(run, zoho):
    assert run("export", "contacts", *FAST)[0] == 0
    for request in zoho.simulator.journal.requests("/read$", "POST"):
        assert "callback" not in json.loads(request["body"])


def test_secrets_and_state_are_in_one_private_folder_only(run, zoho):
    assert run("export", "contacts", *FAST)[0] == 0
    state = zoho.root / ".crm-export"
    assert state.stat().st_mode & 0o777 == 0o700
    for path in zoho.root.rglob("*"):
        if path.is_file():
            is_private = state in path.parents
            assert not is_private or path.stat().st_mode & 0o777 == 0o600, path
            assert is_private or SECRET.encode() not in path.read_bytes(), path
            assert path.suffix != ".tmp"
    assert SECRET not in (state / "log.jsonl").read_text()
    assert list((state / "processes").iterdir()) == []


# --- exit codes and messages ---


def test_modules_that_are_refused_are_listed_and_the_rest_is_exported(run, zoho):
    code, out, err = run("export", "nosuch", "contacts", "--json", *FAST)
    document = json.loads(out)
    assert (code, [export["state"] for export in document["exports"]]) == (3, ["COMPLETED"])
    (refused,) = document["refused"]
    assert (refused["module"], refused["code"]) == ("nosuch", "TYPE_NOT_SUPPORTED")
    assert "contacts" in refused["remedy"].lower()
    assert err.endswith("completed\n")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("nosuch",), 2, "TYPE_NOT_SUPPORTED"),
        (("contacts", "--format", "xml"), 2, "USAGE"),
        (("contacts", "--format", "ics"), 2, "QUERY_REFUSED"),
        (("contacts", "--fields", "No_Such"), 1, "ZOHO_QUERY_REFUSED"),
        (("contacts", "--no-such-option"), 2, "USAGE"),
        ((), 2, "USAGE"),
    ],
)
def test_refusal_is_one_json_document_with_its_exit_code(run, arguments, code, error):
    found, out, err = run("export", *arguments, "--json")
    document = json.loads(out)["error"]
    assert (found, document["code"], err) == (code, error, "")
    assert set(document) == {"code", "message", "remedy"}


def test_folder_without_a_connection_says_how_to_connect_and_stays_empty(tmp_path, capsys):
    root = tmp_path / "a b"
    assert main(["export", "contacts", "--to", str(root)]) == 4
    assert capsys.readouterr().err.endswith(f"Run `crm-export connect --to '{root}'`.\n")
    assert not root.exists()


def test_grant_that_zoho_refuses_is_not_connected_and_is_marked(run, zoho):
    connect(zoho, refresh_token="1000.revoked")
    code, out, _ = run("export", "contacts", "notes", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (4, "TOKEN_INVALIDATED")
    (entry,) = connections_of(zoho.root, ()).entries(None)
    assert entry.document["token_invalidated"] is True


def test_host_that_is_not_trusted_gets_no_secret(run, zoho):
    with Folder.open(zoho.root) as folder:
        (entry,) = folder.connections(()).entries(None)
        folder.connections(()).put(ACCOUNT, OWNER, entry.document["token"])
    zoho.simulator.journal.clear()
    code, _, err = run("export", "contacts")
    assert (code, "--trust-origin" in err) == (4, True)
    assert zoho.simulator.journal.requests() == []
    assert run("export", "contacts", "--trust-origin", zoho.simulator.url, *FAST)[0] == 0


def test_export_that_fails_has_its_reason_and_exit_code_1(run, zoho):
    zoho.simulator.fault(method="POST", path="/read$", job={"corrupt_crc": True})
    code, out, _ = run("export", "contacts", "--no-wait", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    assert (code, export["state"]) == (0, "RUNNING")

    def hurry(_views):
        zoho.seconds_later += 60

    with zoho.backend() as backend:
        (view,) = backend.wait([export["export_id"]], hurry)
    assert (view["state"], view["failure"]["code"]) == ("FAILED", "RESULT_CORRUPT")
    code, out, err = run("exports", "resume", export["export_id"])
    assert (code, "nothing to resume" in out, err) == (0, True, "")


def test_file_in_place_of_the_folder_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["exports", "resume", "--to", str(tmp_path / "file")]) == 0
    assert main(["connections", "list", "--account", "a", "--prefix", "x", "--mongo-uri-env"]) == 2
    capsys.readouterr()
    with pytest.raises(CliError, match="cannot be used: Not a directory"), Folder.open(tmp_path / "file"):
        pass


# --- resume ---


def test_started_export_is_resumed_and_then_there_is_nothing_to_resume(run, zoho):
    code, out, _ = run("export", "contacts", "--no-wait")
    assert (code, "To continue: crm-export exports resume 20" in out) == (0, True)
    code, out, _ = run("exports", "resume", "--latest", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    assert (code, export["state"]) == (0, "COMPLETED")
    check(zoho, export["export_id"], 1050)
    for which in ((), ("--latest",), (export["export_id"],)):
        assert run("exports", "resume", *which, "--json") == (
            0,
            '{\n  "exports": [],\n  "refused": []\n}\n',
            "",
        )


def test_resume_of_an_unknown_export_is_refused(run):
    code, _, err = run("exports", "resume", "20260101T000000Z-0123456789abcdef")
    assert (code, "has no export 2026" in err) == (1, True)


def test_resume_after_a_day_reads_everything_again_as_one_snapshot(run, zoho):
    """Results and page tokens have expired: the parts that are stored belong to an older snapshot."""
    with zoho.backend() as backend:
        export_id = backend.start("contacts", {})["export_id"]

        def interrupt(views):
            if any(part["state"] == "STORED" for part in views[0]["parts"]):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            backend.wait([export_id], interrupt)
        assert backend.running() == [export_id]
    zoho.seconds_later = 25 * 3600

    def hurry(_views):
        zoho.seconds_later += 60

    with zoho.backend() as backend:
        (view,) = backend.wait([export_id], hurry)
    assert (view["state"], view["records"]) == ("COMPLETED", 1050)
    assert view["generation"] == 2
    check(zoho, export_id, 1050)


def test_export_past_its_deadline_fails(zoho):
    with zoho.backend() as backend:
        export_id = backend.start("contacts", {})["export_id"]
    zoho.simulator.config.patch({"in_progress_seconds": 1e9})
    zoho.seconds_later = 11 * 24 * 3600
    with zoho.backend() as backend:
        (view,) = backend.wait([export_id], lambda _views: None)
    assert (view["state"], view["failure"]["code"]) == ("FAILED", "DEADLINE_EXCEEDED")


def test_full_disk_ends_the_command_and_the_export_stays_resumable(run, zoho, monkeypatch):
    """The first part fits on the disk."""
    sync, synced = os.fsync, []

    def fsync(descriptor):
        synced.append(descriptor)
        if len(synced) > 3:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        code, out, _ = run("export", "contacts", "--json", *FAST)
    error = json.loads(out)["error"]
    assert (code, error["code"]) == (1, "FOLDER_FULL")
    assert "exports resume 20" in error["remedy"]
    code, out, _ = run("exports", "resume", "--json", *FAST)
    (export,) = json.loads(out)["exports"]
    assert (code, export["state"], export["generation"]) == (0, "COMPLETED", 1)
    check(zoho, export["export_id"], 1050)


def test_full_state_file_ends_the_command(zoho):
    with zoho.backend() as backend:
        export_id = backend.start("contacts", {})["export_id"]
        database = backend._folder.database
        database.rows("PRAGMA max_page_count = 1")
        with pytest.raises(FolderFull):
            backend.wait([export_id], lambda _views: None)
        database.rows("PRAGMA max_page_count = 100000")
    with zoho.backend() as backend:
        (view,) = backend.wait([export_id], lambda _views: None)
    assert view["state"] == "COMPLETED"


# --- processes ---


def command(zoho, *arguments):
    return [sys.executable, "-m", "crm_export_cli", *arguments, *FAST, "--to", str(zoho.root)]


def spawn(zoho, *arguments):
    return subprocess.Popen(
        command(zoho, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, seconds=30):
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def stored_parts(zoho):
    return len(list(zoho.root.rglob("part-*.csv")))


@pytest.mark.process
@pytest.mark.parametrize(
    ("killed_after", "records", "records_per_job"), [(0, 1050, 400), (1, 200_100, 50_000), (2, 1050, 400)]
)
def test_killed_export_is_resumed_without_loss(zoho, killed_after, records, records_per_job):
    """Killed in the first download, or after some parts; one export has more than 200,000 records."""
    zoho.simulator.config.patch({"records": {"Contacts": records}, "records_per_job": records_per_job})
    if not killed_after:
        zoho.simulator.fault(method="GET", path="/result", delay=60, times=1)
    with spawn(zoho, "export", "contacts") as child:
        wait_for(lambda: zoho.requests("/result") and stored_parts(zoho) >= killed_after)
        child.kill()
    done = subprocess.run(command(zoho, "exports", "resume", "--json"), capture_output=True, check=False)
    (export,) = json.loads(done.stdout)["exports"]
    assert (done.returncode, export["state"], export["generation"]) == (0, "COMPLETED", 1)
    check(zoho, export["export_id"], records)
    # What was stored is not downloaded again: at most the transfers that the kill interrupted.
    assert zoho.requests("/result") <= len(export["parts"]) + 2


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_export_names_the_command_that_continues_it(zoho, number):
    zoho.simulator.config.patch({"in_progress_seconds": 30.0})
    with spawn(zoho, "export", "contacts") as child:
        wait_for(lambda: zoho.requests("/read$", "POST"))
        wait_for(lambda: b"waiting" in os.read(child.stderr.fileno(), 1000))
        child.send_signal(number)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (130, "")
    assert err.startswith("error: Interrupted. Nothing is lost. To continue: crm-export exports resume 20")
    assert err.endswith(f" --to {zoho.root}\n")


@pytest.mark.process
def test_work_of_a_killed_process_is_taken_over_by_one_that_runs(zoho):
    """The lease of the killed one would last 90 seconds."""
    zoho.simulator.fault(method="GET", path="/result", delay=60, times=1)
    with spawn(zoho, "export", "contacts") as first:
        wait_for(lambda: zoho.requests("/result"))
        with spawn(zoho, "exports", "resume", "--json") as second:
            wait_for(lambda: stored_parts(zoho) == 2)
            first.kill()
            began = time.monotonic()
            out, _ = second.communicate(timeout=60)
            assert time.monotonic() - began < 45  # well below the lease; 1 to 2 seconds on an idle machine
    (export,) = json.loads(out)["exports"]
    assert (export["state"], export["generation"]) == ("COMPLETED", 1)
    check(zoho, export["export_id"], 1050)


HOLD_A_PART = """
import sys, time
from datetime import timedelta
from pathlib import Path
from crm_export.system import utc_now
from crm_export_cli.folder.wiring import Folder

with Folder.open(Path(sys.argv[1])) as folder:
    table, later = folder.table(), utc_now() + timedelta(hours=1)
    assert table.claim(table.get_part(sys.argv[2], 1), "holder", later, later + timedelta(hours=1))
    print("holds", flush=True)
    time.sleep(600)
"""


@pytest.mark.process
def test_part_of_a_killed_process_is_taken_over_long_before_its_lease_ends(zoho):
    """The operating system frees the killed process's lock, and the worker looks at it every second.

    Neither the lease nor the next look at Zoho's job would be over within an hour.
    """
    with zoho.backend() as backend:
        export_id = backend.start("events", {})["export_id"]
        command = [sys.executable, "-c", HOLD_A_PART, str(zoho.root), export_id]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "holds\n"
            killed_at, owners = [], []

            def look(_views):
                owners.append(backend._folder.table().get_part(export_id, 1).lease_owner)
                if len(owners) == 3:
                    holder.kill()
                    killed_at.append(time.monotonic())
                assert len(owners) < 3 or time.monotonic() < killed_at[0] + 30  # about a second when idle

            (view,) = backend.wait([export_id], look)
    assert owners[:3] == ["holder"] * 3
    assert (view["state"], view["records"]) == ("COMPLETED", 150)


@pytest.mark.process
def test_processes_share_one_folder_without_harm(zoho):
    with zoho.backend() as backend:
        export_ids = [backend.start("contacts", {})["export_id"] for _ in range(2)]
    children = [spawn(zoho, "exports", "resume", "--json") for _ in range(3)]
    outputs = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    for export_id in export_ids:
        check(zoho, export_id, 1050)
    for output in outputs:
        assert all(export["state"] == "COMPLETED" for export in json.loads(output)["exports"])
    assert zoho.requests("/result") == 6


@pytest.mark.process
def test_state_of_a_killed_process_is_readable(zoho):
    with spawn(zoho, "export", "contacts") as child:
        wait_for(lambda: stored_parts(zoho))
        child.kill()
    with sqlite3.connect(zoho.root / ".crm-export" / "state.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


# --- exports list, show, cancel, retry, download, verify ---


def test_export_is_listed_shown_and_verified_until_a_byte_changes(run, zoho, capsys):
    _, out, _ = run("export", "contacts", "events", "--json", *FAST)
    exports = json.loads(out)["exports"]
    export_id = exports[0]["export_id"]
    _, out, _ = run("exports", "list", "--run", exports[0]["run_id"], "--json")
    assert {export["export_id"] for export in json.loads(out)["exports"]} == {
        export["export_id"] for export in exports
    }
    code, out, _ = run("exports", "show", export_id)
    assert (code, "part 3        STORED" in out) == (0, True)
    assert run("exports", "download", export_id)[0] == 0
    assert run("exports", "verify")[0] == 0
    file = zoho.folder_of(export_id) / "part-00002.csv"
    content = file.read_bytes()
    file.write_bytes(content[:-2] + b"x\n")
    code, out, _ = run("exports", "verify", export_id, "--json")
    (checked,) = json.loads(out)["exports"]
    assert code == 1
    assert checked["problems"][0].startswith("part-00002.csv has other CRC32 than the manifest says")
    file.write_bytes(content[:-2])
    assert "part-00002.csv has" in run("exports", "verify", export_id)[1]
    file.unlink()
    assert "part-00002.csv is missing" in run("exports", "verify", export_id)[1]


def test_export_is_cancelled_in_a_folder_and_started_again(run, zoho):
    _, out, _ = run("export", "contacts", "--no-wait", "--json", *FAST)
    export_id = json.loads(out)["exports"][0]["export_id"]
    assert run("exports", "cancel", "--latest")[0] == 0
    assert run("exports", "cancel", export_id)[0] == 0
    assert run("exports", "resume")[1] == f"There is nothing to resume in {zoho.root}.\n"
    assert not list(zoho.root.glob("exports/**/part-*"))
    code, out, _ = run("exports", "retry", export_id, "--json")
    (export,) = json.loads(out)["exports"]
    assert (code, export["records"]) == (0, 1050)
    code, out, _ = run("exports", "retry", export["export_id"], "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "USAGE")
    code, out, _ = run("exports", "cancel", export["export_id"], "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "EXPORT_NOT_CANCELLABLE")


@pytest.mark.parametrize(
    "arguments",
    [
        ("exports", "show"),
        ("exports", "show", "x", "--latest"),
        ("exports", "list", "--stack", "s", "--local"),
        ("exports", "list", "--stack", "s"),
        ("export", "contacts", "--local", "--format", "csv.gz"),
    ],
)
def test_contradictory_or_missing_options_are_wrong_usage(run, zoho, arguments):
    run("export", "events", "--no-wait", *FAST)
    code, out, _ = run(*arguments, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "USAGE")
