# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MuJoCo's own viewer, in which a robot is only looked at: a window, and the mouse turns it."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.rendering import Mark, add_mark, make_camera
from mbmrl_ros.sim.scenery import Stage
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

# Pictures a second at most: more are seen by nobody.
_SHOW_S = 1 / 60


class Viewer:
    """A window that shows what it is told; closed by hand, it shows nothing any more."""

    def __init__(self, spec: RobotSpec, now_s: Callable[[], float] = time.monotonic) -> None:
        """now_s: a steady clock. UserError where there is no display."""
        if sys.platform == 'linux' and not _display():
            raise UserError(
                'no window can be shown: there is no display (DISPLAY and WAYLAND_DISPLAY are not '
                "set); pictures without one: gymnasium's render_mode='rgb_array', mbmrl demo"
            )
        self.stage = Stage(spec)
        self._now_s, self._shown_s = now_s, -float('inf')
        self._model = self.stage.original
        self._window: Any = _open(self.stage)
        _aim(self._window.cam, self.stage)

    @property
    def open(self) -> bool:
        """Whether there is still a window."""
        return bool(self._window.is_running())

    def show(
        self,
        positions: Array,
        disturbances: Sequence[Disturbance] = (),
        marks: Sequence[Mark] = (),
    ) -> None:
        """Show the robot at qpos [nq], if it is time for another picture."""
        now_s = self._now_s()
        if now_s - self._shown_s < _SHOW_S or not self.open:
            return
        self._shown_s = now_s
        with self._window.lock():
            self._take_look(disturbances)
            before = self.stage.place
            self.stage.pose(positions)
            if self.stage.spec.simulation is None or self.stage.spec.simulation.arm is None:
                # The camera goes along, and stays as it was turned by hand.
                self._window.cam.lookat[:2] += (self.stage.place - before)[:2]
            self._window.user_scn.ngeom = 0
            for mark in marks:
                add_mark(self._window.user_scn, mark)
        self._window.sync()

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def _take_look(self, disturbances: Sequence[Disturbance]) -> None:
        """Colour the model that the window has: it cannot be given another one."""
        look = self.stage.look(tuple(disturbances))
        if look is self._model:
            return
        self._model, own = look, self.stage.original
        for field in ('geom_rgba', 'geom_matid', 'geom_size', 'geom_pos', 'hfield_data'):
            getattr(own, field)[:] = getattr(look, field)
        for ground in range(own.nhfield):
            self._window.update_hfield(ground)


def _display() -> str:
    return os.environ.get('DISPLAY', '') or os.environ.get('WAYLAND_DISPLAY', '')


def _open(stage: Stage) -> Any:
    viewer = importlib.import_module('mujoco.viewer')
    return viewer.launch_passive(
        stage.original, stage.data, show_left_ui=False, show_right_ui=False
    )


def _aim(camera: Any, stage: Stage) -> None:
    wanted = make_camera(stage)
    camera.lookat[:] = wanted.lookat
    camera.azimuth, camera.elevation = wanted.azimuth, wanted.elevation
    camera.distance = wanted.distance
