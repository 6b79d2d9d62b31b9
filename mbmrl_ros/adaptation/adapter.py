# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a model's parameters follow the last window: not at all, by GrBAL, or by MB+DE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.adaptation.gradient import detach, gradient_step
from mbmrl_ros.models.mlp import dense
from mbmrl_ros.types import Adapted, LossFn, Params, Transitions


@dataclass(frozen=True)
class NoAdaptation:
    """MB: the parameters stay, and the loss on the window is reported."""

    loss_fn: LossFn
    params: Params

    def initial(self, batch: int) -> None:
        """Return nothing: there is nothing to remember."""

    def adapt(self, memory: None, window: Transitions, attempted: Tensor) -> tuple[None, Adapted]:
        """Return the parameters as they are, and the loss on window [B, M, .]."""
        with torch.no_grad():
            loss = _where_known(attempted, self.loss_fn(self.params, window, None))
        never = torch.zeros_like(attempted)
        return None, Adapted(self.params, loss, loss, never, never)


@dataclass(frozen=True)
class GradientAdapter:
    """GrBAL: gradient steps from the meta-learned parameters, afresh for every window.

    minimum_gain: share of the window's loss that the steps have to take away. Any window can be
    explained a little better by what happened to be in it; without this, a robot that nothing is
    wrong with plans with a model that has followed the noise.
    """

    loss_fn: LossFn
    params: Params
    step_sizes: Params
    steps: int = 1
    minimum_gain: float = 0.0

    def initial(self, batch: int) -> None:
        """Return nothing: every window starts from the meta-learned parameters."""

    def adapt(self, memory: None, window: Transitions, attempted: Tensor) -> tuple[None, Adapted]:
        """Adapt to window [B, M, .] (Algorithm 10, line 3)."""
        descent = (self.loss_fn, self.params, self.step_sizes, self.steps)
        return None, _descend(*descent, window, attempted, self.minimum_gain)


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
        return {name: value.expand(batch, *value.shape) for name, value in self.params.items()}

    def adapt(
        self, memory: Params, window: Transitions, attempted: Tensor
    ) -> tuple[Params, Adapted]:
        """Take one step on window [B, M, .] and carry the result over to the next tick."""
        adapted = _descend(self.loss_fn, memory, self.step_sizes, 1, window, attempted)
        return dense(adapted.params), adapted


def _descend(
    loss_fn: LossFn,
    start: Params,
    step_sizes: Params,
    steps: int,
    window: Transitions,
    attempted: Tensor,
    minimum_gain: float = 0.0,
) -> Adapted:
    """Descend; rows that had no window, gained too little, or are not finite keep the start."""
    params, losses = start, []
    for _ in range(steps):
        params, loss = gradient_step(loss_fn, params, step_sizes, window)
        params = detach(params)
        losses.append(loss.detach())
    with torch.no_grad():
        losses.append(loss_fn(params, window, None))
        enough = losses[-1] <= (1.0 - minimum_gain) * losses[0]
        accepted = attempted & losses[-1].isfinite() & enough
        # A CUDA graph cannot branch on values.
        if accepted.is_cuda or not bool(accepted.all()):
            params = _keep_start(params, start, accepted)
    return Adapted(
        params,
        _where_known(attempted, losses[0]),
        _where_known(attempted, losses[-1]),
        accepted,
        attempted & ~accepted,
    )


def _keep_start(params: Params, start: Params, accepted: Tensor) -> Params:
    """Undo the change of the rows [B] that are not accepted."""
    kept: Params = {}
    for name, value in params.items():
        if name.startswith(('inputs', 'signals')):
            kept[name] = torch.where(accepted[:, None, None], value, 0.0)
        elif name.startswith(('bias', 'scale', 'shift')):
            kept[name] = torch.where(accepted[:, None], value, start[name])
        else:
            kept[name] = value
    return kept


def _where_known(attempted: Tensor, loss: Tensor) -> Tensor:
    return torch.where(attempted, loss, torch.nan)
