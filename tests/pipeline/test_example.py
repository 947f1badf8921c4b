"""examples/summary on the local stack: rule, queue and function, as deployed from its template."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloudformation.deploy import deploy
from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY
from local.runtime.lambdas import Lambdas
from local.triggers.pollers import Poller
from tests.pipeline.conftest import RunningStack
from tests.pipeline.faults import until


@pytest.fixture
def summaries(stack: RunningStack, tmp_path: Path) -> Iterator[str]:
    """The bucket of the example's stack, which runs next to the stack under test."""
    ours = {"ResultsBucket": stack.state.results_bucket}
    template = load_template(REPOSITORY / "examples/summary/template.yaml", ours, {})
    deployment = deploy(template, stack.aws, stack.state.api_url, "summary")
    limits = dict.fromkeys(deployment.functions, 1)
    lambdas = Lambdas(deployment.functions.values(), limits, stack.aws, tmp_path)
    pollers = [Poller(mapping, stack.aws, lambdas.invoke) for mapping in deployment.mappings]
    for poller in pollers:
        poller.start()
    yield deployment.outputs["SummaryBucketName"]
    for poller in pollers:
        poller.stop()
    lambdas.close()


def test_completed_export_is_summarized_and_a_cancelled_one_is_not(
    stack: RunningStack, summaries: str
) -> None:
    stack.zoho("PATCH", "config", {"callback_mode": "never"})
    cancelled = stack.start("deals")
    assert stack.call("POST", f"/v1/e/zoho/bulk-read/exports/{cancelled}/cancel").status_code == 200
    stack.zoho("PATCH", "config", {"callback_mode": "normal"})
    export_id = stack.start("deals")
    export = stack.wait(export_id)

    def summary() -> dict[str, Any] | None:
        found = stack.s3.list_objects_v2(Bucket=summaries).get("Contents", [])
        keys = [item["Key"] for item in found if export_id in item["Key"]]
        return json.load(stack.s3.get_object(Bucket=summaries, Key=keys[0])["Body"]) if keys else None

    found = until("summary", summary)
    assert (found["module"], found["source"], found["rows"]) == ("Deals", "CSV", export["records"])
    keys = [item["Key"] for item in stack.s3.list_objects_v2(Bucket=summaries)["Contents"]]
    assert not any(cancelled in key for key in keys)
