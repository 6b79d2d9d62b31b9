# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot file changes in an MJCF model: its start, its ground, what it holds."""

from __future__ import annotations

import mujoco

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.arm import add_tool
from mbmrl_ros.sim.model_files import root_body
from mbmrl_ros.sim.pier import add_pier
from mbmrl_ros.sim.terrain import add_slopes, remove_floor
from mbmrl_ros.sim.urdf import add_ground
from mbmrl_ros.spec.robot import RobotSpec


def complete_mjcf(description: mujoco.MjSpec, spec: RobotSpec) -> dict[str, float]:
    """Change the description of a model file as the robot file says; UserError if it cannot be.

    Returns where runs start, by joint.
    """
    simulation = spec.simulation
    assert simulation is not None
    for name in simulation.without:
        _leave_out(description, spec, name)
    if simulation.start_height_m:
        root_body(description, spec).pos[2] = simulation.start_height_m
    start = dict(simulation.start)
    if simulation.terrains:
        remove_floor(description)
        add_ground(description, simulation.terrains)
    if simulation.slopes is not None:
        add_slopes(description)
    if simulation.pier is not None:
        # It would count the blocks as parts of the robot (sim/pier.py: scale_robot).
        description.compiler.settotalmass = -1
        start |= add_pier(description, simulation.pier)
    if simulation.arm is not None:
        add_tool(description, spec, simulation.arm)
        start |= simulation.arm.start
    return start


def _leave_out(description: mujoco.MjSpec, spec: RobotSpec, name: str) -> None:
    found = next((body for body in description.bodies if body.name == name), None)
    if found is None:
        names = [body.name for body in description.bodies if body.name]
        raise UserError(f'{spec.name}: without: no body {name!r}; {closest(name, names)}')
    if hasattr(description, 'delete'):
        description.delete(found)
    else:
        # The name that it had in MuJoCo 3.3.0.
        description.detach_body(found)
