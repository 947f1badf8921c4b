"""`crm-export sync` and `fold` on a folder, against the Zoho simulator: the folded chain is what Zoho has."""

import csv
import json
import signal
import subprocess
import time
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pytest

from crm_export.sync.fold import fold, read_chain
from crm_export_cli.folder import ACCOUNT
from crm_export_cli.folder.wiring import Folder
from crm_export_cli.main import main
from tests.functional.test_folder import FAST, Zoho, command, connect, spawn, wait_for
from tests.support.pages import blocks_of
from zoho_simulator.http.server import SimulatorConfig, start_simulator

SMALL = {"Contacts": 60, "Notes": 30, "Deals": 40}
DAY = 86_400
COMPUTED = {"Parent_Id.module"}


@pytest.fixture
def zoho(tmp_path):
    config = SimulatorConfig(
        client_secret="folder-secret",
        records=dict(SMALL),
        deleted={},
        downloads_per_minute=0,
        tokens_per_window=1000,
        added_seconds=0.0,
        queued_seconds=0.0,
        in_progress_seconds=0.0,
    )
    clock = []
    with start_simulator(config, clock=lambda: clock[0].now() if clock else time.time()) as simulator:
        zoho = Zoho(simulator, tmp_path / "out")
        clock.append(zoho)
        connect(zoho)
        yield zoho


@pytest.fixture
def run(capsys, zoho):
    """Run a command on the folder; return its exit code, the JSON document on stdout, and stderr."""

    def run_it(*arguments):
        code = main([*arguments, "--to", str(zoho.root), "--json"])
        written = capsys.readouterr()
        return code, json.loads(written.out), written.err

    return run_it


@pytest.fixture
def sync(zoho):
    return lambda module: Sync(zoho, module)


@dataclass
class Sync:
    """A module that is kept current in the folder; time passes quickly while a run lasts."""

    zoho: Zoho
    module: str

    def put(self, **body):
        with self.zoho.backend() as backend:
            return backend.put_sync(self.module, body)

    def shown(self):
        with self.zoho.backend() as backend:
            return backend.sync(self.module)

    def tick(self):
        """Run what is due; return the exports."""
        with self.zoho.backend() as backend:
            started, blocked = backend.start_due()
            assert blocked == []
            return self._ended(backend, started)

    def run(self, kind="changes"):
        """Run once; return what the run found."""
        with self.zoho.backend() as backend:
            (view,) = self._ended(backend, [backend.start_run(self.module, kind)["export_id"]])
        return view["sync"] | {"records": view["records"]}

    def _ended(self, backend, export_ids):
        def hurry(_views):
            self.zoho.seconds_later += 2
            backend._worker.wake()

        views = backend.wait(export_ids, hurry)
        assert [view["state"] for view in views] == ["COMPLETED"] * len(export_ids)
        return views

    def change(self, **change):
        self.zoho.seconds_later += 10
        return self.zoho.simulator.organisation.changes.apply(self.module, change)

    def folded(self):
        """Return the columns and the current rows of the chain, by id."""
        with Folder.open(self.zoho.root) as folder:
            chain = fold(folder.results(), read_chain(folder.results(), ACCOUNT, self.module))
            rows = {row[0]: tuple(row) for row in chain.rows}
        return chain.header, rows

    def truth(self, header):
        """Return the rows that Zoho has, by id; a column of the records API only is empty."""
        changes = self.zoho.simulator.organisation.changes
        module = changes.module(self.module)
        living = module.living(changes.total(self.module))
        names = ["id" if name == "Id" else name for name in header]
        columns = [
            module.columns[name].texts(living) if name in module.columns else [""] * len(living)
            for name in names
        ]
        return {row[0]: row for row in zip(*columns, strict=True)}

    def is_current(self):
        header, rows = self.folded()
        computed = [place for place, name in enumerate(header) if name in COMPUTED]
        shown = {
            record_id: tuple("" if place in computed else cell for place, cell in enumerate(row))
            for record_id, row in rows.items()
        }
        return shown == self.truth(header)


# --- the chain ---


