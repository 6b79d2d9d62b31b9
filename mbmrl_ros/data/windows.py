# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows for meta-learning: M past and F future transitions about a moment, never over a gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.joined import joined
from mbmrl_ros.types import Transitions


@dataclass(frozen=True)
class Windows:
    """All start_indices that have M transitions before and F after them, in one trajectory.

    states: [N, S], actions: [N, A] of all trajectories, one after the other (the last action of
    each is padding); start_indices: [W] indices t into them (thesis, equation 22).
    """

    states: Tensor
    actions: Tensor
    start_indices: Tensor
    past: int
    future: int

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], past: int, future: int) -> Windows:
        """Index trajectories; UserError if none is as long as a window."""

        def starts(trajectory: Trajectory, before: int) -> tuple[Tensor, ...]:
            end = max(past, trajectory.steps - future + 1)
            return (torch.arange(past, end) + before,)

        all_of_them = joined(trajectories)
        if not any(trajectory.steps >= past + future for trajectory in all_of_them):
            raise UserError(
                f'no trajectory has the {past} + {future} transitions of a window; '
                'record longer ones or shorten past_steps and future_steps'
            )
        states, actions = all_of_them.rows('padded', _padded)
        (start_indices,) = all_of_them.rows('starts', starts, (past, future))
        return cls(states, actions, start_indices, past, future)

    def sample(self, count: int, generator: torch.Generator) -> tuple[Transitions, Transitions]:
        """Draw windows uniformly: past [count, M, .], future [count, F, .]."""
        choice = torch.randint(len(self.start_indices), (count,), generator=generator)
        return self.at(self.start_indices[choice])

    def at(self, start_indices: Tensor) -> tuple[Transitions, Transitions]:
        """Return past and future of the given start_indices [B]."""
        return (
            self._slice(start_indices - self.past, self.past),
            self._slice(start_indices, self.future),
        )

    def _slice(self, starts: Tensor, length: int) -> Transitions:
        rows = starts[:, None] + torch.arange(length)
        return Transitions(self.states[rows], self.actions[rows], self.states[rows + 1])


def _padded(trajectory: Trajectory, before: int) -> tuple[Tensor, Tensor]:
    padding = trajectory.actions.new_zeros(1, trajectory.actions.shape[1])
    return trajectory.states, torch.cat([trajectory.actions, padding])
