# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can happen to a robot on legs: its ground, its body, its load, its sensors, its battery.

Each edits a model of its own; a disturbance can come and go while the robot runs.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from mbmrl_ros.sim.disturbances import TILTS, UPHILL, Disturbance, pose_bodies
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.sim.terrain import ramp as ramp_pieces
from mbmrl_ros.sim.terrain import rolling as rolling_pieces
from mbmrl_ros.sim.terrain import use_profile
from mbmrl_ros.sim.urdf import BATTERY, use_terrain
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Slopes
from mbmrl_ros.types import Array

# Of the sledge that is pulled, on the ground.
SLEDGE_FRICTION = 0.3
# From the middle of the millirobot's shell to its left edge.
EDGE_M = 0.025
# What stays of a leg that broke off: without any mass its joint could not be simulated.
STUMP = 0.01


def terrain(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Put the robot on another ground."""
    simulation = simulation_of(spec)
    if disturbance.target in simulation.terrains:
        use_terrain(model, simulation.terrains[disturbance.target])
    else:
        slopes = _slopes(spec)
        use_profile(model, slopes, slopes.profiles[disturbance.target])


def ramp(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Let the ground rise by `value` degrees from where the slopes begin, without an end."""
    slopes = _slopes(spec)
    use_profile(model, slopes, ramp_pieces(disturbance.value, slopes.begin_m))


def rolling(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Put the robot on the ground with number `value` of those that are drawn at random."""
    use_profile(model, _slopes(spec), rolling_pieces(round(disturbance.value)))


def slope(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Let the ground rise towards x or y by `value` degrees.

    Gravity turns and the ground stays, so that it can happen wherever the robot is; positions
    and angles are then measured along the slope.
    """
    angle, strength = math.radians(disturbance.value), float(np.linalg.norm(model.opt.gravity))
    downhill = -math.sin(angle) * np.array(UPHILL[disturbance.target])
    model.opt.gravity[:] = strength * np.array([*downhill, -math.cos(angle)])


def missing_leg(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Break a leg off: it weighs nothing and touches nothing."""
    body = model.body(disturbance.target)
    body.mass *= STUMP
    body.inertia *= STUMP
    for geom in range(body.geomadr[0], body.geomadr[0] + body.geomnum[0]):
        model.geom_conaffinity[geom] = 0
    _recompute(model)


def crippled_leg(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Stop the commands to a leg's joints and halve what it touches the ground with.

    The thesis does not say what crippled means; the published code does. The thickness and the
    length of both links are halved, the upper one stays about its middle and the lower one at its
    joint; their masses stay, as do the joints with their dampers.
    """
    joints = simulation_of(spec).limbs[disturbance.target]
    for joint in joints:
        gain[spec.action.joints.index(joint)] = 0.0
        body = model.body(model.joint(joint).bodyid[0])
        for geom in range(body.geomadr[0], body.geomadr[0] + body.geomnum[0]):
            model.geom_size[geom] *= 0.5
            model.geom_rbound[geom] *= 0.5
            if joint == joints[-1]:
                model.geom_pos[geom] *= 0.5
                # The geom is no longer where the model may have had its body's centre of mass.
                model.geom_sameframe[geom] = 0


def payload(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Fix a point of `value` kg to the centre of mass of a body."""
    fix_mass(
        model, disturbance.target, disturbance.value, model.body(disturbance.target).ipos.copy()
    )


def side_payload(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Fix a point of `value` kg to the left edge of a body, beside its centre of mass."""
    edge = np.array([0.0, EDGE_M, 0.0])
    fix_mass(
        model, disturbance.target, disturbance.value, model.body(disturbance.target).ipos + edge
    )


def pulled(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Let the robot drag a sledge of `value` kg: dry friction on every way along the ground."""
    strength = float(np.linalg.norm(model.opt.gravity))
    model.dof_frictionloss[:2] = SLEDGE_FRICTION * disturbance.value * strength


def pose_tilt(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Turn the markers by `value` degrees on the robot without telling motion capture."""
    half = math.radians(disturbance.value) / 2
    tilt = np.array([math.cos(half), *(math.sin(half) * np.array(TILTS[disturbance.target]))])
    for body in pose_bodies(spec):
        site = model.site(f'origin of {body}')
        turned = np.empty(4)
        mujoco.mju_mulQuat(turned, site.quat, tilt)
        site.quat[:] = turned
        model.site_sameframe[site.id] = 0


def weak_battery(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Leave a fraction `value` of the voltage, and as many times more resistance."""
    model.numeric(BATTERY).data[:] *= disturbance.value, 1.0 / disturbance.value


def fix_mass(model: mujoco.MjModel, name: str, mass_kg: float, place: Array) -> None:
    """Fix a point mass to a place [3] in the frame of a body."""
    body = model.body(name)
    turn = np.empty((3, 3))
    mujoco.mju_quat2Mat(turn.ravel(), body.iquat)
    centre = (body.mass * body.ipos + mass_kg * place) / (body.mass + mass_kg)
    inertia = (
        turn @ np.diag(body.inertia) @ turn.T
        + body.mass[0] * _of_a_point(body.ipos - centre)
        + mass_kg * _of_a_point(place - centre)
    )
    moments, axes = np.linalg.eigh(inertia)
    axes[:, 0] *= np.linalg.det(axes)
    mujoco.mju_mat2Quat(body.iquat, axes.ravel())
    body.mass += mass_kg
    body.ipos[:], body.inertia[:] = centre, moments
    # The centre of mass and the axes of inertia are no longer where the model may have had them.
    model.body_sameframe[body.id] = 0
    _recompute(model)


def _slopes(spec: RobotSpec) -> Slopes:
    slopes = simulation_of(spec).slopes
    assert slopes is not None
    return slopes


def _of_a_point(place: Array) -> Array:
    """Return the inertia [3, 3] of a unit mass at a place."""
    return np.asarray(place @ place * np.eye(3) - np.outer(place, place))


def _recompute(model: mujoco.MjModel) -> None:
    """Let MuJoCo derive again what depends on masses."""
    mujoco.mj_setConst(model, mujoco.MjData(model))
