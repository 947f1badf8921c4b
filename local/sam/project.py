"""The command `sam`: a template for this machine, and the variables of a stack's functions.

`sam local` sets a variable from its file only if the template declares it, so the template declares the
local stack's endpoint, too.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from samtranslator.yaml_helper import yaml_parse

from local.host.http import HOST
from local.host.processes import REPOSITORY
from local.sam.source import Source, Variables, find_source

_FUNCTION, _LAYER = "AWS::Serverless::Function", "AWS::Serverless::LayerVersion"
_ARM = ("arm64", "aarch64")


def sam(options: argparse.Namespace) -> int:
    """Write `sam/template.yaml` and `sam/env.json` next to the state file, and print what to run."""
    source = find_source(options)
    folder = Path(options.state_file).parent / "sam"
    folder.mkdir(parents=True, exist_ok=True)
    template = sam_template(
        REPOSITORY / "template.yaml", folder, this_architecture(), endpoint_variables(source)
    )
    variables = variables_file(template, source)
    (folder / "template.yaml").write_text(yaml.safe_dump(template, sort_keys=False, width=110))
    (folder / "env.json").write_text(json.dumps(variables, indent=2) + "\n")
    if source.endpoint and urlsplit(source.endpoint).hostname == HOST:
        print(f"note: containers cannot reach the stack at {HOST}; see docs/sam-local.md", file=sys.stderr)
    print(_commands(folder, source, options.aws))
    return 0


def this_architecture(machine: str = platform.machine()) -> str:
    """Return this machine's architecture as Lambda names it."""
    return "arm64" if machine.lower() in _ARM else "x86_64"


def endpoint_variables(source: Source) -> Variables:
    """Return the variables that lead the AWS SDK to the local stack; none for a deployed stack."""
    if source.endpoint is None:
        return {}
    return {"AWS_ENDPOINT_URL": source.endpoint, "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"}


def sam_template(path: Path, folder: Path, architecture: str, variables: Variables) -> dict[str, Any]:
    """Return the template at `path`, rewritten for `folder`; all functions declare `variables`, too."""
    template: dict[str, Any] = yaml_parse(path.read_text())
    defaults = template["Globals"]["Function"]
    defaults["Architectures"] = [architecture]
    defaults.setdefault("Environment", {}).setdefault("Variables", {}).update(variables)
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for source in ("CodeUri", "ContentUri"):
            if source in properties:
                properties[source] = os.path.relpath(path.parent / properties[source], folder)
        if resource["Type"] == _LAYER:
            properties["CompatibleArchitectures"] = [architecture]
            resource["Metadata"]["BuildArchitecture"] = architecture
    return template


def variables_file(template: Mapping[str, Any], source: Source) -> dict[str, Variables]:
    """Return the contents of env.json: the values that the stack has for the variables of each function.

    A function or variable that the stack does not have is left out.
    """
    shared = template["Globals"]["Function"]["Environment"]["Variables"]
    values = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == _FUNCTION and name in source.functions:
            own = resource["Properties"].get("Environment", {}).get("Variables", {})
            known = source.functions[name] | endpoint_variables(source)
            values[name] = {variable: known[variable] for variable in [*shared, *own] if variable in known}
    return values


def _commands(folder: Path, source: Source, stack: str | None) -> str:
    port, of_stack = 3001, f" --aws {stack}" if stack else ""
    template, sam = folder / "build/template.yaml", ".venv/bin/sam"
    options = f"--template {template} --env-vars {folder / 'env.json'} --region {source.region}"
    return f"""Written: {folder / "template.yaml"} ({this_architecture()}) and {folder / "env.json"}

Build once, and again after a change of the code:
  {sam} build --template {folder / "template.yaml"} --build-dir {folder / "build"}

Serve all functions. Each keeps its container:
  {sam} local start-lambda {options} --warm-containers LAZY --port {port}

Invoke one, in another terminal:
  .venv/bin/python -m local event export_handler.contacts{of_stack} |
    curl -s -d @- http://127.0.0.1:{port}/2015-03-31/functions/ExportHandler/invocations"""
