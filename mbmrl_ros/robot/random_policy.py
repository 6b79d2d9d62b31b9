# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random driving to collect data, and what keeps the robot inside its area meanwhile.

The recipe of the papers' real robot (Nagabandi et al. 2017): a new uniform action every so often
inside a circle; outside of it, turn to the centre and drive there until near it. The published
policy chooses among fixed commands by quadrant and heading; here the command goes over from
ahead to turning with the angle to the centre, so that the way back is smooth.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.tasks import Area
from mbmrl_ros.types import Transitions

# The angle to the centre from which on the robot only turns.
FULL_TURN_RAD = math.pi / 4


class RandomPolicy:
    """Uniform actions for B robots; those that left the area are driven back to its centre.

    returning: [B] which robots are on their way back.
    """

    def __init__(self, spec: RobotSpec, generator: torch.Generator, batch: int = 1) -> None:
        """generator: of the random actions."""
        self._generator, self._shape = generator, (batch, spec.action_size)
        self._action_repeat = spec.collection.action_repeat
        area = spec.collection.area
        self._way_back = None if area is None else WayBack(spec, area)
        self.reset()

    def reset(self) -> None:
        """Begin anew: nobody is on the way back, and the next action is a new one."""
        self.returning = torch.zeros(self._shape[0], dtype=torch.bool)
        self._step = 0

    def act(self, states: Tensor) -> Tensor:
        """Return actions [B, A] in -1..1 for states [B, S]."""
        if self._step % self._action_repeat == 0:
            self._random = torch.rand(self._shape, generator=self._generator) * 2 - 1
        self._step += 1
        if self._way_back is None:
            return self._random
        distance, actions = self._way_back(states)
        area = self._way_back.area
        inside = distance <= area.inner_radius_m
        self.returning = (distance > area.radius_m) | (self.returning & ~inside)
        return torch.where(self.returning[:, None], actions, self._random)


class WayBack:
    """Where the centre of an area is, and the action that leads to it."""

    def __init__(self, spec: RobotSpec, area: Area) -> None:
        """area: of the robot file."""
        self.area = area
        self._x, self._y = (spec.channel_index(name) for name in area.position)
        self._cos, self._sin = (spec.channel_index(name) for name in area.heading)
        commands = np.asarray([area.forward, area.left, area.right])
        actions = torch.from_numpy(from_units(spec, commands)).float()
        self._forward, self._left, self._right = actions

    def __call__(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances to the centre [B] in m and actions [B, A], for states [B, S]."""
        x, y = self.area.centre
        east, north = x - states[:, self._x], y - states[:, self._y]
        yaw = torch.atan2(states[:, self._sin], states[:, self._cos])
        error = torch.atan2(north, east) - yaw
        error = torch.atan2(error.sin(), error.cos())[:, None]
        share = (error.abs() / FULL_TURN_RAD).clamp(max=1.0)
        turn = torch.where(error > 0, self._left, self._right)
        return torch.hypot(east, north), torch.lerp(self._forward.expand_as(turn), turn, share)


class Collector:
    """The random policy of one robot; it adapts and plans nothing."""

    window_size = 1

    def __init__(self, spec: RobotSpec, generator: torch.Generator) -> None:
        """generator: of the random actions, on the CPU."""
        self._policy = RandomPolicy(spec, generator)

    def reset(self) -> None:
        """Begin anew."""
        self._policy.reset()

    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Return the next action for a state [1, S]; what else there is does not matter to it."""
        action = self._policy.act(state)
        mode = 'returning to the centre' if bool(self._policy.returning) else 'collecting'
        return Decision(action, torch.ones(1, dtype=torch.bool), mode=mode)
