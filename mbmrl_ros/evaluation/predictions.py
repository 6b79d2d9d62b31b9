# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How well a model predicts what came next, before and after it has adapted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory, pad_and_stack
from mbmrl_ros.models.kinds import DynamicsModel
from mbmrl_ros.types import Adapted, Adapter, Carry, Params, Transitions

HORIZONS = (1, 5, 10)
PREDICTIONS = ('no_change', 'before', 'after')
# Rows that adapt side by side: MB+DE keeps a whole network for each.
ROWS = 32


@dataclass(frozen=True)
class ChannelErrors:
    """Predictions of N windows by channel: that nothing changes, as trained, as adapted.

    trajectory: [N] which one each window is of. losses: by prediction, [N, S] squared errors of
    normalised changes, mean over the next T2 transitions. squared: by prediction, [N, H, S]
    squared errors in units, at H horizons under the recorded actions.
    """

    trajectory: Tensor
    losses: dict[str, Tensor]
    squared: dict[str, Tensor]

    def loss(self, prediction: str) -> float:
        """Return the mean loss; NaN without any window."""
        return float(self.losses[prediction].mean())


@dataclass(frozen=True)
class PredictionLosses:
    """Losses on the next T2 steps: squared errors of normalised changes.

    start_indices: [W] steps of the trajectory. before, after: [B, W] with the parameters as
    trained, and as adapted to the T1 steps before; NaN where a trajectory had ended before the
    steps that would be predicted, or does not know them; infinite where it does, and what was
    predicted is not a number. ahead: the same of the state T2 steps ahead, at some of
    them. channels: what was asked for by horizons.
    """

    start_indices: Tensor
    before: Tensor
    after: Tensor
    ahead: PredictionLosses | None = None
    channels: ChannelErrors | None = None

    def since(self, moment: int) -> PredictionLosses:
        """Return those of a moment and all later ones, without channels."""
        kept = self.start_indices >= moment
        ahead = self.ahead and self.ahead.since(moment)
        return PredictionLosses(
            self.start_indices[kept], self.before[:, kept], self.after[:, kept], ahead
        )


def prediction_losses(
    bundle: Bundle,
    adapter: Adapter,
    trajectories: list[Trajectory],
    stride: int = 5,
    ahead_stride: int = 0,
    horizons: Sequence[int] = (),
) -> PredictionLosses:
    """Replay trajectories through the adapter and score it on what came next.

    Every step is adapted to, in order, since MB+DE carries its weights over; every `stride`-th
    is scored. Each trajectory is an episode of its own, of any length: one that is too short to
    hold the past and the future of a moment has no losses, and takes none from the others. A
    recurrent model goes on remembering while it is scored, as it does on the robot; before, its
    memory is empty.

    ahead_stride: of the moments from which the state T2 steps ahead is predicted, by the actions
    that were recorded and no state after the first; 0: none. Its squared error is divided, channel
    by channel, by what the change was on average, so that a model that expects no change has 1,
    but at least by what a single step's is in training: a joint may be stuck. horizons: steps
    ahead at which errors are wanted in units, by channel; then a moment's future holds these too.
    """
    scored = bundle.info.future_steps
    future = max(scored, *horizons, 1)
    past, longest = bundle.info.past_steps, max((one.steps for one in trajectories), default=0)
    moments = torch.arange(past, max(past, longest - future + 1))
    table = _Table(moments[::stride], len(trajectories), torch.float32)
    far = _Table(moments[:: ahead_stride or 1], len(trajectories), torch.float64)
    ahead: list[_Ahead] = []
    parts: list[ChannelErrors] = []
    for moment in _replay(bundle, adapter, trajectories, future):
        if ahead_stride and moment.step in far:
            ahead.append(_Ahead.of(bundle, moment, scored))
        if moment.step in table:
            errors = _errors(bundle, moment, scored)
            losses = (errors[name].mean(-1)[moment.active] for name in ('before', 'after'))
            table.put(moment.step, moment.scored_rows, *losses)
            if horizons:
                parts.append(_by_channel(bundle, moment, errors, horizons))
    return PredictionLosses(
        *table.columns(),
        _ahead(far, ahead, bundle) if ahead_stride else None,
        _joined(parts, len(horizons), bundle) if horizons else None,
    )


class _Moment(NamedTuple):
    """A step of some trajectories: rows [b] which ones; active [b] whether they reach so far."""

    step: int
    rows: Tensor
    active: Tensor
    coming: Transitions
    adapted: Adapted

    @property
    def scored_rows(self) -> Tensor:
        """Those that are active."""
        return self.rows[self.active]


def _replay(
    bundle: Bundle, adapter: Adapter, trajectories: list[Trajectory], future: int
) -> Iterator[_Moment]:
    past = bundle.info.past_steps
    order = [i for i, one in enumerate(trajectories) if one.steps >= past + future]
    # Alike in length, so that few rows wait for the longest.
    order.sort(key=lambda i: trajectories[i].steps)
    for first in range(0, len(order), ROWS):
        rows = torch.tensor(order[first : first + ROWS])
        chosen = [trajectories[row] for row in rows.tolist()]
        steps = torch.tensor([trajectory.steps for trajectory in chosen])
        # Rows that are shorter repeat their last moment; they are no longer active.
        states = pad_and_stack([trajectory.states for trajectory in chosen])
        actions = pad_and_stack([trajectory.actions for trajectory in chosen])
        memory = adapter.initial(len(chosen))
        for step in range(past, int(steps.max()) - future + 1):
            active = step + future <= steps
            known = _window(states, actions, step - past, past)
            memory, adapted = adapter.adapt(memory, known, active)
            yield _Moment(step, rows, active, _window(states, actions, step, future), adapted)


