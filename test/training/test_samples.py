# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What samples are worth, by identities."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.objectives.returns import discounted_sums, masked_mean
from mbmrl_ros.policies.gaussian import log_prob
from mbmrl_ros.training.samples import (
    AdvantageConfig,
    advantages,
    path_returns,
    score,
    step_rewards,
)
from mbmrl_ros.types import Paths

CONFIG = AdvantageConfig()


def drawn(seed=0, tasks=3, steps=12):
    """Return paths of which every third ends early."""
    generator = torch.Generator().manual_seed(seed)
    shape = (tasks, 9, steps)
    observations = torch.randn(*shape, 2, generator=generator)
    length = torch.where(torch.arange(9) % 3 == 0, 5, steps)
    return Paths(
        observations,
        torch.randn(*shape, 2, generator=generator),
        torch.randn(shape, generator=generator),
        torch.randn(tasks, 9, 2, generator=generator),
        (torch.arange(steps) < length[:, None]).expand(shape),
        (length < steps).expand(tasks, 9),
        {'mean': torch.zeros(*shape, 2), 'log_std': torch.zeros(*shape, 2)},
    )


def of_task(paths, task):
    rows = slice(task, task + 1)
    tensors = {k: v[rows] for k, v in vars(paths).items() if isinstance(v, torch.Tensor)}
    return replace(paths, **tensors, distribution={k: v[rows] for k, v in
                                                   paths.distribution.items()})  # fmt: skip


@pytest.mark.parametrize('credit', ['advantages', 'rewards'])
def test_tasks_are_valued_each_by_itself(credit):
    paths = drawn()
    whole = score(paths, CONFIG, credit)
    for task in range(3):
        alone = score(of_task(paths, task), CONFIG, credit)
        torch.testing.assert_close(whole.credit[task], alone.credit[0], atol=1e-5, rtol=1e-4)
    before = log_prob(paths.distribution, paths.actions)
    torch.testing.assert_close(whole.old_log_prob[paths.alive], before[paths.alive])
    torch.testing.assert_close(whole.mean_reward, masked_mean(paths.rewards, paths.alive))


def test_what_comes_after_an_end_changes_nothing():
    paths = drawn()
    dead = ~paths.alive
    spoiled = replace(
        paths,
        observations=torch.where(dead[..., None], torch.nan, paths.observations),
        actions=torch.where(dead[..., None], torch.nan, paths.actions),
        rewards=torch.where(dead, torch.nan, paths.rewards),
    )
    for credit in ('advantages', 'rewards'):
        clean, other = score(paths, CONFIG, credit), score(spoiled, CONFIG, credit)
        assert torch.equal(clean.credit, other.credit)
        assert torch.equal(clean.observations, other.observations)
        assert not clean.credit[dead].any()
    assert torch.equal(path_returns(paths), path_returns(spoiled))


def test_a_reward_that_is_not_finite_is_one_line():
    paths = drawn()
    rewards = paths.rewards.clone()
    rewards[2, 1, 3] = torch.nan
    with pytest.raises(UserError, match=r'1 of .* steps have a reward .* task 2 at step 3'):
        score(replace(paths, rewards=rewards), CONFIG)


def test_scaled_rewards_sum_to_ones_that_advantages_are_like():
    paths = drawn()
    worth = score(paths, CONFIG, 'rewards')
    sums = discounted_sums(worth.credit, 1.0)
    torch.testing.assert_close(masked_mean(sums.square(), worth.alive), torch.ones(3))
    # A baseline of time alone takes away what all paths have at a step.
    constant = replace(paths, rewards=torch.ones_like(paths.rewards))
    config = AdvantageConfig(discount=1.0)
    torch.testing.assert_close(
        step_rewards(constant, config), torch.zeros(3, 9, 12), atol=1e-2, rtol=0
    )


def test_a_time_limit_is_valued_where_it_is_asked_for():
    """Rewards are the place, which stands still: the value is place / (1 - gamma)."""
    paths = drawn()
    place = torch.rand(3, 9, 1, 2, generator=torch.Generator().manual_seed(1)) + 1
    paths = replace(
        paths,
        observations=place.expand(3, 9, 12, 2),
        last_observation=place[:, :, 0],
        rewards=place[..., 0].expand(3, 9, 12),
        alive=torch.ones(3, 9, 12, dtype=torch.bool),
        ended=torch.zeros(3, 9, dtype=torch.bool),
    )
    config = AdvantageConfig(discount=0.9, bootstrap=True)
    # All that happens is foreseen, so nothing is better than expected.
    torch.testing.assert_close(advantages(paths, config), torch.zeros(3, 9, 12), atol=2e-2, rtol=0)
    ended = replace(paths, ended=torch.ones(3, 9, dtype=torch.bool))
    config = AdvantageConfig(discount=0.9)
    both = AdvantageConfig(discount=0.9, bootstrap=True)
    torch.testing.assert_close(advantages(ended, config), advantages(ended, both))
