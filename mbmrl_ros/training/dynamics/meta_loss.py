# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The meta-objective: adapt on the past window, score on the future one (thesis, equation 22)."""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.adaptation.gradient import detach, gradient_step
from mbmrl_ros.types import LossFn, Params, Transitions


def adapt(
    loss_fn: LossFn,
    params: Params,
    step_sizes: Params,
    past: Transitions,
    steps: int,
    create_graph: bool,
) -> Params:
    """Take the inner steps on windows past [B, M, .]."""
    for _ in range(steps):
        params, _ = gradient_step(loss_fn, params, step_sizes, past, create_graph)
        params = params if create_graph else detach(params)
    return params


def meta_loss(
    loss_fn: LossFn,
    params: Params,
    step_sizes: Params,
    past: Transitions,
    future: Transitions,
    steps: int = 1,
) -> Tensor:
    """Return the loss on the future after adapting to the past, meaned over windows.

    Differentiable through the inner steps, in second order, with respect to params and
    step_sizes. past: [B, M, .]; future: [B, F, .]; F may differ from M.
    """
    adapted = adapt(loss_fn, params, step_sizes, past, steps, create_graph=True)
    return loss_fn(adapted, future, None).mean()


def losses_before_and_after(
    loss_fn: LossFn,
    params: Params,
    step_sizes: Params,
    past: Transitions,
    future: Transitions,
    steps: int = 1,
) -> tuple[Tensor, Tensor]:
    """Return the losses [B] on the future without and with adaptation to the past."""
    adapted = adapt(loss_fn, params, step_sizes, past, steps, create_graph=False)
    with torch.no_grad():
        return loss_fn(params, future, None), loss_fn(adapted, future, None)
