"""Finishes what `sam build` made, for shorter cold starts; `make build` runs it on .aws-sam/build.

1. botocore's data: of 400 services only those that the functions call stay, without documentation.
2. Bytecode: Lambda cannot write it, so without it every cold start compiles all modules.
3. A check that both are complete, so that a package that lacks something is not deployed.
4. With the parameter SnapStart: published versions, in the built template (local/versions.py).
"""

import compileall
import gzip
import importlib.util
import json
import os
import py_compile
import shutil
import subprocess  # nosec B404 # to see the packages alone, without what is installed here
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from crm_export.wiring import SERVICES
from local.versions import publish_versions

# unchecked-hash, because packaging and unpacking change the files' times.
_BYTECODE = py_compile.PycInvalidationMode.UNCHECKED_HASH
_UNCHECKED_HASH = (1).to_bytes(4, "little")  # bytes 4 to 8 of such a file: PEP 552
_CALL_CLIENTS = """
import sys
from crm_export.aws.rehearsal import rehearse
from crm_export.wiring import SERVICES, boto3_client
for name in SERVICES:
    rehearse(boto3_client(name), name)
print(*(boto3_client(name).meta.endpoint_url for name in SERVICES))
"""
_PARTITIONS = {"eu-central-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn"}


class IncompletePackageError(Exception):
    """A package that must not be deployed: what is missing, and where."""


def finish(build: Path) -> None:
    """Trim, compile and check the packages in `build`. Raises IncompletePackageError."""
    for data in build.glob("**/botocore/data"):
        trim(data)
    compileall.compile_dir(build, quiet=1, workers=0, invalidation_mode=_BYTECODE)
    check(build)


def trim(data: Path) -> None:
    """Remove from botocore's data what no function uses. Trimmed data stay as they are."""
    for service in data.iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    for service in filter(Path.is_dir, data.iterdir()):
        for old_version in sorted(service.iterdir())[:-1]:  # a client uses the newest
            shutil.rmtree(old_version)
    for path in data.glob("*/*/*.json*"):
        if path.name.startswith("examples-"):
            path.unlink()
        elif path.name.startswith("service-"):
            _rewrite(path, _without_documentation)
    _rewrite(data / "endpoints.json", _of_our_services)


def _rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    packed = path.suffix == ".gz"
    content = path.read_bytes()
    document = json.loads(gzip.decompress(content) if packed else content)
    text = json.dumps(change(document), separators=(",", ":"), ensure_ascii=False).encode()
    path.unlink()  # it may be a hard link to the file in the package index's cache
    path.write_bytes(gzip.compress(text, mtime=0) if packed else text)


def _without_documentation(node: Any) -> Any:
    match node:
        case dict():
            # An empty string, because botocore requires the key in some places.
            return {
                name: ""
                if name == "documentation" and isinstance(value, str)
                else _without_documentation(value)
                for name, value in node.items()
            }
        case list():
            return [_without_documentation(item) for item in node]
    return node


def _of_our_services(endpoints: dict[str, Any]) -> dict[str, Any]:
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in SERVICES}
    return endpoints


def check(build: Path) -> None:
    """Raise IncompletePackageError if bytecode or data of botocore are missing, or data were not removed."""
    if without := list(_without_bytecode(build)):
        raise IncompletePackageError(
            f"{len(without)} modules have no bytecode that Lambda would use, such as {without[0]}."
        )
    found = list(build.glob("**/botocore/data"))
    if len(found) != 1:
        raise IncompletePackageError(f"botocore is {len(found)} times in {build}; it must be there once.")
    if excess := {path.name for path in found[0].iterdir() if path.is_dir()} - set(SERVICES):
        raise IncompletePackageError(
            f"The layer has data of services that no function calls: {sorted(excess)}."
        )
    packages = [found[0].parent.parent, *(path.parent for path in build.glob("**/crm_export"))]
    for region, domain in _PARTITIONS.items():
        _check_clients(packages, region, domain)


def _without_bytecode(build: Path) -> Iterator[Path]:
    for source in build.glob("**/*.py"):
        compiled = Path(importlib.util.cache_from_source(source))
        if not compiled.is_file() or compiled.read_bytes()[4:8] != _UNCHECKED_HASH:
            yield source


def _check_clients(packages: list[Path], region: str, domain: str) -> None:
    """Call each service with these packages alone, without the network; botocore runs on any architecture."""
    variables = {"AWS_DEFAULT_REGION": region, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    run = subprocess.run(  # nosec B603 # our own code, no shell
        [sys.executable, "-S", "-B", "-c", _CALL_CLIENTS],
        env={**variables, "PYTHONPATH": os.pathsep.join(map(str, packages)), "AWS_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        problem = run.stderr.strip().rpartition("\n")[2]
        raise IncompletePackageError(
            f"A client of the layer does not work: {problem}\n"
            "A service that is new in wiring.SERVICES is not in a layer that was trimmed without it: remove "
            ".aws-sam, and build again."
        )
    expected = [f"https://{name}.{region}.{domain}" for name in SERVICES]
    if run.stdout.split() != expected:
        raise IncompletePackageError(f"The clients would call {run.stdout}, and not {' '.join(expected)}.")


if __name__ == "__main__":
    try:
        finish(Path(sys.argv[1]))
        publish_versions(Path(sys.argv[1]) / "template.yaml", sys.argv[2:])
    except IncompletePackageError as error:
        sys.exit(f"error: {error}")
