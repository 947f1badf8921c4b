"""`python -m local invoke` and `token`: one call, or one JWT, of a running stack or of one for the moment."""

import argparse
import json
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from local.stack.errors import LocalStackError, StateError
from local.stack.logs import read_new_lines
from local.stack.stack import Stack, StackOptions
from local.stack.state import State, running_state


def token(options: argparse.Namespace) -> int:
    """Print a JWT for any caller."""
    state = running_state(options.state_file)
    if state is None:
        raise StateError(f"there is no running stack behind {options.state_file}")
    order = {
        "account": options.account,
        "owner": options.owner,
        "claims": dict(options.claim),
        "expires_in": options.expires_in,
    }
    answer, _ = _post(f"{state.control_url}/token", json.dumps(order).encode())
    print(json.loads(answer)["token"])
    return 0


def invoke(options: argparse.Namespace) -> int:
    """Invoke a function of the running stack, or else of one that is started for it without its pollers."""
    event = _read_event(options.event)
    state = running_state(options.state_file)
    if state:
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
        with Stack(stack_options) as stack:
            return _invoke(stack.state, options.function, event)


def _read_event(source: str) -> bytes:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
        json.loads(text)
    except OSError as error:
        raise LocalStackError(f"the event cannot be read: {error}") from error
    except ValueError as error:
        raise LocalStackError(f"the event in {source} is not JSON: {error}") from error
    return text.encode()


def _invoke(state: State, function: str, event: bytes) -> int:
    if function not in state.functions:
        known = ", ".join(sorted(state.functions))
        raise LocalStackError(f"there is no function {function}; there are {known}")
    log = Path(state.logs) / f"{function}.log"
    read = {log: log.stat().st_size if log.exists() else 0}
    answer, headers = _post(f"{state.control_url}/2015-03-31/functions/{function}/invocations", event)
    for line in read_new_lines(log, read):
        print(line, file=sys.stderr)
    print(_pretty(answer))
    return 1 if "X-Amz-Function-Error" in headers else 0


def _pretty(answer: bytes) -> str:
    try:
        return json.dumps(json.loads(answer), indent=2, ensure_ascii=False)
    except ValueError:
        return answer.decode(errors="replace")


def _post(url: str, body: bytes) -> tuple[bytes, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=1000) as answer:
            return answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        raise LocalStackError(json.loads(error.read() or b"{}").get("Message", str(error))) from error
    except OSError as error:
        raise LocalStackError(f"the stack does not answer: {error}") from error
