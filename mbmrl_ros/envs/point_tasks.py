# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of points, without MuJoCo: corners and momentum (ProMP), navigation (MAML), the 1-D toy.

An action of -1..1 is a displacement, an acceleration or a place, within a reach per step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.envs.goals import Goals, one_of, places_in_square
from mbmrl_ros.envs.meta_task import Mask, MetaTask, System


@dataclass(frozen=True)
class PointDynamics:
    """How a point in D dimensions moves.

    reach: what an action of 1 does per step. start, start_speed: half the width of the uniform
    start. momentum: an action changes the velocity, which is part of the state. jump: an action is
    the next place.
    """

    dimensions: int
    reach: float
    start: float
    start_speed: float = 0.0
    momentum: bool = False
    jump: bool = False

    def next_state(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the state [..., S] after an action [..., D] in -1..1."""
        push = self.reach * action
        if self.jump:
            return push
        if not self.momentum:
            return state + push
        place, velocity = state[..., : self.dimensions], state[..., self.dimensions :]
        velocity = velocity + push
        return torch.cat([place + velocity, velocity], -1)

    def start_state(self, generator: torch.Generator, rows: int) -> Tensor:
        """Draw start states [B, S]."""
        widths = [self.start] * self.dimensions
        widths += [self.start_speed] * self.dimensions if self.momentum else []
        drawn = torch.rand(rows, len(widths), generator=generator, dtype=torch.float64)
        return (2.0 * drawn - 1.0) * torch.tensor(widths, dtype=torch.float64)

    def system(self, tasks: int, rollouts: int, threads: int) -> System:
        """Return N x R points; they need no threads."""
        return PointSystem(self, tasks * rollouts)


class PointSystem:
    """B points (envs/meta_task.py: System)."""

    def __init__(self, dynamics: PointDynamics, rows: int) -> None:
        """rows: B."""
        self._dynamics, self._rows = dynamics, rows
        self.action_size = dynamics.dimensions
        self.state_size = dynamics.dimensions * (2 if dynamics.momentum else 1)
        self.observed = tuple(range(self.state_size))
        self.state = torch.zeros(rows, self.state_size, dtype=torch.float64)

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin anew; goals are for the reward alone."""
        self.state = self._dynamics.start_state(generator, self._rows)
        return self.state

    def step(self, actions: Tensor, moving: Mask) -> tuple[Tensor, Mask]:
        """Move rows [B] by actions [B, A] in -1..1; return states [B, S], and [B] who could."""
        reached = self._dynamics.next_state(self.state, actions)
        sound = moving & reached.isfinite().all(-1).numpy()
        self.state = torch.where(torch.from_numpy(sound)[:, None], reached, self.state)
        return self.state, sound

    @property
    def physics_s(self) -> float:
        """Nothing that is worth to be measured."""
        return 0.0

    def close(self) -> None:
        """Do nothing: there is nothing to stop."""


CORNERS = ((-2.0, -2.0), (2.0, -2.0), (-2.0, 2.0), (2.0, 2.0))
# On the axes, as far away.
BETWEEN = ((2.0, 0.0), (-2.0, 0.0), (0.0, 2.0), (0.0, -2.0))
SILENT_RADIUS, FELT_RADIUS = 0.5, 2.0


def corners() -> Goals:
    """Return the four corners of a square; held out are the middles of its sides."""
    return one_of(('goal_x', 'goal_y'), CORNERS, BETWEEN)


def corner_progress(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return how much nearer to its corner a point came, where no other corner is nearer.

    Nothing within an L1 distance of 0.5 of the middle. So the authors' code; the paper says that
    the reward is the distance to the goal, within a radius of it.
    """
    progress = _distance(state, goal) - _distance(next_state, goal)
    corner = torch.tensor(CORNERS, dtype=next_state.dtype, device=next_state.device)
    nearest = _distance(next_state[..., None, :], corner).min(-1).values
    felt = (next_state.abs().sum(-1) >= SILENT_RADIUS) & (_distance(next_state, goal) <= nearest)
    return torch.where(felt, progress, 0.0)


def corner_nearness(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return 2 minus the distance to the corner, at least 0.

    The authors' code takes the velocity for a second point (a slice is of rows, not of columns).
    """
    return (FELT_RADIUS - _distance(next_state[..., :2], goal)).clamp(min=0.0)


def squared_distance(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return minus the squared distance to the goal (MAML; its code: minus the distance)."""
    return -(next_state - goal).square().sum(-1)


def squared_norm(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return minus the squared distance to the origin (MB-MPO)."""
    return -next_state.square().sum(-1)


def nearness_of_action(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return exp(-0.1 (a - g)^2): the action is the next place."""
    return (-0.1 * (next_state - goal).square().sum(-1)).exp()


def _distance(place: Tensor, goal: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm(place - goal, dim=-1)
    return distance


POINT_TASKS = (
    MetaTask(
        'point/corner',
        'go to one of four corners, of which the point is told by its reward alone',
        100,
        corners(),
        corner_progress,
        PointDynamics(dimensions=2, reach=0.2, start=0.2).system,
    ),
    MetaTask(
        'point/momentum',
        'go to one of four corners with pushes',
        100,
        corners(),
        corner_nearness,
        PointDynamics(2, reach=0.1, start=0.2, start_speed=0.1, momentum=True).system,
    ),
    # The code of MAML ends an episode within 0.01 of the goal in both axes; what ends one here is
    # the state alone, whatever the goal.
    MetaTask(
        'point/navigation',
        'go to a place in the unit square that has to be found out',
        100,
        places_in_square(0.5, beyond=1.0),
        squared_distance,
        PointDynamics(2, reach=0.1, start=0.0).system,
        action_scale=1.0,
    ),
    MetaTask(
        'point/line',
        'the 1-D toy of ProMP, 7.4: jump to 1 or to -1',
        5,
        one_of(('goal',), ((-1.0,), (1.0,)), ((-0.5,), (0.5,))),
        nearness_of_action,
        PointDynamics(1, reach=2.0, start=2.0, jump=True).system,
        action_scale=2.0,
    ),
)
