# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can happen to an arm: a load in its hand, a stiff joint, a pull that does not end."""

from __future__ import annotations

import mujoco
import numpy as np

from mbmrl_ros.sim.disturbances import FORCES, Disturbance
from mbmrl_ros.sim.leg_disturbances import fix_mass
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


def held_payload(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Put a point of `value` kg to the hand's origin; what balances the arm does not carry it."""
    arm = simulation_of(spec).arm
    assert arm is not None
    fix_mass(model, arm.tool, disturbance.value, np.zeros(3))


def stiff_joint(
    spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance
) -> None:
    """Damp a joint by `value` N m s/rad more."""
    model.dof_damping[model.joint(disturbance.target).dofadr[0]] += disturbance.value


def force(spec: RobotSpec, model: mujoco.MjModel, gain: Array, disturbance: Disturbance) -> None:
    """Pull the hand with `value` N along an axis of the world."""
    assert disturbance.target in FORCES
    model.actuator(f'force {disturbance.target}').biasprm[0] += disturbance.value
