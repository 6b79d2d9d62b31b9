# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import gymnasium
import numpy as np
import pytest
import torch

from mbmrl_ros.bench import planners
from mbmrl_ros.bench.planners import PROBLEMS, Runs, bench_planners, drive, ours

PENDULUM, HILL = PROBLEMS['pendulum'], PROBLEMS['hill']


def test_the_pendulum_is_gymnasiums():
    env = gymnasium.make('Pendulum-v1').unwrapped
    env.reset(seed=0)
    env.state = np.array(PENDULUM.start)
    state = torch.tensor(PENDULUM.start, dtype=torch.float64)
    for action in (0.5, -1.0, 1.0, 0.2):
        env.step(np.array([2.0 * action]))
        state = PENDULUM.step(state, torch.tensor([action], dtype=torch.float64))
        np.testing.assert_allclose(state.numpy(), env.state, atol=1e-6)


def test_a_state_upright_costs_nothing_and_one_that_hangs_pi_squared():
    states = torch.tensor([[0.0, 0.0], [2 * math.pi, 0.0], [math.pi, 1.0]])
    expected = torch.tensor([0.0, 0.0, math.pi**2 + 0.1])
    torch.testing.assert_close(PENDULUM.cost(states), expected, rtol=0, atol=1e-5)


def test_the_hill_is_highest_at_its_top_and_the_goal_costs_almost_nothing():
    assert float(HILL.cost(torch.tensor([-0.5, -1.0]))) == pytest.approx(200 + 6.25 + 9)
    # exp(-(2.5^2 + 2.5 * 3 + 3^2) / 4) = exp(-5.69), of 200.
    assert float(HILL.cost(torch.tensor([2.0, 2.0]))) == pytest.approx(200 * math.exp(-5.6875))


def test_a_run_adds_up_costs_and_squared_changes():
    actions = iter([0.0, 1.0, 0.5] + [0.5] * 17)
    start = torch.tensor([HILL.start])
    runs = drive(HILL, lambda state: torch.full((1, 2), next(actions)), start)
    # Two actions that change by 1 and by 0.5, over 19 changes.
    assert float(runs.roughness) == pytest.approx(2 * (1 + 0.25) / 19)


def test_ours_reaches_the_goal_behind_the_hill():
    runs = ours(HILL, (100, 20), seeds=3)
    # Straight through the hill costs more than 200 a step; standing still 20 * 43.
    assert (runs.costs < 20 * 41).all()


def test_every_planner_is_on_every_problem_with_its_interval(monkeypatch):
    for who in ('ours', 'theirs'):
        runs = Runs(torch.tensor([1.0, 3.0]), torch.tensor([0.1, 0.3]))
        monkeypatch.setattr(planners, who, lambda *arguments, runs=runs: runs)
    found = bench_planners(seeds=2)['problems']
    assert list(found) == [
        'pendulum 100 x 15', 'pendulum 500 x 15', 'pendulum 100 x 25', 'pendulum 500 x 25',
        'hill 500 x 20',
    ]  # fmt: skip
    for entry in found.values():
        assert list(entry) == ['mbmrl', 'MPPI', 'SMPPI', 'KMPPI']
        # t(0.975, 1) = 12.706 times sqrt(2) / sqrt(2).
        assert entry['KMPPI'] == pytest.approx(
            {'cost': 2, 'interval': 12.706, 'roughness': 0.2}, 1e-3
        )


@pytest.mark.parametrize('other', ['MPPI', 'SMPPI', 'KMPPI'])
def test_the_peers_drive(other):
    package = pytest.importorskip('pytorch_mppi')
    make = planners._peers(package)[other](HILL, (50, 5))
    runs = planners.theirs(HILL, make, seeds=1)
    assert runs.costs.isfinite().all() and float(runs.roughness) > 0
