# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Soft values: an endless reward, ends, entropy, weights; GAE against stable-baselines3."""

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from mbmrl_ros.objectives.returns import gae
from mbmrl_ros.objectives.soft_values import action_values, inverse_variance, temperature_loss


@pytest.mark.parametrize('steps', [1, 4])
def test_the_value_of_an_endless_reward_of_one_is_one_over_one_minus_gamma(steps):
    value, discount = torch.zeros(1), 0.9
    rewards, alive = torch.ones(steps, 1), torch.zeros(steps, 1, dtype=torch.bool)
    for update in range(1, 60):
        value = action_values(rewards, alive, torch.zeros(steps + 1, 1), value, discount)[0]
        # An expansion by T steps contracts by gamma^T.
        assert float(10 - value) == pytest.approx(10 * discount ** (steps * update), abs=1e-4)
    # One that ends after its last step is worth its T rewards.
    ends = alive.clone()
    ends[-1] = True
    values = action_values(rewards, ends, torch.zeros(steps + 1, 1), value, discount)
    assert float(values[0]) == pytest.approx(sum(discount**t for t in range(steps)), abs=1e-6)


def test_entropy_counts_from_the_second_action_on():
    rewards = torch.tensor([[1.0], [2.0]])
    entropies = torch.tensor([[100.0], [0.3], [0.5]])
    done = torch.zeros(2, 1, dtype=torch.bool)
    values = action_values(rewards, done, entropies, torch.tensor([7.0]), 0.5)
    expected = torch.tensor([[1 + 0.5 * (2 + 0.5 * 7.5 + 0.3)], [2 + 0.5 * 7.5]])
    torch.testing.assert_close(values, expected)
    none = action_values(rewards[:0], done[:0], entropies[:1], torch.tensor([7.0]), 0.5)
    assert none.shape == (0, 1)


def test_horizons_that_scatter_four_times_as_much_count_a_fourth():
    targets = torch.tensor([[[9.0], [11.0]], [[-2.0], [2.0]]])
    # Variances 1 and 4, means 10 and 0.
    assert float(inverse_variance(targets)) == pytest.approx(10 * 0.8, abs=1e-5)
    same = torch.full((3, 4, 2), 5.0)
    torch.testing.assert_close(inverse_variance(same), torch.full((2,), 5.0))


def test_the_temperature_rises_where_the_entropy_is_too_low():
    for entropy, sign in ((-7.0, -1), (-5.0, 1)):
        log_temperature = torch.tensor(np.log(0.2), requires_grad=True)
        loss = temperature_loss(log_temperature, torch.full((4,), -entropy), -6.0)
        (slope,) = torch.autograd.grad(loss, log_temperature)
        assert float(slope) == pytest.approx(sign * 0.2)


def test_advantages_are_those_of_stable_baselines3():
    steps, rng = 12, np.random.default_rng(0)
    spaces = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Box(-1, 1, (1,))
    theirs = RolloutBuffer(steps, *spaces, 'cpu', gae_lambda=0.9, gamma=0.97)
    rewards, values = rng.normal(size=steps), rng.normal(size=steps)
    zero = np.zeros((1, 1))
    for step in range(steps):
        value = torch.tensor([values[step]])
        theirs.add(zero, zero, rewards[step : step + 1], np.array([step == 0]), value, value)
    last = torch.tensor([0.7])
    theirs.compute_returns_and_advantage(last, np.array([False]))
    ours = gae(
        torch.tensor(rewards)[None],
        torch.tensor(values)[None],
        torch.ones(1, steps, dtype=torch.bool),
        last.double(),
        0.97,
        0.9,
    )
    np.testing.assert_allclose(ours[0], theirs.advantages[:, 0], atol=1e-5)
