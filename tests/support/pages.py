"""Code blocks of documentation, which tests run as they are."""

import re
from pathlib import Path

from local.host.processes import REPOSITORY

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page, language, containing=""):
    """Return the code blocks of a page in docs/ that contain a text."""
    text = (REPOSITORY / "docs" / page).read_text()
    return [code for kind, code in _BLOCK.findall(text) if kind == language and containing in code]


def view_of_current_records(root: Path, account, module, bucket):
    """Run docs/lake.md's code for the current records; return its connection and the view's name."""
    (code,) = blocks_of("lake.md", "python", "_symlink_changes")
    places = 'Path("out"), "s3://my-bucket", "12345", "Contacts"'
    assert places in code
    code = code.replace(places, repr_of(root, bucket, account, module))
    namespace = {}
    exec(code, namespace)  # noqa: S102
    return namespace["database"], f"{module.lower()}_current"


def repr_of(root, bucket, account, module):
    return f"Path({str(root)!r}), {bucket!r}, {account!r}, {module!r}"
