# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The 1-D toy of ProMP (section 7.4; thesis, Fig. 17): meta-gradients beside their closed form.

A point jumps to a ~ N(theta_0 s^2 + theta_1, 1), five times, from s ~ U(-2, 2), and earns
exp(-0.1 (a - g)^2) each time; g is 1 or -1. The expected return is an integral over one place
after another, which a grid solves to the precision of its numbers, derivatives included.

Formulation I: sum_i J_i(theta + alpha grad J_i(theta)); II: the expectation over the samples that
the step is computed from, whose gradient credits all of them with what comes after (E-MAML).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.adaptation.policy_gradient import inner_step
from mbmrl_ros.objectives.surrogates import Surrogate, dice, log_likelihood, lvc
from mbmrl_ros.policies.gaussian import log_prob, sample

GOALS = torch.tensor([-1.0, 1.0], dtype=torch.float64)
HORIZON, START, ALPHA = 5, 2.0, 0.1
# Of the authors' code: 40 tasks of each goal, and where theta begins.
TASKS, BEGIN = 80, (0.09, 0.05)
# What is differentiated at once.
MOST_SAMPLES = 400_000


class Estimator(NamedTuple):
    """An inner surrogate; explores: with the gradient of formulation II, by sums over samples."""

    label: str
    surrogate: Surrogate
    explores: bool = False


ESTIMATORS = {
    'dice': Estimator('DiCE (I)', dice),
    'lvc': Estimator('LVC (I)', lvc),
    'maml': Estimator('log-likelihood (MAML)', log_likelihood),
    'e_maml': Estimator('E-MAML (II)', log_likelihood, explores=True),
}


def place(theta: Tensor, states: Tensor) -> Tensor:
    """Return where a point means to jump from states [N, ...]; theta: [N, 2]."""
    first, second = (theta[:, i].view(-1, *[1] * (states.dim() - 1)) for i in (0, 1))
    return first * states.square() + second


def exact_return(theta: Tensor) -> Tensor:
    """Return the expected return [N, 2] of theta [N, 2] towards both goals."""
    # Sums over a grid of what is as smooth as its Gaussian are exact to the last digits.
    grid = torch.linspace(-15, 15, 121, dtype=torch.float64)
    after = torch.zeros(len(theta), len(GOALS), len(grid), dtype=torch.float64)
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(40))
    starts = START * nodes
    spacing = grid[1] - grid[0]
    for step in range(HORIZON):
        states = starts if step == HORIZON - 1 else grid
        mean = place(theta, states.expand(len(theta), -1))
        density = (-0.5 * (grid - mean[..., None]).square()).exp() / math.sqrt(2 * math.pi)
        # The reward over the noise of the jump: a Gaussian integral.
        now = (-0.1 / 1.2 * (mean[:, None] - GOALS[:, None]).square()).exp() / math.sqrt(1.2)
        after = now + torch.einsum('nsa,nga->ngs', density * spacing, after)
    return after @ weights / 2


def exact_objective(theta: Tensor) -> Tensor:
    """Return the mean return [] over the goals after one step with the true gradient."""
    adapted = []
    for index in range(len(GOALS)):
        value = exact_return(theta[None])[0, index]
        (slope,) = torch.autograd.grad(value, theta, create_graph=True)
        adapted.append(theta + ALPHA * slope)
    after = exact_return(torch.stack(adapted))
    return after.diagonal().mean()


def exact_gradient(theta: Tensor) -> Tensor:
    """Return the meta-gradient [2] of formulation I."""
    theta = theta.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(exact_objective(theta), theta)
    return slope


def roll_out(
    theta: Tensor, goals: Tensor, rollouts: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Return states, actions, rewards [N, R, T] of theta [N, 2]."""
    shape = len(theta), rollouts
    state = START * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
    states, actions = [], []
    std = torch.zeros(1, dtype=torch.float64)
    for _ in range(HORIZON):
        states.append(state)
        mean = place(theta, state)[..., None]
        state = sample({'mean': mean, 'log_std': std}, generator)[..., 0]
        actions.append(state)
    made = torch.stack(actions, -1)
    rewards = (-0.1 * (made - goals[:, None, None]).square()).exp()
    return torch.stack(states, -1), made, rewards


def meta_gradients(
    theta: Tensor, estimator: Estimator, batches: int, rollouts: int, generator: torch.Generator
) -> Tensor:
    """Return independent estimates [B, 2] of the meta-gradient at theta [2], a batch each."""
    at_once = max(1, MOST_SAMPLES // (TASKS * rollouts * HORIZON))
    sizes = [min(at_once, batches - first) for first in range(0, batches, at_once)]
    return torch.cat([_estimates(theta, estimator, n, rollouts, generator) for n in sizes])


def _estimates(
    theta: Tensor, estimator: Estimator, batches: int, rollouts: int, generator: torch.Generator
) -> Tensor:
    shared = theta.detach().expand(batches, 2).clone().requires_grad_()
    each = shared.repeat_interleave(TASKS, 0)
    goals = GOALS.repeat(batches * TASKS // len(GOALS))
    before = roll_out(each.detach(), goals, rollouts, generator)

    def surrogate(candidate: dict[str, Tensor]) -> Tensor:
        return _value(candidate['theta'], before, estimator.surrogate)

    alpha = {'theta': torch.tensor(ALPHA, dtype=torch.float64)}
    adapted = inner_step(surrogate, {'theta': each}, alpha)['theta']
    after = roll_out(adapted.detach(), goals, rollouts, generator)
    gained = _value(adapted, after, log_likelihood)
    if estimator.explores:
        later = after[2].sum(2).mean(1)
        # Of the same goal in other tasks: known without the samples that it is a baseline of.
        mean = later.view(-1, 2).sum(0).repeat(len(later) // 2)
        base = (mean - later) / (len(later) // 2 - 1)
        gained = gained + _scores(each, before).sum((1, 2)) * (later - base)
    (slope,) = torch.autograd.grad(gained.view(batches, TASKS).mean(1).sum(), shared)
    return slope


def _scores(theta: Tensor, drawn: tuple[Tensor, ...]) -> Tensor:
    states, actions, _ = drawn
    std = torch.zeros(1, dtype=torch.float64)
    return log_prob({'mean': place(theta, states)[..., None], 'log_std': std}, actions[..., None])


def _value(theta: Tensor, drawn: tuple[Tensor, ...], surrogate: Surrogate) -> Tensor:
    """Return a surrogate [N] of the return: of the sum over steps, not of their mean."""
    scores, rewards = _scores(theta, drawn), drawn[2]
    to_go = rewards.flip(-1).cumsum(-1).flip(-1)
    credit = HORIZON * (rewards if surrogate is dice else to_go)
    alive = torch.ones_like(scores, dtype=torch.bool)
    return surrogate(scores, scores.detach(), credit, alive)
