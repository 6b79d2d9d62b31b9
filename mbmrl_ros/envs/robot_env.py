# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated robots side by side, seen through the robot's own state and action.

MuJoCo is imported with the first environment, so that training code can be used without it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.disturbances import Schedule, active, check
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


class RobotEnv:
    """N robots, each under a schedule of disturbances of its own."""

    def __init__(self, spec: RobotSpec, batch: int, threads: int | None = None) -> None:
        """batch: N. threads: of the physics; default: as many as torch has."""
        from mbmrl_ros.sim.batch import BatchWorld

        self.spec, self.batch = spec, batch
        threads = threads or torch.get_num_threads()
        # A lost sample is a gap: a robot has no state then, and records no transition.
        self._world = BatchWorld(spec, batch, threads, dropouts=False)
        self._schedules: tuple[Schedule, ...] = ((),) * batch
        self._step = 0
        self._has_rates = any(channel.encoding == 'rate' for channel in spec.state)
        self._signals: Array = np.zeros((batch, len(spec.signals)))

    def reset(self, rng: np.random.Generator, schedules: Sequence[Schedule]) -> Tensor:
        """Start all robots afresh, each under its schedule; return states [N, S] in float32.

        A robot with rates of change stands still for a period first: there are none before.
        UserError if a schedule holds what this robot cannot have.
        """
        if len(schedules) != self.batch:
            raise ValueError(f'{self.batch} robots need as many schedules, got {len(schedules)}')
        for event in {event for schedule in schedules for event in schedule}:
            check(self.spec, event.disturbance)
        self._schedules, self._step = tuple(schedules), 0
        self._world.reset(rng)
        if self._has_rates:
            self._signals = self._world.signals()
            self._world.step(np.tile(self.spec.action.fallback, (self.batch, 1)))
        return self._states()

    def step(self, actions: Tensor) -> Tensor:
        """Apply actions [N, A] in -1..1 for one period; return the next states [N, S]."""
        for row, schedule in enumerate(self._schedules):
            if any(event.step == self._step for event in schedule):
                self._world.set_disturbances(row, active(schedule, self._step))
        self._world.step(to_units(self.spec, actions.detach().cpu().double().numpy()))
        self._step += 1
        return self._states()

    def become(self, other: RobotEnv) -> None:
        """Put every robot where one of M others is, N / M of each in turn.

        What is wrong with them then stays so. UserError as BatchWorld.become.
        """
        self._world.become(other._world)
        self._schedules = ((),) * self.batch
        self._signals = np.repeat(other._signals, self.batch // other.batch, axis=0)

    @property
    def healthy(self) -> Tensor:
        """[N] False where command or physics were not finite: such a robot stands still."""
        return torch.from_numpy(self._world.healthy.copy())

    def close(self) -> None:
        """Stop the threads of the physics."""
        self._world.close()

    def _states(self) -> Tensor:
        before, self._signals = self._signals, self._world.signals()
        rates = (self._signals - before) / self.spec.period_s if self._has_rates else None
        return torch.from_numpy(encode(self.spec, self._signals, rates)).float()
