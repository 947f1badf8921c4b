"""The demo: starts a stack and shows what it does. Called by `local`."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from local.demo.starting import starting
from local.servers import StackOptions, running_servers

_LOGS = Path(".local/demo/logs")
_START_SECONDS = Path(".local/demo/start_seconds")


def demo(options: argparse.Namespace) -> int:
    """Run the demo. The exit code is 0 only if every check passed; 130 after Ctrl-C."""
    console = Console(highlight=False)
    try:
        return _run(console, options)
    except KeyboardInterrupt:
        console.print("\nStopped. Nothing is left running; `make demo` starts again.", markup=False)
        return 130


def _run(console: Console, options: argparse.Namespace) -> int:
    console.print("[bold]zoho-crm-export[/]: a whole module, from Zoho into S3, on this machine")
    console.rule("[bold]1  Deploying template.yaml, without AWS, Docker or a Zoho account", align="left")
    with ExitStack() as undo:
        _LOGS.mkdir(parents=True, exist_ok=True)
        with starting(console, _START_SECONDS) as report:
            stack_options = StackOptions(
                logs=_LOGS, zoho_url=options.zoho, parameters={"LakeOutput": "on"}, report=report
            )
            servers = undo.enter_context(running_servers(stack_options))
            from local.demo.tour import Tour  # noqa: PLC0415 - while the servers start: it takes as long
            from local.serving import serving  # noqa: PLC0415

            stack = undo.enter_context(serving(stack_options, servers))
        tour = Tour(console, stack, None if options.zoho else options.records)
        tour.show_stack()
        tour.show_page()
        tour.show_refusal()
        tour.export_contacts()
        if not options.zoho:  # another Zoho may have any number of notes
            tour.export_notes()
        tour.show_reports()
    return tour.conclude()
