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


def with_actuator_gains(
    past: Transitions, future: Transitions, spread: float, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """See windows as if every motor had a gain of its own, the same over past and future.

    A motor of gain g that is told a / g does what a motor of gain 1 does when told a: so windows
    of weak and strong motors come from those at hand, exactly, and without a failure. In half of
    the rows a motor's gain is exp(U(-spread, spread)), in the others 1.
    """
    shape = (len(past.actions), 1, past.actions.shape[-1])
    gains = ((torch.rand(shape, generator=generator) * 2 - 1) * spread).exp()
    changed = torch.rand(shape, generator=generator) < 0.5
    gains = torch.where(changed, gains, 1.0)
    return (
        past._replace(actions=past.actions / gains),
        future._replace(actions=future.actions / gains),
    )


def with_actuator_biases(
    past: Transitions, future: Transitions, spread: float, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """See windows as if every motor were pulled by a constant of its own, in past and future.

    A motor that adds c to what it is told and is told a - c does what one that adds nothing does
    when told a: so come windows of weights that hang on a joint, and of miscalibrated motors, in
    units of the action in -1..1. In half of the rows c is U(-spread, spread), in the others 0.
    """
    shape = (len(past.actions), 1, past.actions.shape[-1])
    offsets = (torch.rand(shape, generator=generator) * 2 - 1) * spread
    changed = torch.rand(shape[:1], generator=generator) < 0.5
    offsets = torch.where(changed[:, None, None], offsets, 0.0)
    return (
        past._replace(actions=past.actions - offsets),
        future._replace(actions=future.actions - offsets),
    )


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
