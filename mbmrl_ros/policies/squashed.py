# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian policies whose actions a tanh bounds (SAC: Haarnoja et al. 2018, appendix C).

    u ~ N(mean(s), diag(std(s))^2)        a = tanh(u) in -1..1

A distribution is that of u: a dict of `mean` and `log_std`, as that of a Gaussian policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mbmrl_ros.networks.mlp import init_mlp, mlp
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.policies.gaussian import log_prob as gaussian_log_prob
from mbmrl_ros.types import Params

# Bounds of the logarithm of the standard deviation, which a tanh keeps differentiable.
MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0
LOG_2 = math.log(2.0)
# The largest number below 1 in float32, by which an action of +-1 has a finite u.
ALMOST_ONE = 1.0 - 2.0**-24


@dataclass(frozen=True)
class SquashedPolicy:
    """A feed-forward policy; its network's input is observation * scale + shift."""

    observation_size: int
    action_size: int
    hidden_sizes: tuple[int, ...] = (256, 256)

    def init(self, generator: torch.Generator) -> Params:
        """Draw weights; scale [S] is 1 and shift [S] is 0."""
        sizes = (self.observation_size, *self.hidden_sizes, 2 * self.action_size)
        size = self.observation_size
        return {'scale': torch.ones(size), 'shift': torch.zeros(size)} | init_mlp(sizes, generator)

    def distribution(self, params: Params, observations: Tensor) -> Distribution:
        """Return the distribution of u [..., A] for observations [..., S]."""
        mean, raw = mlp(params, observations).chunk(2, -1)
        middle, half = (MAX_LOG_STD + MIN_LOG_STD) / 2, (MAX_LOG_STD - MIN_LOG_STD) / 2
        return {'mean': mean, 'log_std': middle + half * torch.tanh(raw)}


def draw(distribution: Distribution, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return actions [..., A] and the logarithm of their density [...], both reparameterised."""
    mean, log_std = distribution['mean'], distribution['log_std']
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    raw = torch.addcmul(mean, noise, log_std.exp())
    # Of the noise itself: exact, and without a division by std.
    density = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    return raw.tanh(), (density - _log_slope(raw)).sum(-1)


def sample(distribution: Distribution, generator: torch.Generator) -> Tensor:
    """Draw actions [..., A] in -1..1."""
    return draw(distribution, generator)[0]


def mode(distribution: Distribution) -> Tensor:
    """Return tanh(mean) [..., A], the action without noise."""
    return distribution['mean'].tanh()


def log_prob(distribution: Distribution, actions: Tensor) -> Tensor:
    """Return the logarithm of the density [...] of actions [..., A] in -1..1."""
    raw = actions.clamp(-ALMOST_ONE, ALMOST_ONE).atanh()
    return gaussian_log_prob(distribution, raw) - _log_slope(raw).sum(-1)


def _log_slope(raw: Tensor) -> Tensor:
    """Return log(1 - tanh(u)^2) of each component, which stays finite where tanh is 1."""
    return 2.0 * (LOG_2 - raw - softplus(-2.0 * raw))
