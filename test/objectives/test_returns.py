# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Returns and advantages against sums that are written out."""

import torch

from mbmrl_ros.objectives.returns import discounted_sums, gae, masked_mean, returns, standardised


def test_discounted_sums_are_the_recursion():
    values = torch.randn(2, 3, 7, dtype=torch.float64)
    expected, following = torch.zeros_like(values), torch.zeros(2, 3, dtype=torch.float64)
    for step in reversed(range(7)):
        following = values[..., step] + 0.9 * following
        expected[..., step] = following
    torch.testing.assert_close(discounted_sums(values, 0.9), expected)
    assert torch.equal(discounted_sums(values, 0.0), values)


def test_gae_is_the_recursion_and_ends_with_the_path():
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 1, 4, 6, generator=generator, dtype=torch.float64)
    last = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    length = torch.tensor([6, 3, 1, 6])
    alive = (torch.arange(6) < length[:, None])[None]
    last[0, 1:3] = 0.0  # these have ended before
    found = gae(rewards, values, alive, last, 0.95, 0.8)
    for path in range(4):
        steps = int(length[path])
        advantage = 0.0
        for step in reversed(range(steps)):
            after = values[0, path, step + 1] if step + 1 < steps else last[0, path]
            error = rewards[0, path, step] + 0.95 * after - values[0, path, step]
            advantage = error + 0.95 * 0.8 * advantage
            torch.testing.assert_close(found[0, path, step], advantage)
        assert not found[0, path, steps:].any()


def test_with_lambda_one_an_advantage_is_the_return_less_the_value():
    rewards, values = torch.randn(2, 1, 4, 6, dtype=torch.float64)
    alive = torch.ones(1, 4, 6, dtype=torch.bool)
    zero = torch.zeros(1, 4, dtype=torch.float64)
    found = gae(rewards, values, alive, zero, 0.9, 1.0)
    torch.testing.assert_close(found, returns(rewards, alive, 0.9) - values)


def test_every_task_is_standardised_by_its_own_samples():
    alive = torch.rand(3, 5, 9) < 0.7
    values = torch.randn(3, 5, 9) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1) + 5
    found = standardised(values, alive)
    torch.testing.assert_close(masked_mean(found, alive), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(masked_mean(found.square(), alive), torch.ones(3))
    assert not found[~alive].any()
    alone = standardised(values[1:2], alive[1:2])
    torch.testing.assert_close(found[1:2], alone)