def test_chain_follows_creations_changes_and_deletions(sync):
    contacts = sync("Contacts")
    contacts.put()
    (first,) = contacts.tick()
    assert (first["sync"]["kind"], first["sync"]["reason"], first["records"]) == ("full", "first", 60)
    assert contacts.is_current()
    contacts.change(create=3, modify=2, delete=2, purge=1)
    found = contacts.run()
    assert (found["kind"], found["records"], found["deleted"]) == ("changes", 5, 3)
    assert contacts.is_current()
    found = contacts.run("full")
    assert (found["kind"], found["drift"]) == ("full", {"inserted": 0, "updated": 0, "deleted": 0})
    assert contacts.is_current()


def test_record_that_is_restored_with_a_new_time_is_back_at_the_next_run(zoho, sync):
    zoho.simulator.config.patch({"restore_moves_modified_time": True})
    contacts = sync("Contacts")
    contacts.put()
    contacts.tick()
    deleted = contacts.change(delete=2)["deleted"]
    contacts.run()
    assert contacts.is_current()
    contacts.change(restore=deleted[:1], modify=1)
    contacts.run()
    assert deleted[0] in contacts.folded()[1]
    assert contacts.is_current()


def test_record_that_is_restored_without_a_new_time_is_found_by_the_audit(zoho, sync):
    zoho.simulator.config.patch({"restore_moves_modified_time": False})
    contacts = sync("Contacts")
    contacts.put()
    contacts.tick()
    deleted = contacts.change(delete=2)["deleted"]
    contacts.run()
    contacts.change(restore=deleted[:1])
    contacts.run()
    assert not contacts.is_current()
    assert contacts.run("full")["drift"] == {"inserted": 1, "updated": 0, "deleted": 0}
    assert contacts.is_current()


def test_what_moves_no_time_is_found_by_the_audit(sync):
    deals = sync("Deals")
    deals.put()
    deals.tick()
    deals.change(drift=3)
    deals.run()
    assert not deals.is_current()
    assert deals.run("full")["drift"] == {"inserted": 0, "updated": 3, "deleted": 0}
    assert deals.is_current()


def test_module_without_deleted_records_is_always_read_in_full(sync):
    notes = sync("Notes")
    notes.put()
    notes.tick()
    changed = notes.change(create=2, modify=1, delete=3)
    found = notes.run()
    assert (found["kind"], found["reason"], found["records"]) == ("full", "deletes_unreadable", 29)
    assert not set(changed["deleted"]) & set(notes.folded()[1])
    assert notes.is_current()


def test_pause_of_a_day_is_made_up_for_by_one_run_in_the_rhythm(zoho, sync):
    contacts = sync("Contacts")
    contacts.put(every="1h")
    contacts.tick()
    due = contacts.shown()["next_run_at"]
    contacts.change(modify=4, delete=1)
    zoho.seconds_later += DAY + 600
    (view,) = contacts.tick()
    assert (view["sync"]["kind"], view["records"], view["sync"]["deleted"]) == ("changes", 4, 1)
    following = contacts.shown()["next_run_at"]
    assert following[13:] == due[13:]
    assert following > view["requested_at"]
    assert contacts.tick() == []
    assert contacts.is_current()


# --- commands ---


def test_sync_is_created_shown_listed_run_and_deleted(run, zoho):
    code, put, _ = run("sync", "put", "contacts", "--every", "15m", "--full-every", "never")
    assert (code, put["module"], put["every"], put["full_every"]) == (0, "Contacts", "15m", "never")
    code, out, _ = run("sync", "run", *FAST)
    (export,) = out["exports"]
    assert (code, out["refused"], export["sync"]["kind"], export["records"]) == (0, [], "full", 60)
    assert run("sync", "run") == (0, {"exports": [], "refused": []}, "")
    code, shown, _ = run("sync", "show", "contacts")
    assert (code, shown["state"], shown["last_run"]["export_id"]) == (0, "IDLE", export["export_id"])
    assert run("sync", "list")[1] == {"syncs": [shown]}
    listed = run("exports", "list")[1]["exports"]
    assert [view["sync"]["reason"] for view in listed] == ["first"]
    assert run("sync", "delete", "contacts")[:2] == (0, {"module": "Contacts"})
    code, out, _ = run("sync", "show", "contacts")
    assert (code, out["error"]["code"]) == (1, "SYNC_NOT_FOUND")
    assert "sync put" in out["error"]["remedy"]


