# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import ctypes.util
import os
import subprocess
import sys

import numpy as np
import pytest
from opengl import needs_opengl

from mbmrl_ros.config import UserError
from mbmrl_ros.sim import rendering
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.gl_choice import check_gl
from mbmrl_ros.sim.rendering import Mark, Renderer, choose_backend, make_context
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')


@pytest.fixture(scope='module')
def renderer():
    renderer = Renderer(SPEC, 160, 120)
    yield renderer
    renderer.close()


def started(spec):
    world = World(spec)
    world.reset(np.random.default_rng(0))
    return world.data.qpos.copy()


def red(picture):
    """Return which pixels [H, W] are strongly red."""
    r, g, b = (picture[..., channel].astype(int) for channel in range(3))
    return (r > 100) & (r > 2.5 * g) & (r > 2.5 * b)


@needs_opengl
def test_a_dead_joint_is_red_and_nothing_else_is(renderer):
    positions = started(SPEC)
    assert not red(renderer.draw(positions)).any()
    rows, columns = np.nonzero(
        red(renderer.draw(positions, [Disturbance('disabled_joint', 'bthigh')]))
    )
    # The rear thigh, left of the middle and above the ground.
    assert len(rows) > 20 and columns.max() < 80
    assert not red(renderer.draw(positions)).any(), 'it was mended'


@needs_opengl
def test_the_camera_goes_with_a_robot_that_runs(renderer):
    positions = started(SPEC)
    first = renderer.draw(positions)
    for _ in range(40):
        # A floor of squares of half a metre looks the same again after one metre.
        positions[0] += 0.1
        last = renderer.draw(positions)
    assert np.abs(first.astype(int) - last).mean() < 3.0
    positions[0] += 200.0
    # MuJoCo lays the squares of the next picture around the camera of this one.
    renderer.draw(positions)
    far = renderer.draw(positions)
    assert np.abs(first.astype(int) - far).mean() < 3.0, 'the floor has no end'


@needs_opengl
def test_marks_are_drawn_where_they_are(renderer):
    positions = started(SPEC)
    colour = (1.0, 0.0, 0.0, 1.0)
    assert not red(renderer.draw(positions)).any()
    aside = np.array([1.0, 0.0, 0.0])
    left, right = renderer.stage.place - aside, renderer.stage.place + aside
    line = renderer.draw(positions, (), [Mark(np.stack([left, right]), colour, 0.03)])
    ball = renderer.draw(positions, (), [Mark(right[None], colour, 0.1)])
    assert np.ptp(np.nonzero(red(line))[1]) > 60
    assert np.nonzero(red(ball))[1].min() > 80
    missing = Mark(np.full((3, 3), np.nan), colour, 0.1)
    assert not red(renderer.draw(positions, (), [missing])).any()


@needs_opengl
@pytest.mark.parametrize(
    ('robot', 'fault'),
    [
        ('ant', 'crippled_leg:back_right'),
        ('pr2_left_arm', 'held_payload:hand:1.0'),
        ('half_cheetah_slopes', 'terrain:hill'),
    ],
)
def test_every_kind_of_robot_can_be_seen(robot, fault):
    spec = load_robot(robot)
    kind, target, *value = fault.split(':')
    wrong = Disturbance(kind, target, float(value[0]) if value else 0.0)
    renderer = Renderer(spec, 160, 120)
    positions = started(spec)
    sound, faulty = renderer.draw(positions), renderer.draw(positions, [wrong])
    renderer.close()
    # Sky and floor alone have hardly any colour that is not blueish grey.
    assert np.ptp(sound.reshape(-1, 3), axis=0).min() > 60
    assert sound.mean() > 80, 'it is dark'
    assert np.abs(sound.astype(int) - faulty).max() > 40
    assert red(faulty).any() == (kind != 'terrain')


def test_without_opengl_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ctypes.util, 'find_library', lambda name: None)
    with pytest.raises(UserError, match=r'neither EGL nor OSMesa .*apt install .*libosmesa6'):
        choose_backend('')


@pytest.mark.parametrize(
    ('asked', 'there', 'chosen'),
    [
        ('', 'EGL OSMesa', 'egl'),
        ('', 'OSMesa', 'osmesa'),
        ('osmesa', 'EGL', 'osmesa'),
        ('glfw', 'EGL', 'egl'),
    ],
)
def test_the_environment_chooses_then_what_is_there(monkeypatch, asked, there, chosen):
    monkeypatch.setattr(
        ctypes.util, 'find_library', lambda name: name if name in there.split() else None
    )
    assert choose_backend(asked) == chosen


def test_drawing_that_is_switched_off_says_so():
    with pytest.raises(UserError, match="MUJOCO_GL is 'off'; valid: egl, osmesa"):
        choose_backend('off')


def test_a_library_that_gives_no_context_is_named(monkeypatch):
    def broken(name):
        raise ImportError('no device')

    monkeypatch.setenv('MUJOCO_GL', 'egl')
    monkeypatch.setattr(rendering.importlib, 'import_module', broken)
    with pytest.raises(UserError, match=r'EGL gives no context \(no device\)'):
        make_context(8, 8)


def test_what_mujoco_would_not_be_imported_with_is_one_line():
    code = 'import mbmrl_ros as mb; mb.make("half_cheetah/disabled_joint")'
    environment = os.environ | {'MUJOCO_GL': 'elg'}
    command = [sys.executable, '-c', code]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.stderr.splitlines()[-1].startswith(
        "mbmrl_ros.system.endings.UserError: MUJOCO_GL is 'elg'; did you mean 'egl'? valid: 0, 1,"
    )
    for name in ('', 'egl', 'EGL ', 'off'):
        check_gl(name)
