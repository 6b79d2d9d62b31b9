# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest transitions of a training, first in first out, and where episodes began.

It is a view of the trajectories in a run folder, which hold all that was ever collected: a
training that goes on reads the same files, and so has the same buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory, all_transitions
from mbmrl_ros.types import Transitions

Starts = Callable[[torch.Generator, int], tuple[Tensor, Tensor]]
"""(generator, B) -> states [B, S] to begin imagined rollouts in, and their steps [B] in time."""


class Replay(NamedTuple):
    """transitions: [n, .], oldest first. time: [n] steps since their episodes began. source: [n]
    numbers of the groups they are of (the iterations). first_states: [m, S] of all episodes.
    """

    transitions: Transitions
    time: Tensor
    source: Tensor
    first_states: Tensor

    def first(self, generator: torch.Generator, rows: int) -> tuple[Tensor, Tensor]:
        """Draw first states of episodes (Starts)."""
        drawn = torch.randint(len(self.first_states), (rows,), generator=generator)
        return self.first_states[drawn], torch.zeros(rows, dtype=torch.int64)

    def anywhere(self, generator: torch.Generator, rows: int) -> tuple[Tensor, Tensor]:
        """Draw states of the buffer with their time (Starts)."""
        drawn = torch.randint(len(self.time), (rows,), generator=generator)
        return self.transitions.states[drawn], self.time[drawn]

    def starts(self, share_anywhere: float) -> Starts:
        """Return what draws each start from the buffer with this probability, else a first one."""

        def draw(generator: torch.Generator, rows: int) -> tuple[Tensor, Tensor]:
            chosen = torch.rand(rows, generator=generator) < share_anywhere
            first, anywhere = self.first(generator, rows), self.anywhere(generator, rows)
            states = torch.where(chosen[:, None], anywhere[0], first[0])
            return states, torch.where(chosen, anywhere[1], first[1])

        return draw


def replay(groups: list[list[Trajectory]], size: int) -> Replay:
    """Return the newest `size` transitions of groups of trajectories, oldest first."""
    first = oldest(groups, size)
    numbered = [(i, t) for i, group in enumerate(groups[first:], first) for t in group]
    time = torch.cat([torch.arange(trajectory.steps) for _, trajectory in numbered])
    numbers = torch.cat([torch.full((trajectory.steps,), i) for i, trajectory in numbered])
    whole = all_transitions(trajectory for _, trajectory in numbered)
    return Replay(
        Transitions(*(tensor[-size:] for tensor in whole)),
        time[-size:],
        numbers[-size:],
        torch.stack([trajectory.states[0] for group in groups for trajectory in group]),
    )


def oldest(groups: list[list[Trajectory]], size: int) -> int:
    """Return the first group of those that hold the newest `size` transitions.

    What is older need not be looked at, however long a training was.
    """
    steps = 0
    for place in range(len(groups) - 1, -1, -1):
        steps += sum(trajectory.steps for trajectory in groups[place])
        if steps >= size:
            return place
    return 0
