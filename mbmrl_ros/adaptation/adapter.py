# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a model's parameters follow the last window: not at all, by GrBAL, or by MB+DE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.adaptation.gradient import detach, gradient_step
from mbmrl_ros.networks.mlp import dense, one_set_per_row
from mbmrl_ros.types import Adapted, LossFn, Params, Transitions


@dataclass(frozen=True)
class NoAdaptation:
    """MB: the parameters stay, and the loss on the window is reported."""

    loss_fn: LossFn
    params: Params

    def initial(self, batch: int) -> None:
        """Return nothing: there is nothing to remember."""

    def inherit(self, memory: None, batch: int) -> None:
        """Return nothing."""

    def adapt(self, memory: None, window: Transitions, attempted: Tensor) -> tuple[None, Adapted]:
        """Return the parameters as they are, and the loss on window [B, M, .]."""
        with torch.no_grad():
            loss = _where_known(attempted, self.loss_fn(self.params, window, None))
        never = torch.zeros_like(attempted)
        return None, Adapted(self.params, loss, loss, never, never)


@dataclass(frozen=True)
class GradientAdapter:
    """GrBAL: gradient steps from the meta-learned parameters, afresh for every window.

    accept_improvement: share of the window's loss that the steps have to take away. Any window can
    be explained a little better by the noise in it, and a sound robot shall not follow noise.
    keep_improvement: the share that is enough while the last window's steps were accepted (None:
    the same), so that a fault that was found stays found.
    """

    loss_fn: LossFn
    params: Params
    step_sizes: Params
    steps: int = 1
    accept_improvement: float = 0.0
    keep_improvement: float | None = None

    def initial(self, batch: int) -> Tensor:
        """Return that nothing was accepted yet [B]; the parameters are afresh for every window."""
        device = next(iter(self.params.values())).device
        return torch.zeros(batch, dtype=torch.bool, device=device)

    def inherit(self, memory: Tensor, batch: int) -> Tensor:
        """Return it as it is: a fault that was found is the robot's, whatever the weights."""
        return memory

    def adapt(
        self, memory: Tensor | None, window: Transitions, attempted: Tensor
    ) -> tuple[Tensor, Adapted]:
        """Adapt to window [B, M, .] (Algorithm 10, line 3).

        memory: [B] whether the last window's steps were accepted; None: they were not.
        """
        needed: float | Tensor = self.accept_improvement
        if self.keep_improvement is not None and memory is not None:
            needed = torch.where(memory, self.keep_improvement, self.accept_improvement)
        steps = take_steps(self.loss_fn, self.params, self.step_sizes, self.steps, window)
        adapted = accept(steps, self.params, attempted, needed)
        return adapted.accepted, adapted


@dataclass(frozen=True)
class DynamicEvaluation:
    """MB+DE: a gradient step at every tick from the parameters of the tick before."""

    loss_fn: LossFn
    params: Params
    step_sizes: Params

    def initial(self, batch: int) -> Params:
        """Return the trained parameters, which every episode starts from, one set per robot.

        Later ones are of the same shapes: another costs a recording where a CUDA graph adapts.
        """
        return one_set_per_row(self.params, batch)

    def inherit(self, memory: Params, batch: int) -> Params:
        """Return the trained parameters: steps from older ones lead nowhere from these."""
        return self.initial(batch)

    def adapt(
        self, memory: Params, window: Transitions, attempted: Tensor
    ) -> tuple[Params, Adapted]:
        """Take one step on window [B, M, .] and carry the result over to the next tick."""
        step = take_steps(self.loss_fn, memory, self.step_sizes, 1, window)
        adapted = accept(step, memory, attempted)
        return dense(adapted.params), adapted


class Steps(NamedTuple):
    """Parameters after gradient steps on a window, and the loss [B] on it before and after."""

    params: Params
    before: Tensor
    after: Tensor


def take_steps(
    loss_fn: LossFn, start: Params, step_sizes: Params, count: int, window: Transitions
) -> Steps:
    """Take `count` gradient steps from the start, every row on its own window [B, M, .]."""
    params, before = gradient_step(loss_fn, start, step_sizes, window)
    for _ in range(count - 1):
        params, _ = gradient_step(loss_fn, detach(params), step_sizes, window)
    params = detach(params)
    with torch.no_grad():
        return Steps(params, before.detach(), loss_fn(params, window, None))


def accept(
    steps: Steps, start: Params, attempted: Tensor, needed: float | Tensor = 0.0
) -> Adapted:
    """Return the steps of those rows that improved enough; the others keep the start.

    attempted: [B] which rows had a window. needed: the share of the loss that the steps have to
    take away.
    """
    improved = steps.after <= (1.0 - needed) * steps.before
    accepted = attempted & steps.after.isfinite() & improved
    params = steps.params
    # A CUDA graph cannot branch on values.
    if accepted.is_cuda or not bool(accepted.all()):
        params = _restored(params, start, accepted)
    before, after = (_where_known(attempted, loss) for loss in (steps.before, steps.after))
    return Adapted(params, before, after, accepted, attempted & ~accepted)


def _restored(params: Params, start: Params, accepted: Tensor) -> Params:
    """Return the parameters with the start's in the rows [B] that are not accepted."""
    restored: Params = {}
    for name, value in params.items():
        if name.startswith(('weight', 'lowrank_lr')) or value.dim() == 1:
            # A step changes the factors and never these, and nothing that all rows share.
            restored[name] = value
            continue
        row = accepted.view(-1, *(1,) * (value.dim() - 1))
        restored[name] = torch.where(row, value, start.get(name, torch.zeros_like(value)))
    return restored


def _where_known(attempted: Tensor, loss: Tensor) -> Tensor:
    return torch.where(attempted, loss, torch.nan)
