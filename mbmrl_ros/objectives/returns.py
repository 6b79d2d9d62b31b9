# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Returns and advantages of paths [..., T] that may end before T.

Sums over the future are one product with a triangular matrix of powers, for all paths at once.
"""

from __future__ import annotations

import torch
from torch import Tensor


def powers(discount: float, steps: int, like: Tensor) -> Tensor:
    """Return the matrix [T, T] whose entry (k, t) is discount^(k - t) where k >= t, else 0."""
    time = torch.arange(steps, device=like.device)
    lag = time[:, None] - time
    decayed = torch.pow(torch.tensor(discount, dtype=like.dtype), lag.clamp(min=0))
    return torch.where(lag >= 0, decayed, 0.0)


def discounted_sums(values: Tensor, discount: float) -> Tensor:
    """Return sum_{k >= t} discount^(k - t) values_k [..., T]."""
    return values @ powers(discount, values.shape[-1], values)


def returns(rewards: Tensor, alive: Tensor, discount: float) -> Tensor:
    """Return the discounted return [..., T] from every step on, within the path."""
    return discounted_sums(rewards * alive, discount)


def gae(
    rewards: Tensor,
    values: Tensor,
    alive: Tensor,
    last_value: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Return generalised advantage estimates [..., T] (Schulman et al. 2016, equation 16).

    values: [..., T] of the states before each step. last_value: [...] of the state after step T;
    0 where the path ended, and 0 everywhere for whoever does not bootstrap at a time limit. What
    comes after a path's end is 0.
    """
    following = torch.cat([(values * alive)[..., 1:], last_value[..., None]], -1)
    errors = (rewards + discount * following - values) * alive
    return discounted_sums(errors, discount * gae_lambda) * alive


def masked_mean(values: Tensor, alive: Tensor) -> Tensor:
    """Return the mean [N] over the samples of each task [N, ...] that count."""
    weights = alive.to(values.dtype)
    rows = tuple(range(1, values.dim()))
    # Where a path ended, what follows may be anything: 0 times NaN would be NaN.
    kept = torch.where(alive, values, 0.0)
    return kept.sum(rows) / weights.sum(rows).clamp(min=1)


def standardised(values: Tensor, alive: Tensor) -> Tensor:
    """Return values with mean 0 and standard deviation 1 over each task's samples [N, ...]."""
    shape = (-1, *[1] * (values.dim() - 1))
    centred = values - masked_mean(values, alive).view(shape)
    std = masked_mean(centred.square(), alive).sqrt().view(shape)
    return centred / (std + 1e-8) * alive
