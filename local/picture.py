"""`python -m local.picture`: writes docs/terminal.svg, the README's picture, from a real export.

The Zoho simulator stands in for Zoho. The options that name its address are left out of the picture.
"""

import io
import os
import re
import subprocess  # nosec B404 # our own command
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from local.host.processes import REPOSITORY
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.http.server import start_simulator

PICTURE = REPOSITORY / "docs/terminal.svg"
_WIDTH = 88
_COMMANDS = (
    ("connect", "--to", "out", "--grant", "client_credentials"),
    ("export", "contacts", "deals", "notes", "--to", "out"),
)
# rich's format loads a font from a server. A picture in a README must load nothing.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> int:
    """Write the picture."""
    config = SimulatorConfig(
        records={"Contacts": 30_000, "Deals": 12_000, "Notes": 1_000}, records_per_job=10_000,
        queued_seconds=0.2, in_progress_seconds=0.4,
    )  # fmt: skip
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), highlight=False)
    with start_simulator(config) as simulator, tempfile.TemporaryDirectory() as folder:
        for command in _COMMANDS:
            console.print(Text(f"$ crm-export {' '.join(command)}", style="bold"))
            console.print(Text(_run(command, config, simulator.url, folder)))
    svg = console.export_svg(title="crm-export", code_format=_FORMAT, unique_id="terminal")
    PICTURE.write_text("".join(f"{line.rstrip()}\n" for line in svg.rstrip().splitlines()))
    print(f"wrote {PICTURE.relative_to(REPOSITORY)}")
    return 0


def _run(command: tuple[str, ...], config: SimulatorConfig, url: str, folder: str) -> str:
    """Run a command on the simulator. Return its output, without this machine's paths and addresses."""
    more = ["--trust-origin", url]
    if command[0] == "connect":
        more += ["--client-id", config.client_id, "--soid", config.soid]
        more += ["--api-domain", url, "--accounts-server", url]
    ended = subprocess.run(  # nosec B603 # our own command, no shell
        [sys.executable, "-m", "crm_export_cli", *command, *more],
        cwd=folder,
        env=os.environ | {"CRM_EXPORT_CLIENT_SECRET": config.client_secret, "COLUMNS": str(_WIDTH)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    shown = ended.stdout.replace(f" --trust-origin {url}", "").replace(url, "https://www.zohoapis.com")
    for here in (str(Path(folder).resolve()), folder):
        shown = shown.replace(f"file://{here}/", "").replace(f"{here}/", "")
    return shown


if __name__ == "__main__":
    sys.exit(main())
