"""Lambda functions and queue mappings as deployed, with every reference resolved by moto."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.host.processes import LocalStackError

API_ID = "local0api0"
_DEFAULT_MAPPING_CONCURRENCY = 2
_AWS_QUEUES = re.compile(r"https://sqs\.[a-z0-9-]+\.amazonaws\.com(?=/)")


@dataclass(frozen=True)
class Function:
    """A deployed Lambda function: its configuration, and the folders its imports come from.

    `allows_loops` is RecursiveLoop: Allow.
    """

    logical_id: str
    name: str
    arn: str
    handler: str
    memory_mb: int
    timeout: float
    environment: dict[str, str]
    folder: Path
    layers: list[Path]
    log_format: str = "Text"
    runtime: str = "python3.13"
    allows_loops: bool = False


@dataclass(frozen=True)
class QueueMapping:
    """An event source mapping: a queue and the function that receives its messages."""

    queue_arn: str
    function: str
    batch_size: int
    concurrency: int
    reports_item_failures: bool
    enabled: bool


@dataclass(frozen=True)
class Deployment:
    """Everything the stack needs to know about a deployed template."""

    functions: dict[str, Function]
    mappings: list[QueueMapping]
    schedules: list[dict[str, Any]]
    api_bodies: list[dict[str, Any]]
    outputs: dict[str, str]
    queues: dict[str, str]
    not_made: list[str]


def read_function(
    logical_id: str,
    resource: Mapping[str, Any],
    configuration: Mapping[str, Any],
    folders: Mapping[str, Path],
    sqs_url: str,
) -> Function:
    """Return the function that moto has as `configuration`; its code folders come from the template.

    `sqs_url` is the local SQS endpoint. moto's Ref of a queue is a URL of AWS, which must not be called.
    """
    if logical_id not in folders:
        raise LocalStackError(f"{logical_id} has no local CodeUri; the local stack can only run local code")
    properties = resource["Properties"]
    layers = [layer["Ref"] for layer in properties.get("Layers", []) if "Ref" in layer]
    variables = configuration.get("Environment", {}).get("Variables", {})
    return Function(
        logical_id=logical_id,
        name=configuration["FunctionName"],
        arn=configuration["FunctionArn"],
        handler=configuration["Handler"],
        memory_mb=configuration["MemorySize"],
        timeout=configuration["Timeout"],
        environment={name: local_queue_url(_as_string(value), sqs_url) for name, value in variables.items()},
        folder=folders[logical_id],
        layers=[_import_root(folders[layer]) for layer in layers if layer in folders],
        log_format=properties.get("LoggingConfig", {}).get("LogFormat", "Text"),
        runtime=configuration["Runtime"],
        allows_loops=properties.get("RecursiveLoop") == "Allow",
    )


def local_queue_url(url: str, sqs_url: str) -> str:
    """Return the URL of a queue at the local SQS endpoint; any other string is returned unchanged."""
    return _AWS_QUEUES.sub(sqs_url, url)


def _as_string(value: Any) -> str:
    """Return an environment variable as CloudFormation passes it on; moto keeps numbers and booleans."""
    return value if isinstance(value, str) else json.dumps(value)


def _import_root(layer: Path) -> Path:
    """Return the folder a layer's modules are imported from: `python/`, or the layer if SAM builds it."""
    return layer / "python" if (layer / "python").is_dir() else layer


def read_mapping(properties: Mapping[str, Any]) -> QueueMapping:
    """Return the queue mapping with these properties of an AWS::Lambda::EventSourceMapping."""
    scaling = properties.get("ScalingConfig", {})
    return QueueMapping(
        queue_arn=properties["EventSourceArn"],
        function=properties["FunctionName"],
        batch_size=int(properties.get("BatchSize", 10)),
        concurrency=int(scaling.get("MaximumConcurrency", _DEFAULT_MAPPING_CONCURRENCY)),
        reports_item_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
        enabled=str(properties.get("Enabled", True)).lower() == "true",
    )
