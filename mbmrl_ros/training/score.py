# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How well a model predicts recorded trajectories, as it is and adapted to each moment's past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, side_by_side
from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.models.kinds import DynamicsModel
from mbmrl_ros.types import Adapter, Carry, Params, Transitions

HORIZONS = (1, 5, 10)
PREDICTIONS = ('no_change', 'before', 'after')
# Rows that adapt side by side: MB+DE keeps a whole network for each.
ROWS = 32


@dataclass(frozen=True)
class Scores:
    """Predictions of W moments: that nothing changes, the model as trained, the model adapted.

    trajectory: [W] which trajectory each moment is of. losses: by prediction, [W, S] squared
    errors of normalised changes, mean over the next T2 transitions. squared: by prediction,
    [W, 3, S] squared errors in units, 1, 5 and 10 steps ahead under the recorded actions.
    """

    trajectory: Tensor
    losses: dict[str, Tensor]
    squared: dict[str, Tensor]

    def loss(self, prediction: str) -> float:
        """Return the mean loss."""
        return float(self.losses[prediction].mean())


def score(
    bundle: Bundle, adapter: Adapter, trajectories: list[Trajectory], stride: int = 1
) -> Scores:
    """Replay trajectories through the adapter and score every `stride`-th moment.

    Every step is adapted to, in order, since MB+DE carries its weights over; each trajectory is
    an episode of its own. UserError if none holds the past and the future of a moment.
    """
    past, future = bundle.info.past_steps, max(bundle.info.future_steps, *HORIZONS)
    order = [i for i, t in enumerate(trajectories) if t.steps >= past + future]
    if not order:
        raise UserError(
            f'no trajectory has the {past} + {future} transitions that are needed; record longer '
            'ones, or train with fewer past_steps and future_steps'
        )
    # Alike in length, so that few rows wait for the longest.
    order.sort(key=lambda i: trajectories[i].steps)
    parts: list[Scores] = []
    for first in range(0, len(order), ROWS):
        rows = torch.tensor(order[first : first + ROWS])
        parts += _score_rows(bundle, adapter, trajectories, rows, past, future, stride)
    return Scores(
        torch.cat([part.trajectory for part in parts]),
        {name: torch.cat([part.losses[name] for part in parts]) for name in PREDICTIONS},
        {name: torch.cat([part.squared[name] for part in parts]) for name in PREDICTIONS},
    )


def _score_rows(
    bundle: Bundle,
    adapter: Adapter,
    trajectories: list[Trajectory],
    rows: Tensor,
    past: int,
    future: int,
    stride: int,
) -> Iterator[Scores]:
    chosen = [trajectories[int(row)] for row in rows]
    steps = torch.tensor([trajectory.steps for trajectory in chosen])
    longest = int(steps.max())
    # Rows that are shorter repeat their last moment; they no longer count.
    states = side_by_side([trajectory.states for trajectory in chosen])
    actions = side_by_side([trajectory.actions for trajectory in chosen])
    memory = adapter.initial(len(chosen))
    for moment in range(past, longest - future + 1):
        active = moment + future <= steps
        known = _window(states, actions, moment - past, past)
        memory, adapted = adapter.adapt(memory, known, active)
        if (moment - past) % stride == 0:
            coming = _window(states, actions, moment, future)
            models = {
                'before': (bundle.params, None),
                'after': (adapted.params, adapted.carry),
            }
            found = _compare(bundle, models, coming)
            yield Scores(
                rows[active],
                {name: value[active] for name, value in found.losses.items()},
                {name: value[active] for name, value in found.squared.items()},
            )


def _window(states: Tensor, actions: Tensor, start: int, length: int) -> Transitions:
    end = start + length
    return Transitions(states[:, start:end], actions[:, start:end], states[:, start + 1 : end + 1])


@torch.no_grad()
def _compare(
    bundle: Bundle, models: dict[str, tuple[Params, Carry]], coming: Transitions
) -> Scores:
    dynamics, scored = bundle.dynamics, bundle.info.future_steps
    near = Transitions(*(tensor[:, :scored] for tensor in coming))
    ends = coming.next_states[:, [horizon - 1 for horizon in HORIZONS]]
    start = coming.states[:, :1]
    change = (near.next_states - near.states) / dynamics.normalizer.delta_std
    losses = {'no_change': change.square().mean(1)}
    squared = {'no_change': (ends - start).square()}
    for name, (params, carry) in models.items():
        losses[name] = dynamics.errors(params, near, carry=carry).mean(1)
        reached = _rollout(dynamics, params, carry, start, coming.actions)
        squared[name] = (ends - reached).square()
    return Scores(torch.empty(0), losses, squared)


def _rollout(
    dynamics: DynamicsModel, params: Params, carry: Carry, state: Tensor, actions: Tensor
) -> Tensor:
    """Return the states [B, 3, S] that are predicted at HORIZONS from state [B, 1, S]."""
    reached = []
    for step in range(max(HORIZONS)):
        carry, state = dynamics.step(params, carry, state, actions[:, step : step + 1])
        if step + 1 in HORIZONS:
            reached.append(state)
    return torch.cat(reached, 1)