def test_query_of_a_sync_is_that_of_an_export(run, zoho):
    run("sync", "put", "contacts", "--fields", "Last_Name,Email", "--where", "Last_Name starts with 'A'")
    _, shown, _ = run("sync", "put", "contacts", "--every", "2h")
    assert shown["query"]["fields"] == ["Last_Name", "Email", "Modified_Time"]
    assert shown["query"]["criteria"]["comparator"] == "starts_with"
    assert run("sync", "run", *FAST)[0] == 0
    (request,) = zoho.simulator.journal.requests("/read$", "POST")
    assert json.loads(request["body"])["query"]["criteria"] == shown["query"]["criteria"]


def test_disabled_sync_is_not_due_but_runs_on_request(run, zoho):
    _, shown, _ = run("sync", "put", "contacts", "--disabled")
    assert (shown["state"], shown["next_run_at"]) == ("DISABLED", None)
    assert run("sync", "run")[1] == {"exports": [], "refused": []}
    code, out, _ = run("sync", "run", "contacts", *FAST)
    assert (code, len(out["exports"])) == (0, 1)
    assert run("sync", "put", "contacts", "--enabled")[1]["state"] == "IDLE"


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("put", "contacts", "--every", "5m"), 2, "INVALID_REQUEST"),
        (("put", "contacts", "--where", "Amount >"), 2, "WHERE_INVALID"),
        (("put", "nosuch"), 2, "TYPE_NOT_SUPPORTED"),
        (("delete", "contacts"), 1, "SYNC_NOT_FOUND"),
        (("run", "--full"), 2, "USAGE"),
        (("run", "--local", "--account", "a", "--owner", "o"), 2, "USAGE"),
        (("run", "--overlap-minutes", "-1"), 2, "USAGE"),
    ],
)
def test_refused_commands_have_their_exit_code_and_reason(run, arguments, code, error):
    found, out, _ = run("sync", *arguments)
    assert (found, out["error"]["code"]) == (code, error)


def test_folder_without_a_connection_says_how_to_connect(tmp_path, capsys):
    for arguments in (("sync", "put", "contacts"), ("sync", "run")):
        assert main([*arguments, "--to", str(tmp_path / "other")]) == 4
        assert "crm-export connect" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_grant_that_zoho_refuses_blocks_the_sync_and_exits_with_4(run, zoho):
    run("sync", "put", "contacts")
    connect(zoho, refresh_token="1000.revoked")
    code, out, _ = run("sync", "run")
    assert (code, [refused["code"] for refused in out["refused"]]) == (4, ["TOKEN_INVALIDATED"])
    assert run("sync", "show", "contacts")[1]["blocked"]["code"] == "TOKEN_INVALIDATED"
    connect(zoho)
    assert run("sync", "run", "contacts", *FAST)[0] == 0
    assert run("sync", "show", "contacts")[1]["state"] == "IDLE"


def test_runs_wait_when_the_share_of_the_credits_is_spent(run, zoho):
    run("sync", "put", "contacts")
    run("sync", "put", "notes", "--disabled")
    assert run("sync", "run", *FAST)[0] == 0
    zoho.simulator.config.patch({"credits": 100})
    code, out, _ = run("sync", "run", "notes", *FAST)
    (refused,) = out["refused"]
    assert (code, out["exports"], refused["code"]) == (3, [], "CREDIT_SHARE_SPENT")
    assert "--credit-share" in refused["remedy"]
    assert run("sync", "run", "notes", "--credit-share", "100", *FAST)[0] == 0


