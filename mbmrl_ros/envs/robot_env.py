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
from mbmrl_ros.sim.disturbances import Disturbance, Schedule, active, check
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
        self._schedules: list[Schedule] = [()] * batch
        # Steps since each robot's reset, and what then changes: nothing, for most.
        self._steps = np.zeros(batch, np.int64)
        self._changes: dict[int, frozenset[int]] = {}
        self._has_rates = any(channel.encoding == 'rate' for channel in spec.state)
        self._signals: Array = np.zeros((batch, len(spec.signals)))

    def reset(self, rng: np.random.Generator, schedules: Sequence[Schedule]) -> Tensor:
        """Start all robots afresh, each under its schedule; return states [N, S] in float32.

        A robot with rates of change stands still for a period first: there are none before.
        UserError if a schedule holds what this robot cannot have.
        """
        if len(schedules) != self.batch:
            raise ValueError(f'{self.batch} robots need as many schedules, got {len(schedules)}')
        for row, schedule in enumerate(schedules):
            self._plan(row, schedule)
        self._world.reset(rng)
        if self._has_rates:
            self._signals = self._world.signals()
            self._world.step(np.tile(self.spec.action.fallback, (self.batch, 1)))
        return self._states()

    def step(self, actions: Tensor) -> Tensor:
        """Apply actions [N, A] in -1..1 for one period; return the next states [N, S]."""
        for row, changes in self._changes.items():
            if self._steps[row] in changes:
                self._world.set_disturbances(row, self.disturbances(row))
        self._world.step(to_units(self.spec, actions.detach().cpu().double().numpy()))
        self._steps += 1
        return self._states()

    def reset_rows(
        self, rng: np.random.Generator, rows: Sequence[int], schedules: Sequence[Schedule]
    ) -> Tensor:
        """Start some robots afresh, each under its schedule; return their states [rows, S].

        Rates of change are zero: time stands still for the others.
        """
        for row, schedule in zip(rows, schedules):
            self._plan(row, schedule)
            self._world.reset_row(row, rng)
        signals = self._world.signals()[rows]
        self._signals[rows] = signals
        return torch.from_numpy(encode(self.spec, signals, np.zeros_like(signals))).float()

    def disturbances(self, row: int) -> tuple[Disturbance, ...]:
        """Return what is wrong with a robot in the period that begins."""
        return active(self._schedules[row], int(self._steps[row]))

    def _plan(self, row: int, schedule: Schedule) -> None:
        """Begin a schedule. UserError if the robot cannot have what is in it."""
        for event in schedule:
            check(self.spec, event.disturbance)
        self._schedules[row], self._steps[row] = schedule, 0
        self._changes.pop(row, None)
        if schedule:
            self._changes[row] = frozenset(event.step for event in schedule)

    def copy_state_from(self, other: RobotEnv) -> None:
        """Put every robot where one of M others is, N / M of each in turn.

        What is wrong with them then stays so. UserError as BatchWorld.copy_state_from.
        """
        self._world.copy_state_from(other._world)
        self._schedules, self._changes = [()] * self.batch, {}
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
