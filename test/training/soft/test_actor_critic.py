# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What trains an actor-critic: the right weights move, by what Adam says, and they learn."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.training.soft.actor_critic import (
    ActorCriticConfig,
    descend,
    init_actor_critic,
    scale_inputs,
)
from mbmrl_ros.training.soft.updates import Targets, improve_critics

CONFIG = ActorCriticConfig(hidden_sizes=(6, 7))


@pytest.mark.parametrize('part', ['params', 'critic'])
def test_a_first_step_moves_each_weight_against_its_own_gradient(part):
    # Adam's first step is the learning rate times the sign of the gradient, of each weight.
    learner = init_actor_critic(3, 2, CONFIG, seed=0)
    generator = torch.Generator().manual_seed(1)
    observations, actions = (
        torch.randn(9, 3, generator=generator),
        torch.rand(9, 2, generator=generator),
    )

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
    adams = [
        torch.optim.Adam(network.parameters(), lr=3e-4, foreach=False) for network in networks
    ]
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


def test_inputs_are_scaled_anew_and_what_was_learned_stays():
    learner = init_actor_critic(3, 2, CONFIG, seed=0)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(9, 5, generator=generator)
    seen, actions = inputs[:, :3], inputs[:, 3:]
    first, second = (
        replace(Normalizer.identity(3), state_mean=torch.tensor(mean), state_std=torch.tensor(std))
        for mean, std in (([2.0, -1.0, 0.5], [4.0, 0.1, 1.0]), ([1.0, 0.0, 7.0], [0.5, 0.2, 5.0]))
    )

    def said():
        critics = (learner.critics, learner.slow_critics)
        values = [learner.critic.values(each, seen, actions) for each in critics]
        return [learner.policy.distribution(learner.params, seen)['mean'], *values]

    drawn = said()
    scale_inputs(learner, first, torch.arange(3))
    standard = (seen - first.state_mean) / first.state_std
    moved = [
        learner.policy.distribution(_unscaled(learner.params), standard)['mean'],
        learner.critic.values(_unscaled(learner.critics), standard, actions),
    ]
    for now, expected, before in zip(said(), moved, drawn):
        torch.testing.assert_close(now, expected)
        assert not torch.allclose(now, before), (
            'nothing was learned: they count as drawn for these'
        )
    improve_critics(learner, Targets(seen, actions, seen[:, 0]))
    learned = said()
    scale_inputs(learner, second, torch.arange(3))
    for now, before in zip(said(), learned):
        torch.testing.assert_close(now, before, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(learner.params['shift'], -second.state_mean / second.state_std)
    assert learner.critics['scale'][3:].eq(1).all(), 'actions are what they are'


def test_a_channel_that_hardly_moved_is_a_new_one_once_it_does():
    learner = init_actor_critic(2, 1, CONFIG, seed=0)
    still = replace(Normalizer.identity(2), state_std=torch.tensor([1.0, 1e-4]))
    scale_inputs(learner, still, torch.arange(2))
    seen, actions = torch.zeros(4, 2), torch.zeros(4, 1)
    improve_critics(learner, Targets(seen, actions, torch.ones(4)))
    before = {name: value.clone() for name, value in learner.critics.items()}
    moving = replace(
        still, state_mean=torch.tensor([0.0, 5.0]), state_std=torch.tensor([2.0, 1.0])
    )
    scale_inputs(learner, moving, torch.arange(2))
    weights = learner.critics['weight0']
    # Twice the deviation: twice the weight. Ten thousand times: as it was.
    torch.testing.assert_close(weights[..., 0], 2 * before['weight0'][..., 0])
    torch.testing.assert_close(weights[..., 1:], before['weight0'][..., 1:])
    torch.testing.assert_close(learner.critics['bias0'], before['bias0'])
    assert learner.critics['scale'].tolist() == [0.5, 1.0, 1.0]


def _unscaled(params):
    """Return a network's parameters with inputs as they come."""
    return {name: value for name, value in params.items() if name not in ('scale', 'shift')}


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
