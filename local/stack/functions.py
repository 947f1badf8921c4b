"""What a function and a queue mapping are, as deployed: read back from moto with every reference resolved."""

import json
import os
import re
from collections.abc import Mapping as AbcMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.stack.errors import TemplateError

_DEFAULT_MAPPING_CONCURRENCY = 2


@dataclass(frozen=True)
class Function:
    """A deployed Lambda function: its configuration, and the folders its imports come from."""

    logical_id: str
    name: str
    arn: str
    handler: str
    memory_mb: int
    timeout: float
    environment: dict[str, str]
    folder: Path
    layers: list[Path]
    log_group: str
    log_format: str = "Text"
    runtime: str = "python3.13"


@dataclass(frozen=True)
class QueueMapping:
    """An event source mapping: the queue, the function that works on it, and how."""

    queue_arn: str
    function: str
    batch_size: int
    concurrency: int
    reports_item_failures: bool
    enabled: bool


def read_function(
    logical_id: str,
    resource: AbcMapping[str, Any],
    configuration: AbcMapping[str, Any],
    folders: AbcMapping[str, Path],
    queues: str,
) -> Function:
    """Read the configuration that moto holds of a function; the code folders come from the template.

    `queues` is the local SQS endpoint. moto's Ref of a queue is a URL of AWS, which must not be called.
    """
    if logical_id not in folders:
        raise TemplateError(f"{logical_id} has no local CodeUri; the local stack can only run local code")
    name = configuration["FunctionName"]
    layers = [layer["Ref"] for layer in resource["Properties"].get("Layers", []) if "Ref" in layer]
    variables = configuration.get("Environment", {}).get("Variables", {})
    logging = resource["Properties"].get("LoggingConfig", {})
    return Function(
        logical_id=logical_id,
        name=name,
        arn=configuration["FunctionArn"],
        handler=configuration["Handler"],
        memory_mb=configuration["MemorySize"],
        timeout=configuration["Timeout"],
        environment={name: _as_text(value, queues) for name, value in variables.items()},
        folder=folders[logical_id],
        layers=[import_root(folders[layer]) for layer in layers if layer in folders],
        log_group=f"/aws/lambda/{name}",
        log_format=logging.get("LogFormat", "Text"),
        runtime=configuration["Runtime"],
    )


_AWS_QUEUES = re.compile(r"https://sqs\.[a-z0-9-]+\.amazonaws\.com(?=/)")


def local_queue_url(url: str, queues: str) -> str:
    """Return the URL of a queue at the local SQS endpoint `queues`."""
    return _AWS_QUEUES.sub(queues, url)


def _as_text(value: Any, queues: str) -> str:
    """Return an environment variable as CloudFormation passes it on; moto keeps numbers and booleans."""
    text = value if isinstance(value, str) else json.dumps(value)
    return local_queue_url(text, queues)


def import_root(layer: Path) -> Path:
    """Return the folder a layer's modules are imported from: `python/`, or all of it where SAM builds it."""
    return layer / "python" if (layer / "python").is_dir() else layer


def read_mapping(properties: AbcMapping[str, Any]) -> QueueMapping:
    """Read the properties of an AWS::Lambda::EventSourceMapping of a queue."""
    scaling = properties.get("ScalingConfig", {})
    return QueueMapping(
        queue_arn=properties["EventSourceArn"],
        function=properties["FunctionName"],
        batch_size=int(properties.get("BatchSize", 10)),
        concurrency=int(scaling.get("MaximumConcurrency", _DEFAULT_MAPPING_CONCURRENCY)),
        reports_item_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
        enabled=str(properties.get("Enabled", True)).lower() == "true",
    )


def lambda_variables(function: Function, log_stream: str, runtime_api: str, region: str) -> dict[str, str]:
    """Return the environment variables Lambda itself sets for `function`, after the function's own."""
    return {
        **function.environment,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_TASK_ROOT": str(function.folder),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": function.handler,
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join(map(str, [function.folder, *function.layers])),
    }
