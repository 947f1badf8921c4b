"""Modules are kept current for virtual days under seeded faults. More seeds: `make simulate`."""

import pytest

from simulation.sync_plan import LIFE, MODULES, Plan
from simulation.sync_world import SyncWorld, run_syncs

SEEDS = 8


@pytest.mark.parametrize("first", range(1, SEEDS + 1, 4))
def test_no_change_is_missed_under_faults(first):
    for seed in range(first, first + 4):
        outcome = run_syncs(seed)
        assert not outcome.broken, f"python -m simulation --syncs --seed {seed} --trace: {outcome.broken}"


def test_each_sync_ends_with_a_chain_that_equals_zoho():
    world = SyncWorld(3, only={})
    assert world.run().broken == []
    assert world.final == len(world.plan.modules)


def test_seed_replays_the_same_syncs():
    assert run_syncs(5, every="1d", modules=("Leads",)) == run_syncs(5, every="1d", modules=("Leads",))


def test_audits_find_drift():
    world = SyncWorld(
        1, only={}, modules=("Deals",), life={"drift": 1.0, "create without a time": 1.0}, every="12h",
        full_every="1d", seconds=259_200.0, accounts=1, pause=0.0, credits=1_000_000,
    )  # fmt: skip
    assert world.run().broken == []
    assert world.checks.drift["updated"] > 0
    assert world.checks.drift["inserted"] > 0


@pytest.mark.parametrize("module", MODULES)
def test_everything_that_happens_in_zoho_happens_to_each_module(module):
    plan = Plan(modules=(module,), life=LIFE, gap=600.0, seconds=86_400.0, every="6h", ghosts=0.5)
    assert run_syncs(2, only={}, **vars(plan)).broken == []
