# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two critics in one product are two critics."""

import torch

from mbmrl_ros.networks.critic import Critic
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
