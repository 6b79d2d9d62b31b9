# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Surrogate objectives of policy search, one value per task, to be maximised.

Differentiated once at the parameters that the actions were drawn with, the first four are the
policy gradient. They differ in what a second derivative finds (H1, H2, H12: ProMP, equation 6):

log_likelihood      H2                      the score alone: nothing of how sampling changes
lvc                 H1 + H2                 low variance curvature (ProMP, equation 9)
likelihood_ratio    H1 + H2                 the same, and right away from there too (equation 12)
dice                H1 + H2 + H12 + H12^T   unbiased (equation 7; Foerster et al. 2018)
clipped             as likelihood_ratio within 1 - clip .. 1 + clip (PPO; ProMP, equation 13)

All tensors are [N, R, T]. log_prob: of the actions under the parameters in question; old_log_prob:
when they were drawn; credit: what an action is worth, an advantage, or for `dice` the reward of
its own step; alive: which steps count.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mbmrl_ros.objectives.returns import masked_mean

Surrogate = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(log_prob, old_log_prob, credit, alive) -> objective [N]."""


def log_likelihood(
    log_prob: Tensor, old_log_prob: Tensor, credit: Tensor, alive: Tensor
) -> Tensor:
    """Return mean log pi(a|s) A (REINFORCE; RL-MAML, Finn et al. 2017)."""
    return masked_mean(log_prob * credit, alive)


def lvc(log_prob: Tensor, old_log_prob: Tensor, credit: Tensor, alive: Tensor) -> Tensor:
    """Return mean pi / stop(pi) A, whose ratio is 1 wherever it is looked at."""
    return masked_mean((log_prob - log_prob.detach()).exp() * credit, alive)


def likelihood_ratio(
    log_prob: Tensor, old_log_prob: Tensor, credit: Tensor, alive: Tensor
) -> Tensor:
    """Return mean pi / pi_old A, whose ratio is 1 where the actions were drawn."""
    return masked_mean((log_prob - old_log_prob).exp() * credit, alive)


def dice(log_prob: Tensor, old_log_prob: Tensor, credit: Tensor, alive: Tensor) -> Tensor:
    """Return the mean, over paths and all T steps, of the magic box of what led to a reward."""
    scores = torch.where(alive, log_prob, 0.0).cumsum(-1)
    box = (scores - scores.detach()).exp()
    return (box * torch.where(alive, credit, 0.0)).mean((1, 2))


def clipped(clip: float) -> Surrogate:
    """Return PPO's surrogate (Schulman et al. 2017, equation 7)."""

    def surrogate(log_prob: Tensor, old_log_prob: Tensor, credit: Tensor, alive: Tensor) -> Tensor:
        ratio = (log_prob - old_log_prob).exp()
        bounded = ratio.clamp(1 - clip, 1 + clip)
        return masked_mean(torch.minimum(ratio * credit, bounded * credit), alive)

    return surrogate


def exploration(log_prob: Tensor, alive: Tensor, later_rewards: Tensor) -> Tensor:
    """Return E-MAML's credit [N] to the samples that a step was computed from.

    log_prob, alive: of these samples. later_rewards: [N] the mean reward per step after the step,
    standardised over tasks. The authors' code takes means over steps; the paper has sums.
    """
    return masked_mean(log_prob, alive) * later_rewards
