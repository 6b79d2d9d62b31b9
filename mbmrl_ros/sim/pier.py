# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A pier of floating blocks (thesis 9.4): each moves up and down on a spring and a damper.

Sizes and places are those of the published code.
"""

from __future__ import annotations

import mujoco
import numpy as np

from mbmrl_ros.sim.disturbances import BLOCKS, Disturbance
from mbmrl_ros.sim.terrain import remove_floor
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Pier
from mbmrl_ros.types import Array

# x of the middle and half the length [m]: two long ones at the ends, 2 mm between neighbours.
_PLACES = ((-8.0, 5.999), *((4.0 * place, 1.999) for place in range(6)), (42.0, 19.999))
_HALF_WIDTH_M, _HALF_HEIGHT_M = 0.99, 0.05
# How far a block can sink or rise [m].
_WAY_M = 0.15


def add_pier(description: mujoco.MjSpec, pier: Pier) -> dict[str, float]:
    """Put blocks in the place of the floor; return where their joints are at rest.

    The friction of a contact is that of the block alone.
    """
    remove_floor(description)
    for name, (x, half_length) in zip(BLOCKS, _PLACES):
        body = description.worldbody.add_body(name=name, pos=[x, 0.0, _HALF_HEIGHT_M])
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[half_length, _HALF_WIDTH_M, _HALF_HEIGHT_M],
            mass=pier.block_mass_kg,
            contype=0,
            conaffinity=1,
            priority=1,
            friction=[pier.friction, 0.1, 0.1],
        )
        body.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0.0, 0.0, 1.0],
            limited=True,
            range=[-_WAY_M, _WAY_M],
            stiffness=pier.stiffness_n_m,
            damping=pier.damping_ns_m,
            armature=0.0,
            springref=0.0,
        )
    sag_m = pier.block_mass_kg * abs(description.option.gravity[2]) / pier.stiffness_n_m
    return dict.fromkeys(BLOCKS, -sag_m)


def scale_robot(model: mujoco.MjModel, mass_kg: float) -> None:
    """Give the robot a mass, all its links in proportion, and leave the blocks as they are.

    The total mass that a model file may ask for would count the blocks as parts of the robot.
    """
    blocks = [model.body(name).id for name in BLOCKS]
    links = np.setdiff1d(np.arange(1, model.nbody), blocks)
    factor = mass_kg / model.body_mass[links].sum()
    model.body_mass[links] *= factor
    model.body_inertia[links] *= factor
    mujoco.mj_setConst(model, mujoco.MjData(model))


def block_damping(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Give one block, or all, a damping of `value` N s/m."""
    for name in _meant(disturbance.target):
        model.dof_damping[model.joint(name).dofadr[0]] = disturbance.value


def block_friction(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Give one block, or all, a friction of `value`."""
    for name in _meant(disturbance.target):
        model.geom(name).friction[0] = disturbance.value


def blocks(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Give every block a damping, and a friction, of its own: the draw of number `value`.

    Thesis: both vary. Published code: the damping alone.
    """
    assert spec.simulation is not None and spec.simulation.pier is not None
    pier = spec.simulation.pier
    rng = np.random.default_rng(round(disturbance.value))
    dampings = rng.uniform(*pier.damping_range, len(BLOCKS))
    frictions = rng.uniform(*pier.friction_range, len(BLOCKS))
    for name, damping, friction in zip(BLOCKS, dampings, frictions):
        model.dof_damping[model.joint(name).dofadr[0]] = damping
        if disturbance.target == 'damping_and_friction':
            model.geom(name).friction[0] = friction


def _meant(target: str) -> tuple[str, ...]:
    return BLOCKS if target == 'all' else (target,)
