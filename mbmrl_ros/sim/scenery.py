# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a robot looks in pictures: light, sky and floor, and in red what is wrong with it.

The model of the pictures is another one than that of the physics. It is disturbed by the same
functions, so that a leg that is half as long is drawn half as long.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache

import mujoco
import numpy as np

from mbmrl_ros.sim.disturbances import Disturbance, disturbed
from mbmrl_ros.sim.model_files import model_path
from mbmrl_ros.sim.sensors import load_model, simulation_of
from mbmrl_ros.sim.urdf_visuals import add_visuals
from mbmrl_ros.sim.wheels import driven_joints
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

WARNING = (0.83, 0.12, 0.12, 1.0)
# Of a leg that broke off: where it was.
GHOST_ALPHA = 0.15
FLOOR = 'floor of pictures'
_LIGHT_GREY, _GREY = (0.86, 0.88, 0.90), (0.74, 0.77, 0.80)
_SKY, _HORIZON = (0.55, 0.68, 0.82), (0.93, 0.95, 0.97)
# Colours of URDFs are often black or none.
_ROBOT = (0.30, 0.42, 0.55, 1.0)
# The robot's size [m] up to which the floor's squares are 5 cm wide and not half a metre.
_SMALL_M = 0.3
MOST_LOOKS = 64
_MOST_ROWS = 300


class Stage:
    """A robot in its scenery, posed by hand; nothing moves by itself."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.original = load_model(spec, lambda description: _dress(description, spec))
        self.data = mujoco.MjData(self.original)
        if self.original.nkey:
            mujoco.mj_resetDataKeyframe(self.original, self.data, 0)
        self._move(self.original)
        self.root = _root_body(spec, self.original)
        self.size_m = _size(self.original, self.data, self.root)
        # Near and far planes are in multiples of it.
        self.original.stat.extent = self.size_m
        self.original.material(FLOOR).texrepeat[:] = 10.0 if self.size_m < _SMALL_M else 1.0
        self.original.vis.map.znear, self.original.vis.map.zfar = 0.02, 200.0
        self.look = lru_cache(MOST_LOOKS)(self._look)

    def pose(self, positions: Array, disturbances: Sequence[Disturbance] = ()) -> mujoco.MjModel:
        """Put the robot to qpos [nq]; return the model that looks as it is now."""
        self.data.qpos[:] = positions
        model = self.look(tuple(disturbances))
        self._move(model)
        return model

    @property
    def place(self) -> Array:
        """Where the middle of the robot is [3]."""
        return np.array(self.data.subtree_com[self.root])

    def _move(self, model: mujoco.MjModel) -> None:
        mujoco.mj_kinematics(model, self.data)
        mujoco.mj_comPos(model, self.data)
        mujoco.mj_camlight(model, self.data)

    def _look(self, disturbances: tuple[Disturbance, ...]) -> mujoco.MjModel:
        model, _ = disturbed(self.spec, self.original, disturbances)
        model = copy.copy(model) if model is self.original else model
        for disturbance in disturbances:
            for geom in faulty_geoms(self.spec, model, disturbance):
                model.geom_matid[geom] = -1
                model.geom_rgba[geom] = WARNING
                if disturbance.kind == 'missing_leg':
                    model.geom_rgba[geom, 3] = GHOST_ALPHA
        # Ground that nothing touches is not there.
        fields = model.geom_type == mujoco.mjtGeom.mjGEOM_HFIELD
        model.geom_rgba[fields & (model.geom_contype == 0) & (model.geom_conaffinity == 0), 3] = 0
        return model


def faulty_geoms(spec: RobotSpec, model: mujoco.MjModel, fault: Disturbance) -> list[int]:
    """Return the geoms of what a disturbance is about; none of ground, battery and sensors."""
    simulation = simulation_of(spec)
    if fault.target in driven_joints(spec):
        bodies = [model.joint(fault.target).bodyid[0]]
    elif fault.target in simulation.limbs:
        bodies = [model.joint(joint).bodyid[0] for joint in simulation.limbs[fault.target]]
    elif fault.kind in ('held_payload', 'force') and simulation.arm is not None:
        bodies = [model.body(simulation.arm.tool).id]
    else:
        bodies = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, fault.target)]
    return [geom for body in bodies if body > 0 for geom in _geoms(model, int(body))]


def _geoms(model: mujoco.MjModel, body: int) -> list[int]:
    """Return the geoms of a body, or of the nearest one above it that has any."""
    while body > 0 and model.body_geomnum[body] == 0:
        body = int(model.body_parentid[body])
    first = int(model.body_geomadr[body])
    return list(range(first, first + int(model.body_geomnum[body]))) if body > 0 else []


def _dress(description: mujoco.MjSpec, spec: RobotSpec) -> None:
    # By default MuJoCo leaves out of a URDF what nothing touches, colours and sky among it.
    description.compiler.discardvisual = False
    path = model_path(simulation_of(spec).model)
    if path.suffix.lower() == '.urdf':
        add_visuals(description, path)
    _add_light(description)
    _paint_sky(description)
    _paint_floor(description, simulation_of(spec).arm is not None)
    for geom in description.geoms:
        if not geom.material and geom.type != mujoco.mjtGeom.mjGEOM_PLANE and _dull(geom.rgba):
            geom.rgba = [*_ROBOT[:3], geom.rgba[3]]


def _dull(rgba: Array) -> bool:
    """Whether a colour is MuJoCo's default, or another grey."""
    return bool(np.ptp(rgba[:3]) < 0.02)


