# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One meta-gradient, in second order, beside a loop of autograd graphs and torch.func.

The two peers are written anew on full weights and share nothing with ours but the statistics of
the normaliser, so that equal gradients say something.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from mbmrl_ros.bench.compare import Contender, alternate, conditions
from mbmrl_ros.bench.model import LAYERS, Model, draw_windows, make_model
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.training.dynamics.meta_loss import meta_loss
from mbmrl_ros.types import Params, Transitions

Gradients = tuple[Tensor, ...]
"""With respect to all parameters, then all step sizes."""


@dataclass(frozen=True)
class MetaSize:
    """Tasks (windows) per batch, transitions to adapt on and to score on, width of the layers."""

    tasks: int = 32
    past: int = 32
    future: int = 32
    width: int = 512


@dataclass(frozen=True)
class Batch:
    """A model and the windows of one meta-gradient."""

    model: Model
    past: Transitions
    future: Transitions


def bench_meta(
    size: MetaSize, device: torch.device, repetitions: int, dtype: torch.dtype = torch.float32
) -> dict[str, Any]:
    """Return durations [ms], ratios, and how far the gradients differ (docs/bench.md)."""
    batch = draw_batch(size, device, dtype)
    gradients: dict[str, Callable[[Batch], Gradients]] = {
        'step_ms': ours,
        'autograd_loop_ms': autograd_loop,
        'vmap_ms': vmap,
    }
    difference = max(
        relative_difference(ours(batch), other(batch)) for other in (autograd_loop, vmap)
    )
    contenders = {name: _contender(function, batch) for name, function in gradients.items()}
    contenders['limit_ms'] = _matrix_products(batch, size)
    times = alternate(contenders, repetitions, device, label='meta')
    return {
        'tasks': size.tasks,
        'past': size.past,
        'future': size.future,
        **{name: times[name] for name in ('step_ms', 'autograd_loop_ms', 'vmap_ms')},
        'speedup_loop': times['autograd_loop_ms'] / times['step_ms'],
        'speedup_vmap': times['vmap_ms'] / times['step_ms'],
        'limit_ms': times['limit_ms'],
        'limit_ratio': times['step_ms'] / times['limit_ms'],
        'max_relative_difference': difference,
        'precision': str(dtype).removeprefix('torch.'),
        'state_size': batch.model.dynamics.state_size,
        'action_size': batch.model.dynamics.action_size,
        'hidden_sizes': [size.width] * LAYERS,
        **conditions(device, repetitions),
    }


def draw_batch(size: MetaSize, device: torch.device, dtype: torch.dtype) -> Batch:
    """Draw a model and windows; parameters and step sizes ask for gradients."""
    dynamics, params, step_sizes = make_model(size.width, device)
    leaves = (
        {name: value.to(dtype).requires_grad_() for name, value in group.items()}
        for group in (params, step_sizes)
    )
    past = draw_windows(size.tasks, size.past, 3, device).to(dtype)
    future = draw_windows(size.tasks, size.future, 4, device).to(dtype)
    return Batch(Model(dynamics, *leaves), past, future)


def ours(batch: Batch) -> Gradients:
    """Differentiate the meta-objective that the training uses."""
    dynamics, params, step_sizes = batch.model
    loss = meta_loss(dynamics.loss, params, step_sizes, batch.past, batch.future)
    return torch.autograd.grad(loss, [*params.values(), *step_sizes.values()])


def autograd_loop(batch: Batch) -> Gradients:
    """Differentiate it by a graph per task on full weights, and add up.

    One graph over all tasks takes longer: it holds every task's weights at once.
    """
    dynamics, params, step_sizes = batch.model
    leaves = [*params.values(), *step_sizes.values()]
    total = [torch.zeros_like(leaf) for leaf in leaves]
    tasks = len(batch.past.states)
    for task in range(tasks):
        past, future = (Transitions(*(t[task] for t in w)) for w in (batch.past, batch.future))
        inner = plain_loss(dynamics, params, past)
        gradients = torch.autograd.grad(inner, list(params.values()), create_graph=True)
        adapted = {
            name: value - step_sizes[name] * gradient
            for (name, value), gradient in zip(params.items(), gradients)
        }
        loss = plain_loss(dynamics, adapted, future) / tasks
        for tensor, gradient in zip(total, torch.autograd.grad(loss, leaves)):
            tensor.add_(gradient)
    return tuple(total)


def vmap(batch: Batch) -> Gradients:
    """Differentiate it by torch.func: the gradient of the mean of tasks that are mapped over.

    Mapping over the tasks' own meta-gradients takes longer still.
    """
    dynamics, params, step_sizes = batch.model

    def task(params: Params, step_sizes: Params, past: Transitions, future: Transitions) -> Tensor:
        gradient = torch.func.grad(lambda p: plain_loss(dynamics, p, past))(params)
        adapted = {
            name: value - step_sizes[name] * gradient[name] for name, value in params.items()
        }
        return plain_loss(dynamics, adapted, future)

    def total(params: Params, step_sizes: Params) -> Tensor:
        mapped = torch.func.vmap(task, in_dims=(None, None, 0, 0))
        return mapped(params, step_sizes, batch.past, batch.future).mean()

    detached = [{name: value.detach() for name, value in g.items()} for g in (params, step_sizes)]
    groups = torch.func.grad(total, argnums=(0, 1))(*detached)
    return tuple(value for group in groups for value in group.values())


def plain_loss(dynamics: MLPDynamics, params: Params, window: Transitions) -> Tensor:
    """Return the loss of one task on window [M, .]: a scalar."""
    normalizer = dynamics.normalizer
    states = (window.states - normalizer.state_mean) / normalizer.state_std
    first = dynamics.input_indices[0]
    hidden = torch.cat([states[:, first:], window.actions], -1) * params['scale']
    for layer in range(LAYERS + 1):
        hidden = linear(hidden, params[f'weight{layer}'], params[f'bias{layer}'])
        hidden = hidden.relu() if layer < LAYERS else hidden
    change = window.next_states - window.states
    target = (change - normalizer.delta_mean) / normalizer.delta_std
    return (hidden - target).square().mean()


def relative_difference(first: Gradients, second: Gradients) -> float:
    """Return the largest max|a - b| / max|b| over pairs of tensors."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(first, second))


def _contender(function: Callable[[Batch], Gradients], batch: Batch) -> Contender:
    def run() -> None:
        function(batch)

    return Contender(run)


def _matrix_products(batch: Batch, size: MetaSize) -> Contender:
    """Return the products with shared weights that the exact gradient needs: the limit.

    Per layer, with x the inputs and g the output gradients: forward x W^T, backward g W, and
    g^T x for the weights. The future window needs each once; the past window twice, since its
    forward and backward passes are themselves differentiated.
    """
    like = batch.past.states
    passes = (size.tasks * size.past, size.tasks * size.past, size.tasks * size.future)
    products = [
        tuple(like.new_empty(shape).normal_() for shape in ((r, wide), (r, out), (out, wide)))
        for wide, out in itertools.pairwise(batch.model.dynamics.sizes)
        for r in passes
    ]

    def run() -> None:
        for inputs, signals, weight in products:
            torch.mm(inputs, weight.T)
            torch.mm(signals, weight)
            torch.mm(signals.T, inputs)

    return Contender(run)
