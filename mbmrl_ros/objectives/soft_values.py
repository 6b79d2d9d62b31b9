# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Values with entropy: what soft actor-critics descend and ascend, of paths of a few steps.

A path has T steps: rewards r_t, done_t whether the state after step t ends it, log_probs of its
actions a_0 .. a_T, of which the last is chosen after the last step and valued by a critic. Time
comes first: [T, B].
"""

from __future__ import annotations

import torch
from torch import Tensor

# Of a variance in a denominator: targets on which all members agree.
TINY = 1e-8


def action_values(
    rewards: Tensor,
    done: Tensor,
    entropies: Tensor,
    last_value: Tensor,
    discount: float,
) -> Tensor:
    """Return Q_t = r_t + gamma (1 - done_t) V_(t+1) [T, B], with V_t = Q_t + entropy_t.

    rewards, done: [T, B]. entropies: -temperature log pi(a_t | s_t) [T + 1, B]. last_value: Q of
    the last state and action [B]. Value expansion (Feinberg et al. 2018) with SAC's entropy; for
    T = 1 the target of SAC.
    """
    value, values = last_value, []
    for step in reversed(range(len(rewards))):
        following = value + entropies[step + 1]
        value = rewards[step] + discount * torch.where(done[step], 0.0, following)
        values.append(value)
    return torch.stack(values[::-1]) if values else last_value.new_zeros(0, *last_value.shape)


def inverse_variance(targets: Tensor) -> Tensor:
    """Return the mean [B] of targets [K, M, B], horizons weighted by one over their variance.

    K horizons of M members each (STEVE: Buckman et al. 2018, section 3.2).
    """
    weights = 1.0 / (targets.var(1, unbiased=False) + TINY)
    return (weights * targets.mean(1)).sum(0) / weights.sum(0)


def temperature_loss(log_temperature: Tensor, log_probs: Tensor, target_entropy: float) -> Tensor:
    """Return what the logarithm of the temperature descends (Haarnoja et al. 2018, equation 18).

    The temperature rises while the entropy is below its target. log_probs: [B], constants.
    """
    return -log_temperature.exp() * (log_probs.detach().mean() + target_entropy)