def _add_light(description: mujoco.MjSpec) -> None:
    for light in list(description.lights):
        _remove(description, light)
    light = description.worldbody.add_light(
        pos=[0.0, 0.0, 4.0], dir=[0.25, 0.35, -1.0], diffuse=[0.45] * 3, specular=[0.1] * 3
    )
    if hasattr(mujoco, 'mjtLightType'):
        light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    else:
        light.directional = True
    light.castshadow = False
    headlight = description.visual.headlight
    headlight.ambient[:], headlight.diffuse[:], headlight.specular[:] = 0.45, 0.35, 0.0


def _paint_sky(description: mujoco.MjSpec) -> None:
    skies = [t for t in description.textures if t.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX]
    sky = skies[0] if skies else description.add_texture(name='sky of pictures')
    sky.type = mujoco.mjtTexture.mjTEXTURE_SKYBOX
    sky.builtin = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT
    sky.rgb1, sky.rgb2 = _HORIZON, _SKY
    sky.width, sky.height = 64, 6 * 64


def _paint_floor(description: mujoco.MjSpec, needs_floor: bool) -> None:
    """Give planes and height fields that can be seen a calm pattern, and an arm a floor."""
    description.add_texture(
        name=FLOOR, type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER, rgb1=_LIGHT_GREY, rgb2=_GREY,
        width=128, height=128,
    )  # fmt: skip
    material = description.add_material(name=FLOOR, texuniform=True, texrepeat=[1.0, 1.0])
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = FLOOR
    world = description.worldbody
    grounds = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)
    seen = [geom for geom in world.geoms if geom.type in grounds and geom.rgba[3] > 0]
    if needs_floor and not seen:
        plane = mujoco.mjtGeom.mjGEOM_PLANE
        floor = world.add_geom(name=FLOOR, type=plane, size=[0, 0, 1], contype=0, conaffinity=0)
        seen.append(floor)
    for field in description.hfields:
        _thin(field)
    for geom in seen:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            # In the physics it has no end, however large it is drawn.
            geom.size = [0.0, 0.0, geom.size[2]]
        geom.material = FLOOR
        geom.rgba = [1.0, 1.0, 1.0, 1.0]


def _thin(field: mujoco.MjsHField) -> None:
    """Leave of a finely grained height field what a picture shows: all of it takes 0.1 s."""
    every = -(-min(field.nrow, field.ncol) // _MOST_ROWS)
    if every > 1:
        heights = np.array(field.userdata).reshape(field.nrow, field.ncol)[::every, ::every]
        field.nrow, field.ncol = heights.shape
        field.userdata = heights.ravel()


def _remove(description: mujoco.MjSpec, element: mujoco.MjsLight) -> None:
    if hasattr(description, 'delete'):
        description.delete(element)
    else:
        element.delete()


def _root_body(spec: RobotSpec, model: mujoco.MjModel) -> int:
    """Return the body in the world that all moving parts of the robot hang on."""
    return int(model.body_rootid[model.joint(driven_joints(spec)[0]).bodyid[0]])


def _size(model: mujoco.MjModel, data: mujoco.MjData, root: int) -> float:
    """Return how far the robot reaches from its middle in its start [m]."""
    own = model.body_rootid[model.geom_bodyid] == root
    apart = np.linalg.norm(data.geom_xpos[own] - data.subtree_com[root], axis=1)
    return float((apart + model.geom_rbound[own]).max())
