# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground that goes up and down along x: a height field whose heights a disturbance replaces.

Its size is the same for every profile, so that what MuJoCo derives from it stays right, and the
rows of a batch, each with a model of its own, differ in nothing but the heights.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import FARTHEST_M, HIGHEST_M, Slopes
from mbmrl_ros.types import Array

PROFILE = 'profile'
Pieces = tuple[tuple[float, float], ...]
"""Pieces of constant grade: length and rise [m]."""
LEVEL: Pieces = ((1.0, 0.0),)

# Steps of 0.2 m, and as long and as wide as the published field.
_STEP_M, _HALF_WIDTH_M = 0.2, 5.0
GRID = np.linspace(-FARTHEST_M, FARTHEST_M, round(2 * FARTHEST_M / _STEP_M) + 1)
# How far before and behind its middle a robot may reach.
_REACH_M = 0.8


def add_slopes(description: mujoco.MjSpec) -> None:
    """Put a height field in the place of the model's floor."""
    description.add_hfield(
        name=PROFILE,
        size=[FARTHEST_M, _HALF_WIDTH_M, 2 * HIGHEST_M, 0.1],
        nrow=2,
        ncol=len(GRID),
        userdata=np.zeros(2 * len(GRID)),
    )
    remove_floor(description)
    description.worldbody.add_geom(
        name=PROFILE,
        type=mujoco.mjtGeom.mjGEOM_HFIELD,
        hfieldname=PROFILE,
        pos=[0.0, 0.0, -HIGHEST_M],
        contype=0,
        conaffinity=1,
    )


def remove_floor(description: mujoco.MjSpec) -> None:
    """Let nothing touch the planes of the world any more, nor see them."""
    for geom in description.worldbody.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.contype = geom.conaffinity = 0
            geom.rgba[3] = 0.0


def make_level(spec: RobotSpec, model: mujoco.MjModel) -> None:
    """Let the ground of a new model be level; UserError if its robot cannot be put on slopes."""
    assert spec.simulation is not None and spec.simulation.slopes is not None
    if _base(model, model.qpos0) is None:
        raise UserError(
            f'{spec.name}: simulation.slopes are for robots that move by a free joint or by '
            f'slides along x and z; {spec.simulation.model} has neither'
        )
    # MuJoCo has scaled the heights of the description to 0..1, and level ones to 0.
    use_profile(model, spec.simulation.slopes, LEVEL)


def use_profile(model: mujoco.MjModel, slopes: Slopes, pieces: Pieces) -> None:
    """Let the ground of a model go up and down."""
    heights = heights_at(GRID, slopes.begin_m, pieces)
    model.hfield(PROFILE).data[:] = 0.5 + heights / (2 * HIGHEST_M)


def heights_at(x: Array, begin_m: float, pieces: Pieces) -> Array:
    """Return heights [.] at places [.]: level, then the pieces, then level again [m]."""
    lengths, rises = np.array(pieces).T
    places = begin_m + np.concatenate([[0.0], np.cumsum(lengths)])
    heights = np.concatenate([[0.0], np.cumsum(rises)])
    return np.asarray(np.interp(x, places, heights))


def ramp(grade_deg: float, begin_m: float) -> Pieces:
    """Return a constant grade up to the end of the field (thesis 9.4: up or down)."""
    length = FARTHEST_M - begin_m
    return ((length, length * math.tan(math.radians(grade_deg))),)


def rolling(number: int) -> Pieces:
    """Return the ground with a number of what the published code trains on.

    Six pieces of 2 m, 0.2 to 0.6 steep, up or down at random but for the first two, which go up;
    then all heights are scaled so that 0.2 to 1 m lie between the lowest and the highest.
    """
    rng = np.random.default_rng(number)
    highest = rng.uniform(0.2, 1.0)
    steps = rng.uniform(0.2, 0.6, 6) * np.array([1, 1, *rng.choice([-1, 1], 4)])
    heights = np.concatenate([[0.0], np.cumsum(steps)])
    return tuple((2.0, float(step * highest / np.ptp(heights))) for step in steps)


def on_top(before: mujoco.MjModel, after: mujoco.MjModel, positions: Array) -> Array:
    """Return where a robot goes when the ground under it changes: positions [nq] in qpos.

    It keeps its height above the ground, or more where the new one rises within its reach: inside
    of the ground it would be shot out.
    """
    if mujoco.mj_name2id(after, mujoco.mjtObj.mjOBJ_HFIELD, PROFILE) < 0:
        return positions
    change = after.hfield(PROFILE).data - before.hfield(PROFILE).data
    if not change.any():
        return positions
    base = _base(after, positions)
    assert base is not None, 'make_level has refused such a model'
    place, upward = base
    reach = np.linspace(place - _REACH_M, place + _REACH_M, 17)
    moved = positions.copy()
    moved[upward] += 2 * HIGHEST_M * np.interp(reach, GRID, change[0]).max()
    return moved


def _base(model: mujoco.MjModel, positions: Array) -> tuple[float, int] | None:
    """Return x of the robot's base [m], of a free joint or on slides, and where in qpos its z is.

    None if it has neither.
    """
    if model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
        return float(positions[0]), 2
    slides = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE)
    forward, upward = (slides[model.jnt_axis[slides, axis] == 1] for axis in (0, 2))
    if not (len(forward) and len(upward)):
        return None
    along, up = model.jnt_qposadr[[forward[0], upward[0]]]
    return float(positions[along] + model.body(model.jnt_bodyid[forward[0]]).pos[0]), int(up)
