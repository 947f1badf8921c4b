"""The whole pipeline under seeded faults, on a virtual clock. More seeds: `make simulate SEEDS=10000`."""

import subprocess
import sys

import pytest

from local.cloudformation.template import load_template
from local.host.processes import REPOSITORY
from simulation.faults import KINDS
from simulation.functions import DOWNLOADS_PER_MINUTE, JOB_DEADLINE_MINUTES, QUIET_SECONDS, TIMEOUTS
from simulation.queues import MAX_RECEIVES
from simulation.world import DEADLINE_HOURS, QUEUES, TICK_SECONDS, run

SEEDS = 150


@pytest.mark.parametrize("first", range(1, SEEDS + 1, 50))
def test_no_record_is_lost_under_faults(first):
    for seed in range(first, first + 50):
        whole(seed)


def whole(seed):
    """Run a seed and return the kinds of faults in it; it must break no invariant."""
    outcome = run(seed)
    assert not outcome.broken, f"python -m simulation --seed {seed} --trace: {outcome.broken}"
    return set(outcome.injected)


def test_seed_replays_the_same_run():
    assert [run(seed) for seed in range(1, 21)] == [run(seed) for seed in range(1, 21)]


def test_seed_replays_the_same_run_in_another_process():
    command = [sys.executable, "-m", "simulation", "--seed", "7"]
    completed = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert completed.stdout.splitlines()[0] == f"trace {run(7).digest}"


def test_every_kind_of_fault_is_injected():
    """The rarest kind occurs in about 5 of 1,000 seeds, but unevenly: all kinds may need more than 1,000."""
    missing = set(KINDS)
    for seed in range(SEEDS + 1, SEEDS + 4001):
        missing -= whole(seed)
        if not missing:
            return
    assert missing == set()


def test_functions_and_queues_equal_those_of_the_template():
    template = load_template(REPOSITORY / "template.yaml", {}, {}).cloudformation
    parameters = template["Parameters"]
    resources = {name: item.get("Properties", {}) for name, item in template["Resources"].items()}
    names = {
        "bulk_read_submitter": "BulkReadSubmitter",
        "callback_receiver": "CallbackReceiver",
        "result_downloader": "ResultDownloader",
        "export_reconciler": "ExportReconciler",
    }
    assert {ours: resources[name]["Timeout"] for ours, name in names.items()} == TIMEOUTS
    for ours, name in (("submit", "SubmitQueue"), ("download", "DownloadQueue")):
        arn = {"Fn::GetAtt": [name, "Arn"]}
        (mapping,) = (item for item in resources.values() if item.get("EventSourceArn") == arn)
        assert QUEUES[ours].visibility == resources[name]["VisibilityTimeout"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] == {"Ref": "WorkersPerQueue"}
        assert QUEUES[ours].concurrency == parameters["WorkersPerQueue"]["Default"]
        assert (mapping["BatchSize"], mapping["FunctionResponseTypes"]) == (1, ["ReportBatchItemFailures"])
        assert resources[name]["RedrivePolicy"]["maxReceiveCount"] == MAX_RECEIVES
    assert parameters["DownloadsPerMinute"]["Default"] == DOWNLOADS_PER_MINUTE
    assert parameters["JobDeadlineMinutes"]["Default"] == JOB_DEADLINE_MINUTES
    assert parameters["PartQuietSeconds"]["Default"] == QUIET_SECONDS
    assert parameters["ExportDeadlineHours"]["Default"] == DEADLINE_HOURS
    schedules = [item["ScheduleExpression"] for item in resources.values() if "ScheduleExpression" in item]
    assert schedules == [f"rate({TICK_SECONDS // 60} minutes)"]
