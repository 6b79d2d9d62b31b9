# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several critics of actions as one: their layers are batched products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.networks.mlp import init_mlp, mlp
from mbmrl_ros.types import Params


@dataclass(frozen=True)
class Critic:
    """C networks Q(s, a), two by default (clipped double Q: Fujimoto et al. 2018).

    Parameters have a leading C, but scale and shift [S + A], which all share: a network's input is
    (observation, action) * scale + shift.
    """

    observation_size: int
    action_size: int
    hidden_sizes: tuple[int, ...] = (256, 256)
    critics: int = 2

    def init(self, generator: torch.Generator) -> Params:
        """Draw the networks one after the other; scale is 1 and shift is 0."""
        size = self.observation_size + self.action_size
        drawn = [init_mlp((size, *self.hidden_sizes, 1), generator) for _ in range(self.critics)]
        params = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        return {'scale': torch.ones(size), 'shift': torch.zeros(size)} | params

    def values(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Return Q [C, B] of observations [B, S] and actions [B, A]."""
        inputs = torch.cat([observations, actions], -1)
        return mlp(params, inputs.expand(self.critics, *inputs.shape))[..., 0]

    def smallest(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Return the smallest of the critics' values [B]."""
        return self.values(params, observations, actions).min(0).values
