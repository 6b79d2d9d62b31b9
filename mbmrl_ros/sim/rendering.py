# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a robot by MuJoCo, without a display: EGL or OSMesa, no GPU needed."""

from __future__ import annotations

import atexit
import ctypes.util
import importlib
import itertools
import os
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.scenery import Stage
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

Picture = NDArray[np.uint8]
"""[height, width, 3], from the top."""

PACKAGES = {'egl': ('EGL', 'libegl1'), 'osmesa': ('OSMesa', 'libosmesa6')}
"""By what MUJOCO_GL calls it: the library, and the package of Debian and Ubuntu."""

# Beyond the scene's own: a path of 100 way-points, plans.
_MOST_GEOMS = 3000
# Of the way of the camera that is left to go after each picture: steps do not shake it.
_LAG = 0.85


class Mark(NamedTuple):
    """A line through points [P, 3] in the world, or a ball at one. width: its radius [m]."""

    points: Array
    colour: tuple[float, float, float, float]
    width: float


class Renderer:
    """Draws a robot from qpos, what is wrong with it, and marks; the camera goes with it.

    To be used in the thread that made it.
    """

    def __init__(self, spec: RobotSpec, width: int = 480, height: int = 360) -> None:
        """UserError says what to install where there is no OpenGL."""
        self.stage = Stage(spec)
        model = self.stage.original
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self._gl = make_context(width, height)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, _MOST_GEOMS)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False
        self._options, self._perturbed = mujoco.MjvOption(), mujoco.MjvPerturb()
        self.camera = make_camera(self.stage)
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        self._uploaded = model
        self._closed = False
        # EGL is gone before objects are that nobody closed, and complains of each at length.
        atexit.register(_close, weakref.ref(self))

    def draw(
        self,
        positions: Array,
        disturbances: Sequence[Disturbance] = (),
        marks: Sequence[Mark] = (),
    ) -> Picture:
        """Return a picture of the robot at qpos [nq]."""
        self._gl.make_current()
        model = self.stage.pose(positions, disturbances)
        self._upload_ground(model)
        follow(self.camera, self.stage)
        mujoco.mjv_updateScene(
            model, self.stage.data, self._options, self._perturbed, self.camera,
            mujoco.mjtCatBit.mjCAT_ALL, self._scene,
        )  # fmt: skip
        for mark in marks:
            add_mark(self._scene, mark)
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._viewport, self._context)
        return np.ascontiguousarray(self._pixels[::-1])

    def close(self) -> None:
        """Give back what the drawing needs."""
        if self._closed:
            return
        self._closed = True
        self._gl.make_current()
        self._context.free()
        self._gl.free()

    def _upload_ground(self, model: mujoco.MjModel) -> None:
        """OpenGL has its own copy of the heights of the ground."""
        if model is not self._uploaded:
            for field in range(model.nhfield):
                mujoco.mjr_uploadHField(model, self._context, field)
            self._uploaded = model


def _close(reference: weakref.ref[Renderer]) -> None:
    renderer = reference()
    if renderer is not None:
        renderer.close()


def make_context(width: int, height: int) -> Any:
    """Return a current context of OpenGL; UserError says what to install where there is none.

    The environment variable MUJOCO_GL chooses; by default EGL comes before OSMesa. Independent of
    what MuJoCo has chosen at its import, which is a window where nobody asked for anything else.
    """
    kind = choose_backend(os.environ.get('MUJOCO_GL', ''))
    try:
        context = importlib.import_module(f'mujoco.{kind}').GLContext(width, height)
        context.make_current()
    except Exception as error:  # of PyOpenGL: AttributeError and others, by what is missing
        raise UserError(
            f'cannot draw: {PACKAGES[kind][0]} gives no context ({" ".join(str(error).split())}); '
            f'{_remedy()}'
        ) from error
    return context


def choose_backend(asked: str) -> str:
    """Return egl or osmesa, whichever is there; UserError where neither is.

    asked: the content of MUJOCO_GL; names that are not about pictures without a display, such as
    glfw, do not count.
    """
    if asked.lower() in ('disable', 'disabled', 'off', 'false', '0'):
        raise UserError(f'cannot draw: MUJOCO_GL is {asked!r}; {closest(asked, PACKAGES)}')
    if asked.lower() in PACKAGES:
        return asked.lower()
    for kind, (library, _) in PACKAGES.items():
        if ctypes.util.find_library(library):
            return kind
    raise UserError(f'cannot draw: neither EGL nor OSMesa is installed; {_remedy()}')


def _remedy() -> str:
    packages = ' '.join(package for _, package in PACKAGES.values())
    return (
        f'on Debian and Ubuntu: apt install libegl-mesa0 {packages}; MUJOCO_GL=egl or osmesa '
        'chooses'
    )


def make_camera(stage: Stage) -> mujoco.MjvCamera:
    """Return a camera from which the whole robot is seen: from the side where it is planar."""
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = stage.place
    if stage.spec.simulation is not None and stage.spec.simulation.arm is not None:
        camera.azimuth, camera.elevation, camera.distance = 150.0, -20.0, 2.3 * stage.size_m
    elif _is_planar(stage.original):
        camera.azimuth, camera.elevation, camera.distance = 90.0, -12.0, 3.6 * stage.size_m
    else:
        camera.azimuth, camera.elevation, camera.distance = 60.0, -30.0, 4.5 * stage.size_m
    return camera


def follow(camera: mujoco.MjvCamera, stage: Stage) -> None:
    """Look at the robot; up and down, and where it stands on a base, with a lag."""
    place = stage.place
    lag = np.array([0.0, 0.0, _LAG])
    if stage.spec.simulation is not None and stage.spec.simulation.arm is not None:
        lag[:] = 1.0
    if np.linalg.norm(place - camera.lookat) > 2 * stage.size_m:
        # It was put somewhere else.
        lag[:] = 0.0
    camera.lookat[:] = lag * camera.lookat + (1 - lag) * place


def _is_planar(model: mujoco.MjModel) -> bool:
    """Whether the robot can move in the x-z plane alone."""
    slides = model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE
    free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    return bool(slides.any() and not free.any())


def add_mark(scene: mujoco.MjvScene, mark: Mark) -> None:
    """Add a line or a ball to a scene, as far as there is room in it."""
    points = np.asarray(mark.points, np.float64)
    points = points[np.isfinite(points).all(-1)]
    if len(points) == 1 and scene.ngeom < scene.maxgeom:
        _add_geom(scene, mujoco.mjtGeom.mjGEOM_SPHERE, mark, points[0])
    for start, end in itertools.pairwise(points):
        if scene.ngeom < scene.maxgeom:
            geom = _add_geom(scene, mujoco.mjtGeom.mjGEOM_CAPSULE, mark, start)
            mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, mark.width, start, end)


def _add_geom(
    scene: mujoco.MjvScene, kind: mujoco.mjtGeom, mark: Mark, place: Array
) -> mujoco.MjvGeom:
    geom = scene.geoms[scene.ngeom]
    size, turn = np.full(3, mark.width), np.eye(3).ravel()
    mujoco.mjv_initGeom(geom, kind, size, place, turn, np.asarray(mark.colour, np.float32))
    scene.ngeom += 1
    return geom
