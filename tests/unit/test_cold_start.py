"""Import cost is cold start: each function loads only what it uses."""

import subprocess
import sys
from dataclasses import fields

import pytest

from crm_export import settings

HTTP_CLIENT, ZIP, MONGO = "requests", "isal", "pymongo"
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
        ("export_handler", "handler_zoho", settings.ExportHandlerSettings, ""),
        ("bulk_read_submitter", "submitter", settings.BulkReadSubmitterSettings, ""),
        ("callback_receiver", "receiver", settings.CallbackReceiverSettings, ""),
        ("result_downloader", "downloader", settings.ResultDownloaderSettings, ZIP),
        ("export_reconciler", "reconciler", settings.ExportReconcilerSettings, ""),
    ],
)
def test_function_loads_only_what_it_uses(function, member, kind, loaded):
    """The HTTP client is loaded with the first call of Zoho, the others only where they are needed."""
    code = BUILD.format(
        function=function,
        member=member,
        env={field.name.upper(): "1" for field in fields(kind)},
        names=[HTTP_CLIENT, ZIP, MONGO],
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == loaded.split()