def test_named_runs_that_cannot_start_are_listed_with_the_reason(run, zoho):
    run("sync", "put", "contacts")
    code, out, _ = run("sync", "run", "nosuch", "contacts", *FAST)
    assert (code, [export["state"] for export in out["exports"]]) == (3, ["COMPLETED"])
    assert [(refused["module"], refused["code"]) for refused in out["refused"]] == [
        ("nosuch", "SYNC_NOT_FOUND")
    ]


def test_sync_has_one_run_at_a_time_and_the_next_command_continues_it(run, zoho, sync):
    run("sync", "put", "contacts")
    code, out, _ = run("sync", "run", "--no-wait")
    (started,) = out["exports"]
    assert (code, started["state"]) == (0, "RUNNING")
    code, out, _ = run("sync", "run", "contacts", "--no-wait")
    assert (code, out["refused"][0]["code"]) == (3, "RUN_IN_PROGRESS")
    assert run("sync", "show", "contacts")[1]["run"]["export_id"] == started["export_id"]
    code, out, _ = run("sync", "run", "contacts", *FAST)
    first, second = out["exports"]
    assert (code, first["export_id"], first["state"]) == (0, started["export_id"], "COMPLETED")
    assert (second["sync"]["kind"], second["sync"]["reason"]) == ("changes", "requested")
    assert sync("Contacts").is_current()


def test_cancelled_run_changes_nothing_and_the_next_one_covers_its_window(run, zoho, sync):
    contacts = sync("Contacts")
    contacts.put()
    contacts.tick()
    contacts.change(modify=2, delete=1)
    watermark = contacts.shown()["watermark"]
    _, out, _ = run("sync", "run", "contacts", "--no-wait")
    export_id = out["exports"][0]["export_id"]
    assert run("exports", "cancel", export_id)[1]["state"] == "CANCELLED"
    shown = contacts.shown()
    assert (shown["state"], shown["run"], shown["watermark"]) == ("IDLE", None, watermark)
    code, out, _ = run("exports", "retry", export_id)
    assert (code, "crm-export sync run Contacts" in out["error"]["remedy"]) == (2, True)
    assert contacts.run()["records"] == 2
    assert contacts.is_current()


def test_run_that_fails_exits_with_1_and_the_next_one_covers_its_window(run, zoho, sync):
    contacts = sync("Contacts")
    contacts.put()
    contacts.tick()
    contacts.change(modify=2)
    zoho.simulator.fault(method="GET", path="/read/[0-9]+$", error="AUTHORIZATION_FAILED", times=1)
    code, out, _ = run("sync", "run", "contacts", *FAST)
    assert (code, [export["state"] for export in out["exports"]]) == (1, ["FAILED"])
    shown = contacts.shown()
    assert (shown["state"], shown["blocked"]["export_id"]) == ("BLOCKED", out["exports"][0]["export_id"])
    assert contacts.run()["records"] == 2
    assert contacts.shown()["blocked"] is None
    assert contacts.is_current()


# --- fold ---


def test_fold_writes_the_current_rows_as_csv_in_place_of_earlier_ones(run, zoho, sync):
    contacts = sync("Contacts")
    contacts.put()
    contacts.tick()
    assert run("fold", "contacts")[1]["rows"] == 60
    contacts.change(create=1, delete=3)
    contacts.run()
    code, out, _ = run("fold", "contacts")
    path = zoho.root / "current" / "Contacts.csv"
    assert (code, out["module"], out["rows"], out["runs"], out["file"]) == (0, "Contacts", 58, 2, str(path))
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert {row[0]: tuple(row) for row in rows} == contacts.truth(header)
    assert [entry.name for entry in path.parent.iterdir()] == ["Contacts.csv"]


def test_code_of_the_page_about_syncs_folds_as_fold_does(run, zoho, sync):
    (code,) = blocks_of("sync.md", "python", "duckdb.connect")
    deals = sync("Deals")
    deals.put()
    for change in ({}, {"create": 2, "modify": 2, "delete": 2}, {"delete": 1}, {}):
        if change:
            deals.change(**change)
        deals.run()
    names = {}
    exec(code.replace('"./out"', repr(str(zoho.root))), names)  # noqa: S102
    table = names["db"].sql("SELECT * FROM current ORDER BY Id")
    rows = [
        {name: text or "" for name, text in zip(table.columns, row, strict=True)} for row in table.fetchall()
    ]
    assert run("fold", "deals")[0] == 0
    with (zoho.root / "current/Deals.csv").open(newline="") as file:
        assert rows == sorted(csv.DictReader(file), key=lambda row: row["Id"])


