# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import gymnasium
import numpy as np
import pytest
import torch

from mbmrl_ros.bench import policy
from mbmrl_ros.bench.policy import EFFORT, PEER, GymnasiumTask, PolicySize, bench_policy

TINY = PolicySize(tasks=2, rollouts=2, width=4)


def test_ratios_are_of_the_medians_and_steps_are_those_before_and_after(monkeypatch):
    times = {'iteration': 6e3, 'physics': 4e3, 'policy': 500.0, 'update': 1e3, 'gymnasium': 18e3}
    monkeypatch.setattr(policy, 'alternate', lambda *arguments, **options: times)
    found = bench_policy(TINY, 1, 1)
    assert found['physics_ratio'] == pytest.approx(1.5)
    assert found['speedup'] == pytest.approx(3.0)
    # 2 tasks x 2 rollouts x 100 steps, before and after the inner step.
    assert found['steps'] == 800
    assert (found['iteration_s'], found['policy_s'], found['update_s']) == (6.0, 0.5, 1.0)


def test_what_is_timed_runs_and_its_parts_are_within_it():
    found = bench_policy(TINY, 1, 1)
    assert 0 < found['policy_s'] + found['update_s'] < found['iteration_s']
    assert found['physics_s'] > 0 and found['gymnasium_s'] > 0


@pytest.mark.parametrize('direction', [-1.0, 1.0])
def test_the_peer_earns_the_velocity_in_the_direction_less_effort(direction):
    theirs = GymnasiumTask(rollouts=1, horizon=3)
    theirs.reset(torch.tensor([[direction]]), torch.Generator().manual_seed(0))
    action = torch.linspace(-20.0, 20.0, 6)
    reward = theirs.step(action[None, None])[1]
    theirs.close()
    # The same step in gymnasium's own environment, by actions of a tenth, cut at 1.
    own = gymnasium.make(PEER, ctrl_cost_weight=EFFORT)
    seed = int(torch.randint(2**31, (1,), generator=torch.Generator().manual_seed(0)))
    own.reset(seed=seed)
    taken = np.clip(action.numpy() / 10, -1, 1)
    velocity = own.step(taken)[4]['x_velocity']
    assert float(reward) == pytest.approx(direction * velocity - 0.05 * (taken**2).sum(), abs=1e-5)
