# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Truncated back-propagation through time (Williams and Peng 1990), over windows or episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.joined import joined
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.types import Params, Transitions


def truncated_errors(
    dynamics: RecurrentDynamics, params: Params, transitions: Transitions, steps: int
) -> Tensor:
    """Return the squared errors [B, T, S] of predictions that begin with an empty memory.

    transitions: [B, T, .]. The memory goes on over all of them; gradients go back to the begin of
    a piece of `steps` transitions only.
    """
    carry, pieces = dynamics.empty(len(transitions.states)), []
    for begin in range(0, transitions.states.shape[1], steps):
        piece = Transitions(*(tensor[:, begin : begin + steps] for tensor in transitions))
        carry, errors = dynamics.unroll(params, carry.detach(), piece)
        pieces.append(errors)
    return torch.cat(pieces, 1)


@dataclass(frozen=True)
class Episodes:
    """Trajectories side by side: states [N, T+1, S], actions [N, T, A], steps [N].

    Shorter ones repeat their last state and action.
    """

    states: Tensor
    actions: Tensor
    steps: Tensor

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], longest: int) -> Episodes:
        """Stack trajectories, those of more than `longest` steps in pieces."""
        length = min(longest, max(trajectory.steps for trajectory in trajectories))

        def stacked(trajectory: Trajectory, before: int) -> tuple[Tensor, ...]:
            begins = torch.arange(0, trajectory.steps, length)
            times = begins[:, None] + torch.arange(length + 1)
            return (
                trajectory.states[times.clamp(max=trajectory.steps)],
                trajectory.actions[times[:, :-1].clamp(max=trajectory.steps - 1)],
                (trajectory.steps - begins).clamp(max=length),
            )

        return cls(*joined(trajectories).rows('stacked', stacked, length))

    def sample(self, count: int, generator: torch.Generator) -> tuple[Transitions, Tensor]:
        """Draw `count` of them, each at most once; see `at`."""
        return self.at(torch.randperm(len(self.steps), generator=generator)[:count])

    def at(self, rows: Tensor) -> tuple[Transitions, Tensor]:
        """Return transitions [B, T, .] of some rows, and which of them [B, T] are real."""
        steps = self.steps[rows]
        length = int(steps.max())
        states, actions = self.states[rows, : length + 1], self.actions[rows, :length]
        real = torch.arange(length) < steps[:, None]
        return Transitions(states[:, :-1], actions, states[:, 1:]), real
