# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The inner step of meta policy search: dense, one set of parameters per task.

    theta'_i = theta + alpha grad_theta J_i(theta)        (MAML, Finn et al. 2017; ProMP, line 9)

The low-rank step of dynamics models (adaptation/gradient.py) is for windows of a few transitions;
a policy's step is computed from thousands of samples, and changes a log std that is no layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mbmrl_ros.types import Params

Objective = Callable[[Params], Tensor]
"""params with a leading N -> what each task wants to be large [N]."""


def per_task(params: Params, tasks: int) -> Params:
    """Return shared parameters as a set per task (a view: nothing is copied)."""
    return {name: value.expand(tasks, *value.shape) for name, value in params.items()}


def inner_step(
    objective: Objective, params: Params, step_sizes: Params, second_order: bool = True
) -> Params:
    """Take one step of gradient ascent on every task's own objective.

    params: one set per task, [N, ...]. step_sizes: a scalar per tensor, or a tensor of its shape
    without N (alpha, learned or not). second_order: the step's derivative with respect to params
    holds the objective's Hessian; without, the step counts as a constant (FOMAML). Where gradients
    are switched off, so is that.

    Returns the parameters after the step [N, ...], differentiable in params and step_sizes.
    """
    followed = torch.is_grad_enabled() and any(v.requires_grad for v in params.values())
    with torch.enable_grad():
        start = params if followed else _leaves(params)
        gradients = torch.autograd.grad(
            objective(start).sum(),
            list(start.values()),
            create_graph=followed and second_order,
            # What the objective has computed on the way may be in the outer loss as well.
            retain_graph=followed,
            allow_unused=True,
            materialize_grads=True,
        )
    return {
        name: value + step_sizes[name] * gradient
        for (name, value), gradient in zip(params.items(), gradients)
    }


def _leaves(params: Params) -> Params:
    return {name: value.detach().requires_grad_() for name, value in params.items()}
