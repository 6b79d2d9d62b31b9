# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian policies against torch.distributions, shared or one set per task."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from mbmrl_ros.policies.gaussian import GaussianPolicy, kl, log_prob, sample

POLICY = GaussianPolicy(observation_size=5, action_size=3, hidden_sizes=(16, 8))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(tasks=None, seed=0):
    """Return parameters with biases and stds that differ, shared or for so many tasks."""
    params = POLICY.init(seeded(seed))
    generator = seeded(seed + 1)
    shape = (tasks,) if tasks else ()
    return {
        name: value + 0.3 * torch.randn(*shape, *value.shape, generator=generator)
        for name, value in params.items()
    }


def reference(distribution):
    std = distribution['log_std'].exp().expand_as(distribution['mean'])
    return Independent(Normal(distribution['mean'], std), 1)


def test_it_starts_with_the_std_that_it_was_given():
    params = GaussianPolicy(2, 3, init_std=0.5).init(seeded())
    torch.testing.assert_close(params['log_std'], torch.full((3,), math.log(0.5)))


def test_likelihood_and_divergence_are_those_of_torch():
    observations = torch.randn(4, 6, 7, 5, generator=seeded(2))
    old = POLICY.distribution(drawn(4), observations)
    new = POLICY.distribution(drawn(4, seed=5), observations)
    actions = sample(old, seeded(3))
    assert actions.shape == (4, 6, 7, 3)
    torch.testing.assert_close(log_prob(old, actions), reference(old).log_prob(actions))
    torch.testing.assert_close(
        kl(old, new), kl_divergence(reference(old), reference(new)), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(kl(old, old), torch.zeros(4, 6, 7), atol=1e-6, rtol=0)


def test_samples_have_the_mean_and_the_std():
    params = drawn()
    distribution = POLICY.distribution(params, torch.ones(40_000, 5))
    actions = sample(distribution, seeded(4))
    std = params['log_std'].exp()
    # Standard errors: std / 200 of a mean, std / 283 of a std; 5 of them.
    assert ((actions.mean(0) - distribution['mean'][0]).abs() < 5 * std / 200).all()
    assert ((actions.std(0) - std).abs() < 5 * std / 283).all()


@pytest.mark.parametrize('between', [(), (7,)])
def test_a_task_is_acted_in_as_if_it_were_alone(between):
    params = drawn(4)
    observations = torch.randn(4, 6, *between, 5, generator=seeded(2))
    whole = POLICY.distribution(params, observations)
    for task in range(4):
        alone = POLICY.distribution({k: v[task] for k, v in params.items()}, observations[task])
        torch.testing.assert_close(whole['mean'][task], alone['mean'])
        torch.testing.assert_close(whole['log_std'][task].flatten(), alone['log_std'])


def test_the_std_has_a_floor_for_sampling_and_for_likelihoods_alike():
    policy = GaussianPolicy(5, 3, (8,), min_std=0.1)
    params = policy.init(seeded()) | {'log_std': torch.tensor([-50.0, math.log(0.1), 0.0])}
    for each in (params, {name: value[None] for name, value in params.items()}):
        std = policy.distribution(each, torch.zeros(1, 2, 5))['log_std'].exp().flatten()
        torch.testing.assert_close(std, torch.tensor([0.1, 0.1, 1.0]))
