"""The state file: how other programs find a running stack."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import requests

from local.host.http import CLIENT
from local.host.processes import LocalStackError


@dataclass(frozen=True)
class State:
    """The contents of the state file; docs/design.md names the fields that others rely on.

    `control_url` is also a Lambda endpoint for boto3, and serves POST /token and GET /reports.
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
        """Write the file atomically, readable by its owner only: it contains a token."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{self.pid}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")
        temporary.replace(path)


def logs_folder(path: Path) -> Path:
    """Return where the stack with this state file writes its logs: no two stacks share a folder."""
    return path.parent / ("logs" if path.name == "stack.json" else f"logs-{path.stem}")


def read_state(path: Path) -> State | None:
    """Return the state in the file, or None if there is no file. Raises LocalStackError."""
    try:
        content = json.loads(path.read_text())
        return State(**{field.name: content[field.name] for field in fields(State)})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LocalStackError(f"{path} is not a state file of the local stack; remove it") from error


def running_state(path: Path) -> State | None:
    """Return the state of the stack that wrote `path`, or None if it is not running."""
    state = read_state(path)
    try:
        return state if state and CLIENT.get(f"{state.control_url}/reports", timeout=5).ok else None
    except requests.RequestException:
        return None
