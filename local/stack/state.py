"""The state file: how other programs find a running stack. Written when ready, removed at the stop."""

import contextlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from local.stack.errors import StateError


@dataclass(frozen=True)
class State:
    """What is in the state file; docs/design.md names the fields others rely on.

    `control_url` is a Lambda endpoint for boto3 as well, and takes POST /token and GET /reports.
    """

    api_url: str
    aws_endpoint_url: str
    region: str
    results_bucket: str
    exports_table: str
    zoho_url: str
    token: str
    queues: dict[str, str]
    functions: dict[str, str]
    outputs: dict[str, str]
    control_url: str
    logs: str
    pid: int

    def write(self, path: Path) -> None:
        """Write the file in one step, for its owner only: it holds a token."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{self.pid}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")
        temporary.replace(path)

    def alive(self) -> bool:
        """Tell whether the stack that wrote this still answers."""
        request = urllib.request.Request(f"{self.control_url}/reports")  # noqa: S310 - our own loopback URL
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            _opener().open(request, timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that ignores proxy settings: all it opens is on the loopback interface."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def read_state(path: Path) -> State | None:
    """Return what the state file says, or None where there is none. Raises StateError."""
    try:
        content = json.loads(path.read_text())
        return State(**{field.name: content[field.name] for field in fields(State)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path} is not a state file of the local stack; remove it") from error


def running_state(path: Path) -> State | None:
    """Return the state of the stack that is running behind `path`, None when there is none."""
    state = read_state(path)
    return state if state and state.alive() else None
