"""SnapStart: lets event sources call published versions of the functions; part of `make build`.

A snapshot belongs to a published version. SAM publishes one and points all event sources to it, if a function
has AutoPublishAlias. That cannot depend on a parameter, so it is added to the built template if the
deployment's configuration sets SnapStart=on.
"""

import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

_ALIAS = "live"


def publish_versions(template: Path, configurations: Sequence[str]) -> None:
    """Rewrite a built template if one of the configuration files (samconfig.local.toml) sets SnapStart=on."""
    if any(_uses_snapstart(Path(path)) for path in configurations):
        document = yaml.load(template.read_text(), Loader=yaml.CSafeLoader)
        add_versions(document, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        template.write_text(yaml.safe_dump(document, sort_keys=False))
        print(f"SnapStart is on: each deployment publishes a version, and the alias {_ALIAS} names it.")


def _uses_snapstart(configuration: Path) -> bool:
    parameters = tomllib.loads(configuration.read_text())["default"]["deploy"]["parameters"]
    overrides = parameters.get("parameter_overrides", [])
    return "SnapStart=on" in (overrides.split() if isinstance(overrides, str) else overrides)


def add_versions(document: dict[str, Any], release: str) -> None:
    """Add to all functions of a SAM template that each release publishes a version and moves the alias to it.

    The variable RELEASE differs in each release. Otherwise a version would be published only if the template
    changes, but not if only a parameter or the code of a layer does.
    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
    """
    document["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"] = release
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"] |= {
                "AutoPublishAlias": _ALIAS,
                "AutoPublishAliasAllProperties": True,
                "VersionDeletionPolicy": "Delete",  # a snapshot costs money as long as its version exists
            }
