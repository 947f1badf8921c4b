"""The commands `up`, `invoke` and `token`."""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from local.host.http import CLIENT
from local.host.processes import STATE_FILE, LocalStackError
from local.monitoring.alarms import AlarmWatch
from local.servers import StackOptions
from local.stack import running_stack
from local.state import State, logs_folder, running_state


def up(options: argparse.Namespace) -> int:
    """Start the stack, write its state file, wait for a signal, and stop everything."""
    path: Path = options.state_file
    if running := running_state(path):
        raise LocalStackError(
            f"{path} belongs to a running stack (process {running.pid}, {running.api_url}); "
            "stop that one, or give another --state-file"
        )
    stack_options = StackOptions(
        logs=logs_folder(path),
        port=options.port,
        host=options.host,
        zoho_url=options.zoho,
        records=options.records,
        parameters=dict(options.parameter),
        tick=options.tick,
    )
    with running_stack(stack_options) as stack, _state_file(stack.state, path):
        for resource in stack.not_made:
            print(f"note: moto could not create {resource}", file=sys.stderr)
        print(_ready_message(stack.state, path, stack.startup_seconds), flush=True)
        alarms = AlarmWatch(stack.aws, lambda line: print(line, flush=True))
        alarms.start()
        with contextlib.suppress(KeyboardInterrupt):
            while True:  # not signal.pause(): it goes on if another thread receives the signal
                time.sleep(0.5)
        alarms.stop()
        print("stopping", flush=True)
    return 0


@contextmanager
def _state_file(state: State, path: Path) -> Iterator[None]:
    state.write(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _ready_message(state: State, path: Path, seconds: float) -> str:
    local = ".venv/bin/python -m local"
    other = "" if path == STATE_FILE else f" --state-file {path}"
    return f"""
The stack is up, after {seconds:.1f} s.

  API      {state.api_url}
  AWS      {state.aws_endpoint_url}   (region {state.region}, any credentials)
  Zoho     {state.zoho_url}
  Results  s3://{state.results_bucket}
  State    {path}
  Logs     {local} logs --follow{other}

Try

  API={state.api_url}
  H="Authorization: Bearer $({local} token{other})"
  curl -s -H "$H" "$API/v1/e/zoho/export/contacts?page=1&limit=3"
  curl -s -H "$H" -X POST "$API/v1/e/zoho/bulk-read/contacts"
  curl -s -H "$H" "$API/v1/e/zoho/bulk-read/exports"

  .venv/bin/crm-export export contacts --local{other} --to ./out

The token is that of acct-1/user-1; --account and --owner name another caller.
docs/simulator.md shows how to rehearse Zoho's faults. Ctrl-C stops everything.
"""


def token(options: argparse.Namespace) -> int:
    """Print a JWT for any caller."""
    state = running_state(options.state_file)
    if state is None:
        raise LocalStackError(f"no running stack has the state file {options.state_file}")
    order = {
        "account": options.account,
        "owner": options.owner,
        "claims": dict(options.claim),
        "expires_in": options.expires_in,
    }
    print(_post(f"{state.control_url}/token", json.dumps(order).encode()).json()["token"])
    return 0


def invoke(options: argparse.Namespace) -> int:
    """Invoke a function of the running stack, or of a stack that is started for this one invocation."""
    event = _read_event(options.event)
    if state := running_state(options.state_file):
        return _invoke(state, options.function, event)
    print("no stack is running: starting one for this invocation", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="local-invoke-") as folder:
        stack_options = StackOptions(
            logs=Path(folder),
            zoho_url=options.zoho,
            records=options.records,
            parameters=dict(options.parameter),
            quiet=True,
        )
        with running_stack(stack_options) as stack:
            return _invoke(stack.state, options.function, event)


def _read_event(source: str) -> bytes:
    try:
        event = sys.stdin.read() if source == "-" else Path(source).read_text()
        json.loads(event)
    except OSError as error:
        raise LocalStackError(f"the event cannot be read: {error}") from error
    except ValueError as error:
        raise LocalStackError(f"the event in {source} is not JSON: {error}") from error
    return event.encode()


def _invoke(state: State, function: str, event: bytes) -> int:
    if function not in state.functions:
        known = ", ".join(sorted(state.functions))
        raise LocalStackError(f"there is no function {function}; there are {known}")
    log = Path(state.logs) / f"{function}.log"
    start = log.stat().st_size if log.exists() else 0
    response = _post(f"{state.control_url}/2015-03-31/functions/{function}/invocations", event)
    print(log.read_bytes()[start:].decode(errors="replace"), end="", file=sys.stderr)
    try:
        print(json.dumps(response.json(), indent=2, ensure_ascii=False))
    except ValueError:
        print(response.text)
    return 1 if "X-Amz-Function-Error" in response.headers else 0


def _post(url: str, body: bytes) -> requests.Response:
    try:
        response = CLIENT.post(url, data=body, timeout=1000)
    except requests.RequestException as error:
        raise LocalStackError(f"the stack does not respond: {error}") from error
    if not response.ok:
        raise LocalStackError(response.json()["Message"])
    return response
