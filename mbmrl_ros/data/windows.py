# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows for meta-learning: M past and F future transitions about a moment, never over a gap."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
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
    def of(cls, trajectories: list[Trajectory], past: int, future: int) -> Windows:
        """Index trajectories; UserError if none is as long as a window."""
        states, actions, start_indices, offset = [], [], [], 0
        for trajectory in trajectories:
            states.append(trajectory.states)
            padding = trajectory.actions.new_zeros(1, trajectory.actions.shape[1])
            actions.append(torch.cat([trajectory.actions, padding]))
            end = max(past, trajectory.steps - future + 1)
            start_indices.append(torch.arange(past, end) + offset)
            offset += trajectory.steps + 1
        if not start_indices or sum(len(m) for m in start_indices) == 0:
            raise UserError(
                f'no trajectory has the {past} + {future} transitions of a window; '
                'record longer ones or shorten past_steps and future_steps'
            )
        return cls(torch.cat(states), torch.cat(actions), torch.cat(start_indices), past, future)

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
