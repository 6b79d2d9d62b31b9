# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Outer optimisers: Adam on all samples, or one step in a trust region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from mbmrl_ros.objectives.trust_region import Curvature, trust_region_step
from mbmrl_ros.training.parallel import threads
from mbmrl_ros.training.samples import Rounds
from mbmrl_ros.types import Metrics, Params

TaskObjective = Callable[[Params, slice], Tensor]
"""(trained, which tasks) -> the objective of each of them [n]."""

Outcome = Callable[[Params, slice], tuple[Tensor, Tensor]]
"""(trained, which tasks) -> the objective [n], and the divergence [n] from what was sampled."""

# Samples that are differentiated at once: what of them passes through a layer of 64 units, a few
# megabytes, stays in the cache of the processor from the one operation to the next.
SAMPLES_AT_ONCE = 8_000


class Trainable(Protocol):
    """What an outer step changes."""

    trained: Params
    optimiser: torch.optim.Optimizer


def parts(rounds: Rounds) -> Iterator[slice]:
    """Yield the tasks in groups that are worth one call."""
    tasks, rollouts, horizon = rounds.samples[0].alive.shape
    size = max(1, SAMPLES_AT_ONCE // (rollouts * horizon))
    for first in range(0, tasks, size):
        yield slice(first, min(first + size, tasks))


def adam_steps(learner: Trainable, objective: TaskObjective, rounds: Rounds, steps: int) -> None:
    """Raise the mean over tasks by full-batch steps of Adam."""
    tensors = list(learner.trained.values())
    tasks = len(rounds.samples[0].alive)

    def slope(part: slice) -> tuple[Tensor, ...]:
        return torch.autograd.grad(objective(learner.trained, part).sum(), tensors)

    with threads() as each:
        for _ in range(steps):
            # Exact: the gradient of a sum over tasks is the sum of gradients.
            for value, *slopes in zip(tensors, *each(slope, parts(rounds))):
                value.grad = torch.stack(slopes).sum(0) / -tasks
            learner.optimiser.step()


def trust_region(
    learner: Trainable, outcome: Outcome, delta: float, curvature: Curvature | None = None
) -> Metrics:
    """Raise the mean over tasks by one step whose mean divergence is at most delta.

    curvature: a shorter way to the Hessian of the divergence, where there is one.
    """

    @lru_cache(maxsize=1)
    def known(values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        # Objective and divergence share the inner steps.
        return outcome(dict(zip(learner.trained, values)), slice(None))

    step = trust_region_step(
        lambda trained: -known(tuple(trained.values()))[0].mean(),
        lambda trained: known(tuple(trained.values()))[1].mean(),
        learner.trained,
        delta,
        curvature=curvature,
    )
    with torch.no_grad():
        for name, value in learner.trained.items():
            value.copy_(step.params[name])
    return {'kl_after': step.kl, 'step_accepted': float(step.accepted)}
