# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Squashed Gaussian policies against stable-baselines3, by a sum, and where tanh is 1."""

import torch
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution

from mbmrl_ros.policies.squashed import SquashedPolicy, draw, log_prob, mode, sample


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_actions_and_densities_are_those_of_stable_baselines3():
    policy = SquashedPolicy(3, 2, (16,))
    params = policy.init(seeded())
    drawn = policy.distribution(params, torch.randn(50, 3, generator=seeded(1)))
    theirs = SquashedDiagGaussianDistribution(2, epsilon=0.0)
    theirs.proba_distribution(drawn['mean'], drawn['log_std'])
    actions, density = draw(drawn, seeded(2))
    torch.testing.assert_close(mode(drawn), theirs.mode())
    known = theirs.log_prob(actions)
    torch.testing.assert_close(log_prob(drawn, actions), known, atol=1e-3, rtol=0)
    # What a draw says of its own action is what the density says of it.
    torch.testing.assert_close(density, log_prob(drawn, actions), atol=1e-3, rtol=1e-4)
    assert torch.equal(sample(drawn, seeded(2)), actions)


def test_the_density_of_one_action_sums_to_one():
    grid = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[1:-1, None]
    drawn = {
        'mean': torch.tensor([0.4], dtype=torch.float64),
        'log_std': torch.tensor([-0.7], dtype=torch.float64),
    }
    assert abs(float(log_prob(drawn, grid).exp().sum()) * 1e-4 - 1) < 1e-6


def test_densities_and_gradients_are_finite_where_an_action_is_one():
    mean = torch.tensor([[40.0, -40.0]], requires_grad=True)
    drawn = {'mean': mean, 'log_std': torch.zeros(1, 2)}
    actions, density = draw(drawn, seeded())
    assert actions.abs().min() == 1 and density.isfinite()
    (gradient,) = torch.autograd.grad(density.sum(), mean)
    # log(1 - tanh(u)^2) falls by 2 per unit of u.
    torch.testing.assert_close(gradient, torch.tensor([[2.0, -2.0]]))
    assert log_prob(drawn, actions).isfinite()


def test_inputs_are_scaled_before_the_network():
    policy = SquashedPolicy(2, 1, (8,))
    params = policy.init(seeded())
    seen = torch.randn(5, 2, generator=seeded(1))
    changed = params | {'scale': torch.tensor([2.0, 0.5]), 'shift': torch.tensor([1.0, -1.0])}
    expected = policy.distribution(params, seen * changed['scale'] + changed['shift'])
    assert torch.equal(policy.distribution(changed, seen)['mean'], expected['mean'])
