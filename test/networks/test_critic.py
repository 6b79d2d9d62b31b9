# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two critics in one product are two critics."""

import pytest
import torch

from mbmrl_ros.networks.critic import Critic, with_unit
from mbmrl_ros.networks.mlp import mlp


def test_two_critics_are_those_that_are_asked_one_by_one():
    critic = Critic(3, 2, (8, 8))
    params = critic.init(torch.Generator().manual_seed(0))
    params |= {'scale': torch.rand(5), 'shift': torch.rand(5)}
    seen, actions = torch.randn(7, 3), torch.randn(7, 2)
    values = critic.values(params, seen, actions)
    shared = ('scale', 'shift')
    for index in range(2):
        one = {k: v if k in shared else v[index] for k, v in params.items()}
        alone = mlp(one, torch.cat([seen, actions], -1))[:, 0]
        torch.testing.assert_close(values[index], alone)
    assert not torch.equal(values[0], values[1])
    assert torch.equal(critic.smallest(params, seen, actions), values.amin(0))


def test_a_unit_scales_values_and_can_be_put_into_the_last_layer():
    generator = torch.Generator().manual_seed(0)
    plain, large = Critic(3, 2, (8, 8)), Critic(3, 2, (8, 8), unit=50.0)
    params = plain.init(generator)
    inputs = torch.randn(4, 3, generator=generator), torch.randn(4, 2, generator=generator)
    values = large.values(params, *inputs)
    torch.testing.assert_close(values, 50.0 * plain.values(params, *inputs))
    torch.testing.assert_close(plain.values(with_unit(params, 50.0), *inputs), values)


@pytest.mark.parametrize(('unit', 'near'), [(1.0, False), (100.0, True)])
def test_large_values_are_learned_in_few_steps_by_a_large_unit(unit, near):
    # Adam at 3e-4 moves a weight of the last layer by at most 0.06 in 200 steps: with 32 units
    # whose activations are about 1, and as much again by the layers below, an output of 200 is
    # out of reach, and one of 2 is not.
    critic = Critic(3, 2, (32, 32), unit=unit)
    params = critic.init(torch.Generator().manual_seed(0))
    leaves = [value.requires_grad_() for name, value in params.items() if name[0] in 'wb']
    optimiser = torch.optim.Adam(leaves, lr=3e-4)
    states, actions = torch.ones(16, 3), torch.ones(16, 2)
    for _ in range(200):
        optimiser.zero_grad()
        (critic.values(params, states, actions) - 200.0).square().mean().backward()
        optimiser.step()
    reached = critic.values(params, states, actions).detach().mean()
    assert (abs(float(reached) - 200.0) < 20.0) == near