def _window(states: Tensor, actions: Tensor, start: int, length: int) -> Transitions:
    end = start + length
    return Transitions(states[:, start:end], actions[:, start:end], states[:, start + 1 : end + 1])


class _Table:
    """Losses [B, W] of all trajectories at some moments [W], NaN where there are none."""

    def __init__(self, moments: Tensor, trajectories: int, dtype: torch.dtype) -> None:
        self._moments = moments
        self._columns = {int(step): column for column, step in enumerate(moments)}
        shape = trajectories, len(moments)
        self._before, self._after = (torch.full(shape, torch.nan, dtype=dtype) for _ in range(2))

    def __contains__(self, step: int) -> bool:
        """Whether a step is one of the moments."""
        return step in self._columns

    def put(self, step: int, rows: Tensor, before: Tensor, after: Tensor) -> None:
        """Write losses [b] of some rows [b] at a moment."""
        column = self._columns[step]
        self._before[rows, column], self._after[rows, column] = before, after

    def columns(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return moments, losses before and losses after."""
        return self._moments, self._before, self._after


def _models(bundle: Bundle, moment: _Moment) -> dict[str, tuple[Params, Carry]]:
    adapted = moment.adapted
    return {'before': (bundle.params, None), 'after': (adapted.params, adapted.carry)}


@torch.no_grad()
def _errors(bundle: Bundle, moment: _Moment, scored: int) -> dict[str, Tensor]:
    """Return errors [b, S] over the next T2 steps, before and after adapting."""
    near = Transitions(*(tensor[:, :scored] for tensor in moment.coming))
    change = (near.next_states - near.states) / bundle.dynamics.normalizer.delta_std
    errors = {'no_change': change.square().mean(1)}
    for name, (params, carry) in _models(bundle, moment).items():
        found = bundle.dynamics.errors(params, near, carry=carry).mean(1)
        errors[name] = _judged(found, near)
    return errors


def _judged(errors: Tensor, coming: Transitions) -> Tensor:
    """Return errors [b, S], infinite where what came is known and no number was predicted."""
    known = torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in coming]).all(0)
    return torch.where(known[:, None] & errors.isnan(), torch.inf, errors)


@torch.no_grad()
def _by_channel(
    bundle: Bundle, moment: _Moment, losses: dict[str, Tensor], horizons: Sequence[int]
) -> ChannelErrors:
    coming, active = moment.coming, moment.active
    places = [horizon - 1 for horizon in horizons]
    ends, start = coming.next_states[:, places], coming.states[:, :1]
    squared = {'no_change': (ends - start).square()}
    actions = coming.actions[:, : max(horizons)]
    for name, (params, carry) in _models(bundle, moment).items():
        reached = _rollout(bundle.dynamics, params, carry, start, actions)
        squared[name] = (ends - reached[:, places]).square()
    return ChannelErrors(
        moment.scored_rows,
        {name: value[active] for name, value in losses.items()},
        {name: value[active] for name, value in squared.items()},
    )


def _joined(parts: list[ChannelErrors], horizons: int, bundle: Bundle) -> ChannelErrors:
    size = len(bundle.dynamics.normalizer.state_mean)
    none = torch.empty(0, size), torch.empty(0, horizons, size)
    return ChannelErrors(
        torch.cat([torch.empty(0, dtype=torch.int64), *(part.trajectory for part in parts)]),
        {name: torch.cat([none[0], *(p.losses[name] for p in parts)]) for name in PREDICTIONS},
        {name: torch.cat([none[1], *(p.squared[name] for p in parts)]) for name in PREDICTIONS},
    )


def _rollout(
    dynamics: DynamicsModel, params: Params, carry: Carry, state: Tensor, actions: Tensor
) -> Tensor:
    """Return the states [b, T, S] that are predicted from one [b, 1, S] under actions."""
    reached = []
    for action in actions.unbind(1):
        carry, state = dynamics.step(params, carry, state, action[:, None])
        reached.append(state)
    return torch.cat(reached, 1)


class _Ahead(NamedTuple):
    """Of the windows of some rows: how states change [b, S], and squared errors of the last."""

    step: int
    rows: Tensor
    change: Tensor
    before: Tensor
    after: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, bundle: Bundle, moment: _Moment, scored: int) -> _Ahead:
        """Predict the state T2 steps ahead of a moment from the first one and the actions."""
        near = Transitions(*(tensor[:, :scored] for tensor in moment.coming))
        first, last = near.states[:, :1], near.next_states[:, -1].double()
        found = [last - first[:, 0].double()]
        for params, carry in _models(bundle, moment).values():
            end = _rollout(bundle.dynamics, params, carry, first, near.actions)[:, -1]
            found.append(_judged((end.double() - last).square(), near))
        return cls(moment.step, moment.scored_rows, *(one[moment.active] for one in found))


def _ahead(far: _Table, found: list[_Ahead], bundle: Bundle) -> PredictionLosses:
    """Return squared errors of the states T2 steps ahead, relative to what usually changes."""
    least = bundle.dynamics.normalizer.delta_std.square().double()
    changes = torch.cat([torch.empty(0, len(least)), *(one.change for one in found)])
    usual = changes.square().nanmean(0).nan_to_num().maximum(least)
    for one in found:
        before, after = ((error / usual).mean(-1) for error in (one.before, one.after))
        far.put(one.step, one.rows, before, after)
    return PredictionLosses(*far.columns())
