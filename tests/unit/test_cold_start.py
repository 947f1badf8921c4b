"""Import cost is cold start: each function loads only what it uses."""

import subprocess
import sys
from dataclasses import fields

import pytest

from benchmarks.coldstart import FUNCTIONS
from crm_export import settings

HTTP_CLIENT, ZIP, SYNC = "requests", "isal", "crm_export.sync"
NEVER = ("pymongo",)
BUILD = """
import importlib, sys
from crm_export.wiring import Container
importlib.import_module("functions.{function}.app")
Container({env}, aws=lambda service: None).{member}
print(*(name for name in {names} if name in sys.modules))
"""


@pytest.mark.process
@pytest.mark.parametrize(
    ("function", "member", "kind", "loaded"),
    [
        ("export_handler", "handler_zoho", settings.ExportHandlerSettings, HTTP_CLIENT),
        ("bulk_read_submitter", "submitter", settings.BulkReadSubmitterSettings, HTTP_CLIENT),
        ("callback_receiver", "receiver", settings.CallbackReceiverSettings, ""),
        ("result_downloader", "downloader", settings.ResultDownloaderSettings, f"{HTTP_CLIENT} {ZIP} {SYNC}"),
        ("export_reconciler", "reconciler", settings.ExportReconcilerSettings, SYNC),
    ],
)
def test_function_loads_only_what_it_uses(function, member, kind, loaded):
    """Only functions that call Zoho load the HTTP client, and only the downloader reads ZIPs."""
    code = BUILD.format(
        function=function,
        member=member,
        env={field.name.upper(): "1" for field in fields(kind)},
        names=[HTTP_CLIENT, ZIP, SYNC, *NEVER],
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == loaded.split()


INIT = """
import gc, importlib
from crm_export import wiring
app = importlib.import_module("functions.{function}.app")
print(",".join(wiring._lambda_container().clients), gc.isenabled(), gc.get_freeze_count())
print(*vars(wiring._lambda_container()))
"""
OF_LAMBDA = {
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "PATH": "",
}


def init(function, environment):
    """Import a function's module in a process with this environment; return what it has built.

    In Lambda everything that exists then is left out of garbage collections, which go on in any case.
    """
    run = subprocess.run(
        [sys.executable, "-c", INIT.format(function=function)],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    (clients, collects, frozen), built = (line.split(" ") for line in run.stdout.splitlines())
    assert collects == "True"
    assert (int(frozen) > 0) is ("AWS_LAMBDA_INITIALIZATION_TYPE" in environment)
    return set(filter(None, clients.split(","))), set(built)


@pytest.mark.process
@pytest.mark.parametrize(
    ("function", "member"),
    [
        ("export_handler", "handler_zoho"),
        ("bulk_read_submitter", "submitter"),
        ("callback_receiver", "receiver"),
        ("result_downloader", "downloader"),
        ("export_reconciler", "reconciler"),
    ],
)
def test_function_builds_what_it_always_uses_while_lambda_initializes_it(function, member):
    subject = FUNCTIONS[function]
    variables = {field.name.upper(): "1" for field in fields(subject.settings)}
    clients, built = init(function, OF_LAMBDA | variables)
    assert clients == set(subject.clients)
    assert member in built


@pytest.mark.process
def test_invalid_setting_is_left_to_the_invocation():
    _, built = init("export_reconciler", OF_LAMBDA)
    assert "reconciler" not in built


@pytest.mark.process
def test_nothing_is_built_outside_lambda():
    variables = {field.name.upper(): "1" for field in fields(settings.ExportReconcilerSettings)}
    environment = {name: value for name, value in OF_LAMBDA.items() if "INITIALIZATION" not in name}
    assert init("export_reconciler", environment | variables)[0] == set()


AFTER_RESTORE = """
import importlib, random
importlib.import_module("functions.export_reconciler.app")
from snapshot_restore_py import get_after_restore
state = random.getstate()
for hook, arguments, named in get_after_restore():
    hook(*arguments, **named)
print(random.getstate() != state)
"""


@pytest.mark.process
@pytest.mark.parametrize(("kind", "seeded"), [("snap-start", "True"), ("on-demand", "False")])
def test_environment_restored_from_a_snapshot_gets_random_numbers_of_its_own(kind, seeded):
    environment = {"PYTHONPATH": ":".join(sys.path), **OF_LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    run = subprocess.run(
        [sys.executable, "-c", AFTER_RESTORE], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [seeded]
