# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gaussian policies as functions of explicit parameters, shared or one set per task.

    a ~ N(mean(s), diag(std)^2)      mean: an MLP      log std: one vector, for all states

A distribution is a dict of tensors, `mean` and `log_std`, which broadcast against each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.networks.mlp import Activation, init_mlp, mlp
from mbmrl_ros.types import Params

Distribution = dict[str, Tensor]
LOG_2PI = math.log(2 * math.pi)
# Of the variance in a KL divergence's denominator (the ProMP authors' code).
TINY = 1e-8


@dataclass(frozen=True)
class GaussianPolicy:
    """A feed-forward Gaussian policy.

    min_std: floor of the standard deviation. It is kept by `distribution` and so holds alike for
    sampling, before and after a step; the ProMP authors' code has it before the step only.
    """

    observation_size: int
    action_size: int
    hidden_sizes: tuple[int, ...] = (64, 64)
    init_std: float = 1.0
    min_std: float = 1e-6
    activation: Activation = torch.tanh

    def init(self, generator: torch.Generator) -> Params:
        """Draw Glorot-uniform weights, zero biases; log_std [A] is that of init_std."""
        sizes = (self.observation_size, *self.hidden_sizes, self.action_size)
        log_std = torch.full((self.action_size,), math.log(self.init_std))
        return init_mlp(sizes, generator) | {'log_std': log_std}

    def distribution(self, params: Params, observations: Tensor) -> Distribution:
        """Return the distribution of actions [..., A] for observations [..., S].

        Parameters with a leading N take observations [N, ..., S], a set per task.
        """
        # All samples of a task are the rows of one product.
        rows = observations.flatten(1, -2) if observations.dim() > 3 else observations
        mean = mlp(params, rows, activation=self.activation)
        mean = mean.view(*observations.shape[:-1], self.action_size)
        log_std = params['log_std'].clamp(min=math.log(self.min_std))
        if log_std.dim() == 2:
            log_std = log_std.view(len(log_std), *[1] * (mean.dim() - 2), self.action_size)
        return {'mean': mean, 'log_std': log_std}


def sample(distribution: Distribution, generator: torch.Generator) -> Tensor:
    """Draw actions [..., A]."""
    mean, std = distribution['mean'], distribution['log_std'].exp()
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    return torch.addcmul(mean, noise, std)


def log_prob(distribution: Distribution, actions: Tensor) -> Tensor:
    """Return the logarithm of the density [...] of actions [..., A]."""
    mean, log_std = distribution['mean'], distribution['log_std']
    deviations = (actions - mean) * (-log_std).exp()
    constant = log_std.sum(-1) + 0.5 * LOG_2PI * actions.shape[-1]
    return -0.5 * deviations.square().sum(-1) - constant


def kl(old: Distribution, new: Distribution) -> Tensor:
    """Return KL(old || new) [...], summed over the dimensions of the action."""
    squared = (old['mean'] - new['mean']).square() + (2 * old['log_std']).exp()
    variance = (2 * new['log_std']).exp()
    difference = new['log_std'] - old['log_std']
    return ((squared - variance) / (2 * variance + TINY) + difference).sum(-1)
