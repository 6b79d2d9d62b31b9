# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What trains an actor-critic: the right weights move, by what Adam says, and they learn."""

import pytest
import torch

from mbmrl_ros.training.soft.actor_critic import ActorCriticConfig, descend, init_actor_critic
from mbmrl_ros.training.soft.updates import Targets, improve_critics

CONFIG = ActorCriticConfig(hidden_sizes=(6, 7))


@pytest.mark.parametrize('part', ['params', 'critic'])
def test_a_first_step_moves_each_weight_against_its_own_gradient(part):
    # Adam's first step is the learning rate times the sign of the gradient, of each weight.
    learner = init_actor_critic(3, 2, CONFIG, seed=0)
    generator = torch.Generator().manual_seed(1)
    observations, actions = torch.randn(9, 3, generator=generator), torch.rand(9, 2, generator=generator)

    def loss():
        if part == 'critic':
            return learner.critic.values(learner.critics, observations, actions).square().sum()
        distribution = learner.policy.distribution(learner.params, observations)
        return sum(each.square().sum() for each in distribution.values())

    names = [name for name in learner.trained if name.startswith(part) and 'weight' in name]
    weights = [learner.trained[name] for name in names]
    slopes = torch.autograd.grad(loss(), weights)
    before = {name: value.detach().clone() for name, value in learner.trained.items()}
    descend(learner, loss(), part)
    for name, slope in zip(names, slopes):
        moved = learner.trained[name].detach() - before[name]
        known = slope.abs() > 1e-4  # of smaller ones Adam's 1e-8 in the denominator is felt
        assert known.any()
        expected = -CONFIG.learning_rate * slope.sign()
        torch.testing.assert_close(moved[known], expected[known], rtol=1e-3, atol=1e-7)
    others = [name for name in before if not name.startswith(part)]
    assert all(torch.equal(learner.trained[name], before[name]) for name in others)


def test_critics_learn_what_plain_networks_with_a_plain_adam_learn():
    learner = init_actor_critic(3, 2, CONFIG, seed=0)
    networks = [_as_modules(learner.critics, critic) for critic in range(2)]
    adams = [torch.optim.Adam(network.parameters(), lr=3e-4, foreach=False) for network in networks]
    generator = torch.Generator().manual_seed(2)
    for _ in range(50):
        inputs = torch.randn(32, 5, generator=generator)
        wanted = inputs[:, 0] * inputs[:, 4]
        improve_critics(learner, Targets(inputs[:, :3], inputs[:, 3:], wanted))
        for network, adam in zip(networks, adams):
            adam.zero_grad()
            (0.5 * (network(inputs)[:, 0] - wanted).square().mean()).backward()
            adam.step()
    inputs = torch.randn(8, 5, generator=generator)
    ours = learner.critic.values(learner.critics, inputs[:, :3], inputs[:, 3:])
    theirs = torch.stack([network(inputs)[:, 0] for network in networks])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def _as_modules(critics, which):
    """Return one of the critics as layers of torch."""
    layers = []
    for layer in range(3):
        weight, bias = (critics[f'{name}{layer}'][which].detach() for name in ('weight', 'bias'))
        linear = torch.nn.Linear(*reversed(weight.shape))
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])
