# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What MuJoCo needs beyond the URDF of an arm: motors, balanced weight, things to work on."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.coupling import couple
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Arm
from mbmrl_ros.types import Array

TOOL = 'tool'


def complete_arm(description: mujoco.MjSpec, spec: RobotSpec, path: Path) -> dict[str, float]:
    """Add to the description of a URDF what a URDF cannot say; UserError if something is missing.

    The arm touches the scene, not itself. Returns where runs start, by joint.
    """
    simulation = spec.simulation
    assert simulation is not None and simulation.arm is not None
    description.option.timestep = spec.period_s / simulation.physics_steps
    # Light links behind strong dampers: integrated implicitly.
    description.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Links without a joint carry points: MuJoCo would merge them into their parents.
    description.compiler.fusestatic = False
    for body in description.bodies:
        # The springs of the PR2 carry the arm, so they do here; not what it holds.
        body.gravcomp = 1.0
    for geom in description.geoms:
        geom.contype, geom.conaffinity = 0, 1
    couple(description, path, description.option.timestep)
    _limit_velocities(description, path)
    joints = {joint.name: joint for joint in description.joints}
    for name in spec.action.joints:
        # Those that are missing are named together later on.
        if name in joints:
            description.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    add_tool(description, spec, simulation.arm)
    return dict(simulation.arm.start)


def _limit_velocities(description: mujoco.MjSpec, path: Path) -> None:
    """Add what the velocity limiters of the joints (safety_controller) take of the torque.

    The real ones only act on torques beyond what they leave; as dampers they always do, so that a
    joint under full torque comes no nearer to its velocity limit than that.
    """
    joints = {joint.name: joint for joint in description.joints}
    for joint in ElementTree.parse(path).getroot().iter('joint'):
        limiter = joint.find('safety_controller')
        if limiter is not None and joint.get('name') in joints:
            joints[joint.get('name')].damping += float(limiter.get('k_velocity', 0))


def add_tool(description: mujoco.MjSpec, spec: RobotSpec, arm: Arm) -> None:
    """Put what is held into the hand, and everything else of the scene into the world.

    And three motors that no command reaches, for forces along x, y and z on what is held, or on
    the hand.
    """
    hand = next((body for body in description.bodies if body.name == arm.tool), None)
    if hand is None:
        names = [body.name for body in description.bodies if body.name]
        raise UserError(
            f'{spec.name}: simulation.arm: no link {arm.tool!r}; {closest(arm.tool, names)}'
        )
    hand.gravcomp = 0.0
    held_at = _attach_scene(description, hand, arm.scene) if arm.scene else np.zeros(3)
    hand.add_site(name=TOOL, pos=held_at)
    _add_forces(description)


def _attach_scene(description: mujoco.MjSpec, hand: mujoco.MjsBody, path: str) -> Array:
    """Put the bodies of a scene into the hand and the world; return where what is held is [3]."""
    held_at = np.zeros(3)
    scene = mujoco.MjSpec.from_file(path)
    # A keyframe is of the scene alone, and would come along with every body.
    for key in list(scene.keys):
        scene.delete(key)
    for body in scene.worldbody.bodies:
        held = body.name == TOOL
        held_at = body.pos.copy() if held else held_at
        place = hand if held else description.worldbody
        place.add_frame().attach_body(body, 'scene/', '')
    return held_at


def _add_forces(description: mujoco.MjSpec) -> None:
    """Add the motors for forces on what is held, along the axes of the world."""
    description.worldbody.add_site(name='world')
    for axis in range(3):
        force = description.add_actuator(
            name=f'force {"xyz"[axis]}',
            target=TOOL,
            refsite='world',
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        )
        force.gainprm[0] = 0.0
        force.gear[:] = [float(axis == place) for place in range(6)]
