# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import contextlib

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.sim import viewer
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.rendering import Mark
from mbmrl_ros.sim.scenery import WARNING
from mbmrl_ros.sim.viewer import Viewer
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
DEAD = Disturbance('disabled_joint', 'bthigh')


class Window:
    """Stands in for MuJoCo's window, which needs a display."""

    def __init__(self, stage):
        self.stage, self.cam = stage, mujoco.MjvCamera()
        self.user_scn = mujoco.MjvScene(stage.original, 100)
        self.running, self.shown = True, []

    def is_running(self):
        return self.running

    def lock(self):
        return contextlib.nullcontext()

    def sync(self):
        model = self.stage.original
        thigh = model.geom_rgba[model.geom('bthigh').id]
        red = bool(np.allclose(thigh, WARNING))
        self.shown.append((self.stage.data.qpos[0], red, self.user_scn.ngeom))

    def close(self):
        self.running = False


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def shown(monkeypatch, clock):
    monkeypatch.setenv('DISPLAY', ':9')
    monkeypatch.setattr(viewer, '_open', Window)
    return Viewer(SPEC, lambda: clock[0])


def test_it_shows_pose_fault_and_marks_at_most_sixty_times_a_second(shown, clock):
    positions = shown.stage.data.qpos.copy()
    mark = Mark(np.zeros((2, 3)), (1, 0, 0, 1), 0.1)
    for step, wrong in enumerate([(), (DEAD,), (DEAD,), ()]):
        positions[0] = step
        clock[0] = step * 0.011
        shown.show(positions, wrong, [mark])
    assert shown._window.shown == [(0.0, False, 1), (2.0, True, 1)]
    clock[0] += 1.0
    shown.show(positions)
    assert shown._window.shown[-1] == (3.0, False, 0), 'it was mended'
    assert shown._window.cam.lookat[0] == pytest.approx(shown.stage.place[0]), 'camera goes along'


def test_closed_by_hand_it_shows_nothing_any_more(shown, clock):
    shown.close()
    shown.show(shown.stage.data.qpos.copy())
    assert not shown.open and not shown._window.shown


def test_without_a_display_one_line_says_what_works_there(monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    with pytest.raises(UserError, match='there is no display'):
        Viewer(SPEC)
