"""The packages that a child process can import."""

import os
import sys

import pytest

from local.host.processes import REPOSITORY, hide_repository


def test_editable_install_is_hidden_but_for_what_pythonpath_names(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, packages = str(REPOSITORY / "layers/crm_export"), f"{sys.prefix}/lib/site-packages"
    monkeypatch.setattr(sys, "path", [str(REPOSITORY), layer, "/usr/lib/python3", packages])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/elsewhere", layer]))
    hide_repository()
    assert sys.path == [layer, "/usr/lib/python3", packages]
