# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What MuJoCo needs beyond the URDF of a robot on legs.

That is a floating base, coupled joints, motors, and ground.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter

from mbmrl_ros.sim.coupling import couple
from mbmrl_ros.sim.model_files import root_body
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Motors, Terrain
from mbmrl_ros.types import Array

GROUND, BUMPS, BATTERY = 'ground', 'bumps', 'battery'
# Half the side of the rough field, and its grid [m]: about as coarse as gravel for a small robot.
_FIELD_M, _GRID_M = 4.0, 0.01


def complete_legs(description: mujoco.MjSpec, spec: RobotSpec, path: Path) -> dict[str, float]:
    """Add to the description of a URDF what a URDF cannot say; UserError if something is missing.

    Robots touch the ground, not themselves. The friction and compliance of a contact are those of
    the ground alone. Returns where runs start, by joint: as the file says.
    """
    simulation = spec.simulation
    assert simulation is not None
    step_s = spec.period_s / simulation.physics_steps
    description.option.timestep = step_s
    # Back-EMF is a strong damper on light legs: integrated implicitly.
    description.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Links without a joint carry sensors: MuJoCo would merge them into their parents.
    description.compiler.fusestatic = False
    root = root_body(description, spec)
    root.add_freejoint(name='base')
    root.pos[2] = simulation.start_height_m
    for geom in description.geoms:
        geom.contype, geom.conaffinity = 0, 1
    couple(description, path, step_s)
    if simulation.motors is not None:
        _add_motors(description, spec, simulation.motors)
    if simulation.terrains:
        add_ground(description, simulation.terrains)
    return {}


def _add_motors(description: mujoco.MjSpec, spec: RobotSpec, motors: Motors) -> None:
    """Motors whose control is their voltage: torque = kt / R (V - kt speed)."""
    constant, winding = motors.torque_constant_nm_a, motors.winding_ohm
    joints = {joint.name: joint for joint in description.joints}
    for name in spec.action.joints:
        # Those that are missing are named together later on.
        if name not in joints:
            continue
        joints[name].armature = motors.inertia_kg_m2
        actuator = description.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        actuator.gainprm[0] = constant / winding
        actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        actuator.biasprm[2] = -(constant**2) / winding
    battery = motors.battery
    description.add_numeric(name=BATTERY, data=[battery.voltage_v, battery.resistance_ohm])


def add_ground(description: mujoco.MjSpec, terrains: dict[str, Terrain]) -> None:
    """A plane, and bumps above it where a terrain is rough."""
    world = description.worldbody
    # By name, whatever the model has for its geoms by default.
    touched = {'contype': 1, 'conaffinity': 0, 'priority': 1}
    world.add_geom(
        name=GROUND, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1], condim=3, **touched
    )
    roughness = max(terrain.roughness_m for terrain in terrains.values())
    if roughness == 0.0:
        return
    heights = bumps(round(2 * _FIELD_M / _GRID_M) + 1)
    description.add_hfield(
        name=BUMPS,
        size=[_FIELD_M, _FIELD_M, roughness, 0.01],
        nrow=len(heights),
        ncol=len(heights),
        userdata=heights.ravel(),
    )
    world.add_geom(
        name=BUMPS,
        type=mujoco.mjtGeom.mjGEOM_HFIELD,
        hfieldname=BUMPS,
        condim=3,
        **touched,
    )


def bumps(side: int) -> Array:
    """Return heights [side, side] from 0 to 1: the same field every time, half of it flat."""
    noise = np.random.default_rng(0).standard_normal((side, side))
    smooth = gaussian_filter(noise, 0.8)
    return np.asarray(np.clip(smooth / np.quantile(smooth, 0.98), 0.0, 1.0))


def use_terrain(model: mujoco.MjModel, terrain: Terrain) -> None:
    """Turn the ground of a model into a terrain."""
    for name in ground_geoms(model):
        model.geom(name).friction[0] = terrain.friction
        model.geom(name).solref[:] = terrain.compliance_s, terrain.damping
    if BUMPS in ground_geoms(model):
        model.geom(BUMPS).contype[0] = terrain.roughness_m > 0
        # MuJoCo wants a height above zero, used or not.
        model.hfield(BUMPS).size[2] = terrain.roughness_m or 1e-3


def ground_geoms(model: mujoco.MjModel) -> list[str]:
    """Return the geoms that the world has for ground."""
    names = (model.geom(index).name for index in range(model.ngeom))
    return list(itertools.filterfalse(lambda name: name not in (GROUND, BUMPS), names))
