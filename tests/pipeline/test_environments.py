"""Functions run in their own processes, and fail as they do in Lambda."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from local.cloudformation.resources import Function
from local.host.aws import LocalAws
from local.host.processes import LocalStackError
from local.runtime.environments import Environment
from local.runtime.lambdas import Pool
from local.runtime.runtime_api import Outcome
from tests.support.processes import still_running
from tests.support.sam_project import worker_of, write_project

pytestmark = pytest.mark.process

MakePool = Callable[..., Pool]


@pytest.fixture
def worker(tmp_path: Path) -> Function:
    return worker_of(write_project(tmp_path))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "Worker.log"


@pytest.fixture
def make_pool(log: Path) -> Iterator[MakePool]:
    """Create pools of environments, all closed at the end of the test."""
    pools = []

    def make(function: Function, limit: int = 1) -> Pool:
        aws = LocalAws("http://127.0.0.1:9")
        pools.append(Pool(function, limit, lambda current: Environment(current, aws, log)))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def invoke(pool: Pool, **event: object) -> tuple[Outcome, dict]:
    outcome = pool.invoke(json.dumps(event).encode())
    return outcome, json.loads(outcome.payload)


def test_function_sees_its_own_variables_and_lambdas_but_not_the_callers(
    make_pool: MakePool, worker: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("MY_OWN", "secret")
    outcome, result = invoke(make_pool(worker), name="x")
    environment = result["environment"]
    assert not outcome.failed
    assert result["word"] == "from the layer"
    assert result["cwd"] == str(worker.folder)
    assert result["arn"] == worker.arn
    assert 4000 < result["left_ms"] <= 5000
    assert environment["COLOUR"] == "green"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "stack-Worker-1"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert environment["AWS_ACCESS_KEY_ID"] == "test"
    assert {"AWS_PROFILE", "MY_OWN", "HOME"}.isdisjoint(environment)


def test_function_imports_from_its_folder_its_layers_and_third_party_packages_only(
    make_pool: MakePool, worker: Function
) -> None:
    _, result = invoke(make_pool(worker))
    assert result["path"][:2] == [str(worker.folder), str(worker.layers[0])]
    assert str(Path(__file__).parents[3]) not in result["path"]


def test_environment_is_reused_and_reports_its_init_duration_once(
    make_pool: MakePool, worker: Function, log: Path
) -> None:
    pool = make_pool(worker)
    first, one = invoke(pool)
    second, two = invoke(pool)
    assert one["pid"] == two["pid"]
    assert first.report.init_ms is not None
    assert second.report.init_ms is None
    lines = log.read_text().splitlines()
    assert lines.count("loaded") == 1
    assert first.report.line() in lines
    assert f"handling {second.report.request_id}" in lines


def test_report_line_has_lambdas_format(make_pool: MakePool, worker: Function) -> None:
    outcome, _ = invoke(make_pool(worker))
    parts = dict(part.split(": ", 1) for part in outcome.report.line().removeprefix("REPORT ").split("\t"))
    assert list(parts) == [
        "RequestId",
        "Duration",
        "Billed Duration",
        "Memory Size",
        "Max Memory Used",
        "Init Duration",
    ]
    assert parts["Memory Size"] == "256 MB"
    assert parts["Duration"].endswith(" ms")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_max_memory_used_is_the_peak_of_the_environment(make_pool: MakePool, worker: Function) -> None:
    pool = make_pool(worker)
    before, _ = invoke(pool)
    grown, _ = invoke(pool, do="grow")
    after, _ = invoke(pool)
    assert grown.report.max_memory_mb >= before.report.max_memory_mb + 75
    assert after.report.max_memory_mb == grown.report.max_memory_mb


def test_exception_is_reported_and_the_environment_stays(make_pool: MakePool, worker: Function) -> None:
    pool = make_pool(worker)
    failed, error = invoke(pool, do="raise")
    _, result = invoke(pool)
    assert failed.failed
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "as asked")
    assert result["word"] == "from the layer"


def test_process_that_exits_is_an_error_and_is_replaced(make_pool: MakePool, worker: Function) -> None:
    pool = make_pool(worker)
    _, before = invoke(pool)
    failed, error = invoke(pool, do="exit")
    _, after = invoke(pool)
    assert failed.failed
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert before["pid"] != after["pid"]


def test_process_that_dies_between_invocations_is_replaced_silently(
    make_pool: MakePool, worker: Function
) -> None:
    pool = make_pool(worker)
    _, before = invoke(pool)
    os.kill(before["pid"], signal.SIGKILL)
    time.sleep(0.2)
    outcome, after = invoke(pool)
    assert not outcome.failed
    assert before["pid"] != after["pid"]


def test_timeout_kills_the_process(make_pool: MakePool, worker: Function, log: Path) -> None:
    pool = make_pool(replace(worker, timeout=0.5))
    _, before = invoke(pool)
    failed, error = invoke(pool, do="sleep")
    assert failed.report.status == "timeout"
    assert error["errorMessage"].endswith("Task timed out after 0.50 seconds")
    assert "Task timed out after 0.50 seconds" in log.read_text()
    assert still_running([before["pid"]]) == set()


def test_handler_that_cannot_be_imported_is_an_init_error(make_pool: MakePool, worker: Function) -> None:
    failed, error = invoke(make_pool(replace(worker, handler="nothing.lambda_handler")))
    assert failed.failed
    assert error["errorType"] == "Runtime.ImportModuleError"


def test_response_over_six_megabytes_is_refused_and_ends_the_process(
    make_pool: MakePool, worker: Function, log: Path
) -> None:
    pool = make_pool(worker)
    _, before = invoke(pool)
    failed, error = invoke(pool, do="huge")
    assert failed.failed
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    assert "6291556 bytes" in error["errorMessage"]
    assert "413" in log.read_text()
    assert still_running([before["pid"]]) == set()
    assert not invoke(pool)[0].failed


def test_overlapping_invocations_share_limited_environments(make_pool: MakePool, worker: Function) -> None:
    pool = make_pool(worker, limit=2)
    with ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda _: invoke(pool, do="sleep", seconds=0.3)[1], range(4)))
    assert len({result["pid"] for result in results}) == 2


def test_changed_configuration_applies_to_the_next_invocation_only(
    make_pool: MakePool, worker: Function
) -> None:
    pool = make_pool(worker, limit=2)
    _, before = invoke(pool)
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(invoke, pool, do="sleep", seconds=0.5)
        time.sleep(0.2)
        pool.replace(
            replace(worker, timeout=3, environment={"COLOUR": "red", "AWS_ENDPOINT_URL": "http://x"})
        )
        _, after = invoke(pool)
        assert not running.result()[0].failed
    assert running.result()[1]["pid"] == before["pid"] != after["pid"]
    assert after["environment"]["COLOUR"] == "red"
    assert after["environment"]["AWS_ENDPOINT_URL"] == "http://x"
    assert 2000 < after["left_ms"] <= 3000
    assert still_running([before["pid"]]) == set()
    assert invoke(pool)[1]["pid"] == after["pid"]


def test_close_kills_a_process_during_an_invocation(make_pool: MakePool, worker: Function) -> None:
    pool = make_pool(worker)
    _, before = invoke(pool)
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(invoke, pool, do="sleep")
        time.sleep(0.3)
        pool.close()
        assert running.result(timeout=5)[0].failed
    assert still_running([before["pid"]]) == set()
    with pytest.raises(LocalStackError, match="being stopped"):
        pool.invoke(b"{}")