def test_fold_writes_typed_parquet(run, zoho, sync):
    deals = sync("Deals")
    deals.put()
    deals.tick()
    deals.change(modify=2, delete=3)
    deals.run()
    code, out, _ = run("fold", "deals", "--format", "parquet")
    path = zoho.root / "current" / "Deals.parquet"
    assert (code, out["rows"], out["file"]) == (0, 37, str(path))
    rows = duckdb.sql(f"SELECT id, amount FROM '{path}'")
    assert [str(kind) for kind in rows.types] == ["VARCHAR", "DECIMAL(28,2)"]
    truth = deals.truth(("Id", "Amount"))
    assert {row[0]: row[1] for row in rows.fetchall()} == {
        record_id: Decimal(amount) if amount else None for record_id, (_, amount) in truth.items()
    }
    assert [entry.name for entry in path.parent.iterdir()] == ["Deals.parquet"]


def test_fold_of_a_damaged_chain_leaves_the_earlier_file(run, zoho, sync):
    contacts = sync("Contacts")
    contacts.put()
    contacts.tick()
    assert run("fold", "contacts", "--output", str(zoho.root / "all.csv"))[0] == 0
    before = (zoho.root / "all.csv").read_bytes()
    (part,) = zoho.root.rglob("part-*.csv")
    part.write_bytes(b"\r\n".join(part.read_bytes().split(b"\r\n")[:9]) + b"\r\n")
    code, out, _ = run("fold", "contacts", "--output", str(zoho.root / "all.csv"))
    assert (code, out["error"]["code"]) == (1, "RECORD_COUNT_MISMATCH")
    assert (zoho.root / "all.csv").read_bytes() == before
    assert not list(zoho.root.glob(".all.csv*"))


def test_fold_without_a_complete_run_says_what_to_do(run, tmp_path):
    code, out, _ = run("fold", "contacts")
    assert (code, out["error"]["code"]) == (1, "CHAIN_BROKEN")
    assert "crm-export sync run" in out["error"]["remedy"]


# --- processes ---


@pytest.mark.process
def test_killed_run_is_continued_by_the_next_command(zoho, sync):
    contacts = sync("Contacts")
    contacts.put()
    zoho.simulator.fault(method="GET", path="/result", delay=60, times=1)
    with spawn(zoho, "sync", "run") as child:
        wait_for(lambda: zoho.requests("/result"))
        child.kill()
    done = subprocess.run(command(zoho, "sync", "run", "--json"), capture_output=True, check=False)
    (export,) = json.loads(done.stdout)["exports"]
    assert (done.returncode, export["state"], export["sync"]["reason"]) == (0, "COMPLETED", "first")
    assert zoho.requests("/read$", "POST") == 1
    assert contacts.shown()["watermark"] is not None
    assert contacts.is_current()


@pytest.mark.process
def test_two_processes_at_once_start_one_run(zoho, sync):
    contacts = sync("Contacts")
    contacts.put()
    children = [spawn(zoho, "sync", "run", "--json") for _ in range(3)]
    outputs = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    assert zoho.requests("/read$", "POST") == 1
    shown = contacts.shown()
    assert (shown["state"], shown["blocked"]) == ("IDLE", None)
    assert contacts.is_current()


@pytest.mark.process
def test_interrupted_command_names_the_one_that_continues(zoho, sync):
    sync("Contacts").put()
    zoho.simulator.config.patch({"in_progress_seconds": 30.0})
    with spawn(zoho, "sync", "run") as child:
        wait_for(lambda: zoho.requests("/read$", "POST"))
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert err.endswith(
        f"error: Interrupted. Nothing is lost. To continue: crm-export sync run --to {zoho.root}\n"
    )
