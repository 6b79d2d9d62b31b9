# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The number of candidates under made-up costs: a tick of K candidates takes a + b K."""

import itertools
import random

import pytest

from mbmrl_ros.planners.cem import CEM, CEMConfig
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.planners.random_shooting import RandomShooting, RandomShootingConfig
from mbmrl_ros.robot.budget import (
    AIM,
    STEP,
    CandidateBudget,
    with_candidates,
)

GOAL_S = 0.06


def run(budget, cost, ticks):
    """Return the numbers of candidates of `ticks` ticks."""
    used = []
    for tick in range(ticks):
        used.append(budget.candidates)
        budget.record(cost(tick, budget.candidates))
    return used


def changes(used):
    return [b - a for a, b in itertools.pairwise(used) if a != b]


@pytest.mark.parametrize('start', [32, 500, 100_000])
@pytest.mark.parametrize('fixed_s', [0.0, 0.005, 0.03])
@pytest.mark.parametrize('each_s', [1e-4, 2e-6])
def test_it_settles_on_what_fits_for_any_affine_cost_and_stays_there(start, fixed_s, each_s):
    budget = CandidateBudget(GOAL_S, 32, 100_000, start)
    used = run(budget, lambda _, k: fixed_s + each_s * k, 900)
    assert len(set(used[-300:])) == 1
    final = fixed_s + each_s * used[-1]
    assert final <= GOAL_S
    # Two rungs more would have been too long, or there are no more.
    assert used[-1] == 100_000 or final * STEP**2 > AIM * GOAL_S
    steps = changes(used)
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps), 'no overshoot'


def test_all_rungs_to_half_above_the_present_number_are_rehearsed_upwards():
    budget = CandidateBudget(GOAL_S, 10, 1000, 100)
    seen = budget.rehearsal
    assert seen == [n for n in budget.ladder if n <= 1.5 * budget.candidates]
    assert seen[0] == 10 and budget.candidates in seen
    # Four rungs of a tenth each: 1.1 ** 4 = 1.46.
    assert len([n for n in seen if n > budget.candidates]) == 4
    assert CandidateBudget(GOAL_S, 10, 100, 100).rehearsal[-1] == 100


def test_an_overload_is_answered_after_three_slow_ticks_of_five():
    budget = CandidateBudget(GOAL_S, 10, 1000, 1000)
    used = run(budget, lambda tick, k: k * 5e-5, 40)
    before = used[-1]
    assert before == 1000
    used = run(budget, lambda tick, k: k * 2e-4, 10)
    # Of the last five, the first three slow ones are a majority; they took 0.2 s for 0.06.
    assert used[2] == before and used[3] < 0.3 * before


@pytest.mark.parametrize('slow_s', [0.5, 5.0, float('nan'), float('inf')])
def test_single_slow_ticks_change_nothing(slow_s):
    budget = CandidateBudget(GOAL_S, 10, 1000, 1000)
    used = run(budget, lambda tick, k: slow_s if tick % 4 == 0 else 0.05, 200)
    assert set(used) == {1000}


def test_noise_of_a_few_per_cent_does_not_change_the_number_over_and_over():
    rng = random.Random(0)
    budget = CandidateBudget(GOAL_S, 10, 10_000, 300)
    used = run(budget, lambda _, k: (0.004 + 1e-4 * k) * rng.lognormvariate(0, 0.03), 3000)
    assert len(changes(used[300:])) <= 2


def test_it_follows_a_machine_that_becomes_slower_and_faster_again():
    budget = CandidateBudget(GOAL_S, 10, 10_000, 100)
    slowness = {0: 1.0, 1: 3.0, 2: 1.0}
    used = run(budget, lambda tick, k: 1e-4 * k * slowness[tick // 400], 1200)
    assert used[399] == used[1199] and 0.28 < used[799] / used[399] < 0.36


def test_numbers_stay_in_bounds_and_on_a_ladder_of_small_steps():
    budget = CandidateBudget(GOAL_S, 16, 999, 5000)
    assert budget.candidates == 999
    assert set(run(budget, lambda _, k: 1.0, 100)[20:]) == {16}
    assert set(run(budget, lambda _, k: 0.0, 400)[-10:]) == {999}
    ladder = budget.ladder
    assert ladder[0] == 16 and ladder[-1] == 999
    assert all(a + 1 <= b <= max(a + 1, STEP * a) for a, b in itertools.pairwise(ladder))
    # More than the maximum cannot be the minimum.
    assert CandidateBudget(GOAL_S, 64, 32, 64).ladder == [32]


def test_equal_durations_give_equal_numbers():
    rng = random.Random(1)
    durations = [rng.uniform(0.0, 0.15) for _ in range(500)]
    first, second = (
        run(CandidateBudget(GOAL_S, 16, 5000, 800), lambda tick, _: durations[tick], 500)
        for _ in range(2)
    )
    assert first == second and len(set(first)) > 5


def test_it_is_settled_once_a_window_of_ticks_has_changed_nothing():
    budget = CandidateBudget(GOAL_S, 16, 5000, 800)
    assert not budget.settled
    run(budget, lambda _, k: 1e-4 * k, 5)
    assert budget.candidates < 800 and not budget.settled
    run(budget, lambda _, k: 1e-4 * k, 60)
    assert budget.settled


@pytest.mark.parametrize(
    'planner',
    [
        MPPI(MPPIConfig(noise=0.3), 2),
        CEM(CEMConfig(horizon=7), 2),
        RandomShooting(RandomShootingConfig(horizon=4), 2),
    ],
)
def test_a_planner_with_other_candidates_differs_in_nothing_else(planner):
    other = with_candidates(planner, 77)
    assert other.config.candidates == 77 and type(other) is type(planner)
    assert with_candidates(other, planner.config.candidates) == planner


@pytest.mark.parametrize('minimum', [16, 800])
def test_it_is_not_settled_where_no_number_fits(minimum):
    budget = CandidateBudget(GOAL_S, minimum, 800, 800)
    run(budget, lambda _, k: 3 * GOAL_S + 1e-6 * k, 300)
    assert budget.candidates == budget.ladder[0]
    assert budget.overloaded and not budget.settled
    run(budget, lambda _, k: 0.97 * GOAL_S, 30)
    assert budget.settled and not budget.overloaded
