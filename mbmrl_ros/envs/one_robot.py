# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One simulated robot, seen as RobotEnv shows many: the same states, to the bit, in less time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.disturbances import Disturbance, Schedule, active, check
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

State = NDArray[np.float32]


class OneRobot:
    """A robot under a schedule of disturbances.

    disturbances: what is wrong in the period that was just stepped through, or begins.
    """

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        # As in RobotEnv: a lost sample is a gap.
        self._world = World(spec, dropouts=False)
        self._schedule: Schedule = ()
        self._changes: frozenset[int] = frozenset()
        self.disturbances: tuple[Disturbance, ...] = ()
        self._step = 0
        self._has_rates = any(channel.encoding == 'rate' for channel in spec.state)
        self._signals: Array = np.zeros(len(spec.signals))

    def reset(self, rng: np.random.Generator, schedule: Schedule) -> State:
        """Start afresh; return the state [S]. UserError if the robot cannot have a disturbance."""
        for event in schedule:
            check(self.spec, event.disturbance)
        self._schedule, self._step = schedule, 0
        self._changes = frozenset(event.step for event in schedule)
        self.disturbances = active(schedule, 0)
        self._world.set_disturbances(())
        self._world.reset(rng)
        if self._has_rates:
            self._signals = self._world.signals()
            self._world.step(np.array(self.spec.action.fallback))
        return self._state()

    def step(self, action: Array) -> State:
        """Apply an action [A] in -1..1 for one period; return the next state [S]."""
        if self._step in self._changes:
            self.disturbances = active(self._schedule, self._step)
            self._world.set_disturbances(self.disturbances)
        self._world.step(to_units(self.spec, action))
        self._step += 1
        return self._state()

    @property
    def healthy(self) -> bool:
        """False where command or physics were not finite: the robot stands still."""
        return self._world.healthy

    @property
    def positions(self) -> Array:
        """A copy of qpos [nq]."""
        return np.array(self._world.data.qpos)

    def _state(self) -> State:
        before, self._signals = self._signals, self._world.signals()
        rates = (self._signals - before) / self.spec.period_s if self._has_rates else None
        return encode(self.spec, self._signals, rates).astype(np.float32)
