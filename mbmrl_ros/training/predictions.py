# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How well a model predicts what came next, before and after it has adapted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.types import Adapter, Carry, Params, Transitions


@dataclass(frozen=True)
class PredictionLosses:
    """Losses on the next T2 steps: squared errors of normalised changes.

    moments: [W] steps of the trajectory. before, after: [B, W] with the parameters as trained,
    and as adapted to the T1 steps before the moment. ahead: the same of the state T2 steps ahead,
    at some of the moments.
    """

    moments: Tensor
    before: Tensor
    after: Tensor
    ahead: PredictionLosses | None = None

    def since(self, moment: int) -> PredictionLosses:
        """Return those of a moment and all later ones."""
        kept = self.moments >= moment
        ahead = self.ahead and self.ahead.since(moment)
        return PredictionLosses(
            self.moments[kept], self.before[:, kept], self.after[:, kept], ahead
        )


def prediction_losses(
    bundle: Bundle,
    adapter: Adapter,
    trajectories: list[Trajectory],
    stride: int = 5,
    ahead_stride: int = 0,
) -> PredictionLosses:
    """Replay recorded trajectories through the adapter and score it on what came next.

    Every step is adapted to, in order, since MB+DE carries its weights over; every `stride`-th
    is scored. Trajectories are cut to the length of the shortest. A recurrent model goes on
    remembering while it is scored, as it does on the robot; before, its memory is empty.

    ahead_stride: of the moments from which the state T2 steps ahead is predicted, by the actions
    that were recorded and no state after the first; 0: none. Its squared error is divided, channel
    by channel, by what the change was on average, so that a model that expects no change has 1,
    but at least by what a single step's is in training: a joint may be stuck.
    """
    past, future = bundle.info.past_steps, bundle.info.future_steps
    steps = min(trajectory.steps for trajectory in trajectories)
    windows = [Windows.of([trajectory], past, future) for trajectory in trajectories]
    loss_fn = bundle.dynamics.loss
    attempted = torch.ones(len(trajectories), dtype=torch.bool)
    memory = adapter.initial(len(trajectories))
    moments, before, after = [], [], []
    far: list[tuple[int, Tensor, Tensor, Tensor, Tensor]] = []
    for moment in range(past, steps - future + 1):
        pairs = [window.at(torch.tensor([moment])) for window in windows]
        known, coming = (type(part[0])(*map(torch.cat, zip(*part))) for part in zip(*pairs))
        memory, adapted = adapter.adapt(memory, known, attempted)
        if ahead_stride and not (moment - past) % ahead_stride:
            trained = _predicted_end(bundle, bundle.params, None, coming)
            now = _predicted_end(bundle, adapted.params, adapted.carry, coming)
            far.append((moment, coming.states[:, 0], coming.next_states[:, -1], trained, now))
        if (moment - past) % stride:
            continue
        with torch.no_grad():
            moments.append(moment)
            before.append(loss_fn(bundle.params, coming))
            after.append(loss_fn(adapted.params, coming, carry=adapted.carry))
    return PredictionLosses(
        torch.tensor(moments), torch.stack(before, 1), torch.stack(after, 1), _ahead(far, bundle)
    )


@torch.no_grad()
def _predicted_end(bundle: Bundle, params: Params, carry: Carry, coming: Transitions) -> Tensor:
    """Return the states [B, S] at the end of windows, by their first states and actions alone."""
    state = coming.states[:, :1]
    for action in coming.actions.unbind(1):
        carry, state = bundle.dynamics.step(params, carry, state, action[:, None])
    return state[:, 0]


def _ahead(
    far: list[tuple[int, Tensor, Tensor, Tensor, Tensor]], bundle: Bundle
) -> PredictionLosses | None:
    """Return normalised squared errors of (moment, first, last, before, after), each [B, S]."""
    if not far:
        return None
    moments, *states = zip(*far)
    first, last, trained, now = (torch.stack(each, 1).double() for each in states)
    usual = (last - first).square().mean((0, 1))
    usual = usual.maximum(bundle.dynamics.normalizer.delta_std.square())
    before, after = (((one - last).square() / usual).mean(-1) for one in (trained, now))
    return PredictionLosses(torch.tensor(moments), before, after)
