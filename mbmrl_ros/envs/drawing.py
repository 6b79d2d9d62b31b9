# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drawing an environment: as pictures, or in a window."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.marks import plan_mark, task_marks
from mbmrl_ros.envs.task import Task
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.rendering import Picture as Picture
from mbmrl_ros.sim.rendering import Renderer
from mbmrl_ros.sim.viewer import Viewer
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

MODES = ('rgb_array', 'human')


class Drawing:
    """A robot, what is wrong with it in red, what its task is about, and its plan."""

    def __init__(self, spec: RobotSpec, task: Task, mode: str) -> None:
        """mode: 'rgb_array' or 'human'. UserError if there is no such, or nothing to draw with."""
        if mode not in MODES:
            raise UserError(f'unknown render_mode {mode!r}; {closest(mode, MODES)}')
        self._spec = spec
        self._target = Renderer(spec) if mode == 'rgb_array' else Viewer(spec)
        self._due_s = 0.0
        self._size_m = self._target.stage.size_m
        self._marks = task_marks(task, self._size_m)

    def draw(
        self, positions: Array, disturbances: Sequence[Disturbance], plan: Array | None
    ) -> Picture | None:
        """Draw the robot at qpos [nq]; return the picture, or None where it is in the window.

        plan: states [H+1, S].
        """
        marks = list(self._marks)
        mark = None if plan is None else plan_mark(self._spec, plan, self._size_m)
        if mark is not None:
            marks.append(mark)
        if isinstance(self._target, Viewer):
            self._target.show(positions, disturbances, marks)
            self._wait()
            return None
        return self._target.draw(positions, disturbances, marks)

    def _wait(self) -> None:
        """Let a window show things as fast as they happen."""
        now_s = time.monotonic()
        self._due_s = max(self._due_s + self._spec.period_s, now_s)
        time.sleep(self._due_s - now_s)

    def close(self) -> None:
        """Give back what drawing needs."""
        self._target.close()
