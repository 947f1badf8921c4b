"""`python -m local.cli_reference`: writes the commands' part of docs/cli.md from the commands themselves."""

import sys
from collections.abc import Iterator
from typing import Any

import typer

from crm_export_cli.main import app
from local.host.processes import REPOSITORY

PAGE = REPOSITORY / "docs/cli.md"
_MARK = "<!-- From here on `make reference` writes this page. -->\n"


def main() -> int:
    """Write the page again."""
    PAGE.write_text(rewritten(PAGE.read_text()))
    return 0


def rewritten(page: str) -> str:
    """Return the page with the commands as they are now."""
    return page.partition(_MARK)[0] + _MARK + "".join(_section(path, command) for path, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """Yield all commands, with their whole names such as "exports resume"."""
    yield from _below("", typer.main.get_command(app))


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        whole = f"{path} {name}".strip()
        yield from _below(whole, child) if hasattr(child, "commands") else [(whole, child)]


def _section(path: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    rows = "".join(f"| {_names(item)} | {_cell(item)} |\n" for item in shown)
    table = f"\n| option | meaning |\n|---|---|\n{rows}" if rows else ""
    help_text = "\n".join(
        line.rstrip() for line in (command.help or "").replace("\b", "").strip().splitlines()
    )
    return f"\n## crm-export {path}\n```text\n{help_text}\n```\n{table}"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    names = "`, `".join([*parameter.opts, *parameter.secondary_opts])
    return f"`{names}`" + (f" {parameter.metavar}" if parameter.metavar else "")


def _cell(parameter: Any) -> str:
    words = " ".join((parameter.help or "").split()).replace("|", "\\|")
    variable = getattr(parameter, "envvar", None)
    return f"{words} (variable `{variable}`)" if variable else words


if __name__ == "__main__":
    sys.exit(main())
