# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a model's parameters follow the last window: not at all, by GrBAL, or by MB+DE."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.adaptation.gradient import detach, gradient_step, gradient_step_twice
from mbmrl_ros.networks.mlp import dense
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

    minimum_gain: share of the loss that the steps have to take away. Any window can be explained a
    little better by what happened to be in it; without this, a robot that nothing is wrong with
    plans with a model that has followed the noise.

    gain_to_keep: the share that is enough while the last window's steps were accepted; None:
    minimum_gain. Right after a fault every window gains much, and later some gain little. With
    two bars a fault that was found stays found, and noise seldom gets over the first one.

    newest_steps: n transitions of the window whose loss that is, after steps on the M - n before
    them; 0: that of the whole window, which the steps have seen. 0 <= n < M. What is accepted is
    in either case the steps on the whole window: right after a fault the newest transitions are
    all that is known of it, and steps without them would lag n transitions behind.
    """

    loss_fn: LossFn
    params: Params
    step_sizes: Params
    steps: int = 1
    minimum_gain: float = 0.0
    newest_steps: int = 0
    gain_to_keep: float | None = None

    def initial(self, batch: int) -> Tensor:
        """Return that nothing was accepted yet [B]; the parameters are afresh for every window."""
        device = next(iter(self.params.values())).device
        return torch.zeros(batch, dtype=torch.bool, device=device)

    def adapt(
        self, memory: Tensor | None, window: Transitions, attempted: Tensor
    ) -> tuple[Tensor, Adapted]:
        """Adapt to window [B, M, .] (Algorithm 10, line 3).

        memory: [B] whether the last window's steps were accepted; None: they were not.
        """
        least: float | Tensor = self.minimum_gain
        if self.gain_to_keep is not None and memory is not None:
            least = torch.where(memory, self.gain_to_keep, self.minimum_gain)
        descent = (self.loss_fn, self.params, self.step_sizes, self.steps)
        adapted = _descend(*descent, window, attempted, least, self.newest_steps)
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
    minimum_gain: float | Tensor = 0.0,
    newest_steps: int = 0,
) -> Adapted:
    """Descend; rows that had no window, gained too little, or are not finite keep the start."""
    further = (loss_fn, step_sizes, steps - 1)
    if newest_steps:
        older, newest = _parted(window, newest_steps)
        params, judged, before = gradient_step_twice(
            loss_fn, start, step_sizes, window, newest_steps
        )
        judged = _descended(*further, judged, older)
    else:
        params, before = gradient_step(loss_fn, start, step_sizes, window)
    params, before = _descended(*further, detach(params), window), before.detach()
    with torch.no_grad():
        after = loss_fn(params, window, None)
        least = 1.0 - minimum_gain
        enough = after <= least * before
        if newest_steps:
            unseen = loss_fn(judged, newest, None) <= least * loss_fn(start, newest, None)
            # What is taken is not what was judged: it must not be worse where it was fitted.
            enough = unseen & (after <= before)
        accepted = attempted & after.isfinite() & enough
        # A CUDA graph cannot branch on values.
        if accepted.is_cuda or not bool(accepted.all()):
            params = _keep_start(params, start, accepted)
    before, after = (_where_known(attempted, loss) for loss in (before, after))
    return Adapted(params, before, after, accepted, attempted & ~accepted)


def _descended(
    loss_fn: LossFn, step_sizes: Params, steps: int, params: Params, window: Transitions
) -> Params:
    for _ in range(steps):
        params = detach(gradient_step(loss_fn, params, step_sizes, window)[0])
    return params


def _parted(window: Transitions, newest: int) -> tuple[Transitions, Transitions]:
    """Return all but the newest transitions, and those."""
    older = (tensor[:, :-newest] for tensor in window)
    return Transitions(*older), Transitions(*(tensor[:, -newest:] for tensor in window))


def _keep_start(params: Params, start: Params, accepted: Tensor) -> Params:
    """Undo the change of the rows [B] that are not accepted."""
    kept: Params = {}
    for name, value in params.items():
        if value.dim() == 1:  # the same for all rows: it was not changed
            kept[name] = value
        elif name.startswith(('lowrank_in', 'lowrank_out')):
            kept[name] = torch.where(accepted[:, None, None], value, 0.0)
        elif name.startswith(('bias', 'scale', 'shift')):
            kept[name] = torch.where(accepted[:, None], value, start[name])
        else:
            kept[name] = value
    return kept


def _where_known(attempted: Tensor, loss: Tensor) -> Tensor:
    return torch.where(attempted, loss, torch.nan)
