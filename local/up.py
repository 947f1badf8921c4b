"""`python -m local up`: the stack, until somebody ends it."""

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from local.stack.errors import StateError
from local.stack.logs import LogFollower
from local.stack.stack import Stack, StackOptions
from local.stack.state import State, running_state


def up(options: argparse.Namespace) -> int:
    """Start the stack, write its state file, wait for a signal, and take all of it down again."""
    path: Path = options.state_file
    if running := running_state(path):
        raise StateError(
            f"{path} belongs to a running stack (process {running.pid}, {running.api_url}); "
            "stop that one, or give another --state-file"
        )
    stack_options = StackOptions(
        logs=log_folder(path),
        port=options.port,
        zoho_url=options.zoho,
        records=options.records,
        parameters=dict(options.parameter),
        tick=options.tick,
    )
    with contextlib.ExitStack() as undo:
        if options.verbose:
            undo.enter_context(LogFollower(stack_options.logs, sys.stdout))
        stack = undo.enter_context(Stack(stack_options))
        stack.state.write(path)
        undo.callback(path.unlink, missing_ok=True)
        for resource in stack.not_made:
            print(f"note: moto could not make {resource}", file=sys.stderr)
        print(ready_message(stack.state, path, stack.startup_seconds), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                signal.pause()
        print("stopping", flush=True)
    return 0


def log_folder(state_file: Path) -> Path:
    """Return the folder for the logs of the stack behind `state_file`: beside it, and no other stack's."""
    return state_file.parent / ("logs" if state_file.name == "stack.json" else f"logs-{state_file.stem}")


def ready_message(state: State, path: Path, seconds: float) -> str:
    """Return what `up` prints when the stack can be used."""
    option = "" if path == Path(".local/stack.json") else f" --state-file {path}"
    read = f"import json; print(json.load(open('{path}'))['token'])"
    return f"""
The stack is up, after {seconds:.1f} s.

  API      {state.api_url}
  AWS      {state.aws_endpoint_url}   (AWS_ENDPOINT_URL; AWS_DEFAULT_REGION={state.region}, any credentials)
  Zoho     {state.zoho_url}
  Results  s3://{state.results_bucket}
  State    {path}
  Logs     {Path(state.logs)}

Try

  API={state.api_url}
  H="Authorization: Bearer $(.venv/bin/python -c "{read}")"
  curl -s -H "$H" "$API/v1/e/zoho/export/contacts?page=1&limit=3"
  curl -s -H "$H" -X POST "$API/v1/e/zoho/bulk-read/contacts"
  curl -s -H "$H" "$API/v1/e/zoho/bulk-read/exports"

A token for any caller: .venv/bin/python -m local token{option} --account A --owner O
Ctrl-C stops everything."""
