# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Hessian of the divergence after inner steps, times a vector.

With theta' = theta + alpha grad J(theta) of each task, and KL(old || pi_theta') zero and flat
where theta' is what was sampled with, the Hessian with respect to theta is exactly

    D^T F D      D = I + alpha H of a task's J,  F the Hessian of the divergence at theta'

averaged over tasks. Three products of second order take the place of one of fourth order, whose
other terms are all zero there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.adaptation.policy_gradient import per_task
from mbmrl_ros.networks.params import group
from mbmrl_ros.objectives.surrogates import Surrogate
from mbmrl_ros.objectives.trust_region import Curvature
from mbmrl_ros.training.meta.learner import (
    MetaLearner,
    divergence,
    evaluate,
    step_sizes,
)
from mbmrl_ros.training.parallel import threads
from mbmrl_ros.training.policy_step import parts
from mbmrl_ros.training.samples import Rounds, Samples
from mbmrl_ros.types import Params


class Slope(NamedTuple):
    """Gradients of each task's value at a point [N, ...], with the graph that bends them."""

    point: Params
    gradients: Params

    def bend(self, vector: Params) -> Params:
        """Return each task's Hessian times its vector [N, ...]."""
        inner = torch.stack([(self.gradients[k] * v).sum() for k, v in vector.items()]).sum()
        return dict(zip(self.point, _gradients(inner, self.point, retain_graph=True)))


def meta_curvature(learner: MetaLearner, rounds: Rounds, surrogate: Surrogate) -> Curvature:
    """Return v -> D^T F D v, for samples of all rounds and a row's inner surrogate."""

    def piece_of(part: slice) -> _Piece:
        return _Piece.of(learner, [samples.part(part) for samples in rounds.samples], surrogate)

    with threads() as each:
        pieces = each(piece_of, parts(rounds))
    tasks = len(rounds.samples[0].alive)

    def product(vector: Params) -> Params:
        with threads() as each:
            images = each(lambda piece: piece.image(vector), pieces)
        return {name: torch.stack([i[name] for i in images]).sum(0) / tasks for name in vector}

    return product


class _Piece(NamedTuple):
    """What some of the tasks add: slopes of their inner steps, and of the divergence after."""

    steps: list[Slope]
    metric: Slope
    sizes: Params
    first_order: bool

    @classmethod
    def of(cls, learner: MetaLearner, rounds: list[Samples], surrogate: Surrogate) -> _Piece:
        *before, after = rounds
        sizes = {k: v.detach() for k, v in step_sizes(learner, learner.trained).items()}
        params = per_task({k: v.detach() for k, v in learner.params.items()}, len(after.alive))
        steps: list[Slope] = []
        for samples in before:
            point = _leaves(params)
            steps.append(_slope(evaluate(learner, point, samples, surrogate), point))
            slopes = steps[-1].gradients
            params = {k: v + sizes[k] * slopes[k].detach() for k, v in params.items()}
        point = _leaves(params)
        now = learner.policy.distribution(point, after.observations)
        metric = _slope(divergence(after, now), point)
        return cls(steps, metric, sizes, learner.config.first_order)

    def image(self, vector: Params) -> Params:
        """Return the sum over the tasks of D^T F D v."""
        to_sizes = group(vector, 'step_sizes')
        moved = per_task(group(vector, 'params'), len(self.metric.point['log_std']))
        for step in self.steps:
            bend = {} if self.first_order else step.bend(moved)
            moved = {k: v + self.sizes[k] * bend[k] if bend else v for k, v in moved.items()}
            for name, value in to_sizes.items():
                moved[name] = moved[name] + value * step.gradients[name].detach()
        pulled = self.metric.bend(moved)
        image = {f'step_sizes/{name}': torch.zeros_like(v) for name, v in to_sizes.items()}
        for step in reversed(self.steps):
            for name in to_sizes:
                by_size = step.gradients[name].detach() * pulled[name]
                image[f'step_sizes/{name}'] += by_size.sum(0)
            if not self.first_order:
                bend = step.bend({k: self.sizes[k] * v for k, v in pulled.items()})
                pulled = {k: v + bend[k] for k, v in pulled.items()}
        return image | {f'params/{name}': value.sum(0) for name, value in pulled.items()}


def _slope(values: Tensor, point: Params) -> Slope:
    gradients = _gradients(values.sum(), point, create_graph=True)
    return Slope(point, dict(zip(point, gradients)))


def _gradients(
    value: Tensor, point: Params, retain_graph: bool | None = None, create_graph: bool = False
) -> tuple[Tensor, ...]:
    return torch.autograd.grad(
        value,
        list(point.values()),
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def _leaves(params: Params) -> Params:
    return {name: value.detach().contiguous().requires_grad_() for name, value in params.items()}
