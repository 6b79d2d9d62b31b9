# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From commands to the controls of MuJoCo's actuators, for N robots side by side."""

from __future__ import annotations

from typing import Protocol

import mujoco
import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.actuators import command_units
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.sim.urdf import BATTERY
from mbmrl_ros.sim.wheels import speeds_of_parts
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.simulation import Motors
from mbmrl_ros.types import Array


class Drive(Protocol):
    """What is between a command and the physics.

    A step of the world falls into `parts` of `steps` physics steps (`part_s`), each under controls
    of its own. memory: [N, .] all that its future depends on.
    """

    parts: int
    steps: int
    part_s: float
    memory: Array

    def reset(self, row: int, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Start one robot afresh."""

    def use_model(self, row: int, model: mujoco.MjModel) -> None:
        """Go on with a model that a disturbance has edited."""

    def controls(self, part: int, commands: Array, speeds: Array) -> Array:
        """Return controls [N, W] for commands [N, A] in units and joint speeds [N, W]."""

    def readouts(self, row: int, speeds: Array, driven: Array) -> dict[str, float]:
        """Return the signals of one robot that its motors measure."""


class Direct:
    """Ideal actuators: the command is the control, or a twist the speeds of wheels."""

    parts = 1

    def __init__(
        self, spec: RobotSpec, model: mujoco.MjModel, batch: int, physics_steps: int
    ) -> None:
        """batch: N. physics_steps: in a step of the world."""
        self.steps, self.part_s = physics_steps, physics_steps * model.opt.timestep
        _, self._units = command_units(spec, model)
        self._wheels = speeds_of_parts(spec)
        self.memory: Array = np.zeros((batch, 0))

    def reset(self, row: int, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Nothing is remembered."""

    def use_model(self, row: int, model: mujoco.MjModel) -> None:
        """Units do not change."""

    def controls(self, part: int, commands: Array, speeds: Array | None = None) -> Array:
        """Divide by what one unit of control means."""
        commands = commands if self._wheels is None else commands @ self._wheels
        return np.asarray(commands / self._units)

    def readouts(self, row: int, speeds: Array, driven: Array) -> dict[str, float]:
        """Ideal actuators measure nothing."""
        return {}


class MotorDrive:
    """Speed controllers and direct-current motors on one battery.

    The controller (proportional and integral, as in the firmware of the millirobot) chooses a
    voltage within that of the battery, which sags with the current of both motors; MuJoCo
    computes the torque from it (sim/urdf.py), back-EMF included.
    """

    def __init__(
        self, spec: RobotSpec, model: mujoco.MjModel, batch: int, physics_steps: int
    ) -> None:
        """batch: N. physics_steps: in a step of the world, which must be whole parts."""
        motors = simulation_of(spec).motors
        assert motors is not None
        self._motors: Motors = motors
        self._joints = spec.action.joints
        self.steps, self.part_s = round(motors.period_s / model.opt.timestep), motors.period_s
        self.parts, rest = divmod(physics_steps, self.steps)
        if rest or abs(self.steps * model.opt.timestep - motors.period_s) > 1e-9:
            raise UserError(
                f'{spec.name}: {physics_steps} physics steps of {model.opt.timestep:g} s cannot '
                f'be cut into motor periods of {motors.period_s:g} s'
            )
        size = spec.action_size
        self.memory: Array = np.zeros((batch, 3 * size + 2))
        self._in_force, self._integral, self._duty = (
            self.memory[:, i * size : (i + 1) * size] for i in range(3)
        )
        # Open-circuit voltage relative to the battery's nominal one, and voltage under load.
        self._charge, self._supply = self.memory[:, -2:-1], self.memory[:, -1:]
        self._battery = np.tile(model.numeric(BATTERY).data, (batch, 1))

    def reset(self, row: int, model: mujoco.MjModel, rng: np.random.Generator) -> None:
        """Draw the charge of the battery."""
        battery = self._motors.battery
        self.memory[row] = 0.0
        self._charge[row] = 1.0 + rng.normal(0.0, battery.spread_v) / battery.voltage_v
        self.use_model(row, model)
        self._supply[row] = self._charge[row] * self._battery[row, 0]

    def use_model(self, row: int, model: mujoco.MjModel) -> None:
        """Read the battery of the model."""
        self._battery[row] = model.numeric(BATTERY).data

    def controls(self, part: int, commands: Array, speeds: Array) -> Array:
        """Return voltages [N, A]; a command is in force after its delay."""
        motors = self._motors
        # A world that steps more than once a period sends the same command again.
        if part * motors.period_s >= motors.delay_s:
            self._in_force[:] = commands
        error = self._in_force / motors.set_point - speeds
        wanted = motors.proportional_v_s * error + self._integral
        volts = np.clip(wanted, -self._supply, self._supply)
        # The integral stands still while the voltage is at its limit.
        step_v = motors.integral_v * motors.period_s * error
        self._integral[:] += np.where(volts == wanted, step_v, 0.0)
        self._duty[:] = np.abs(volts) / self._supply
        current = (volts - motors.torque_constant_nm_a * speeds) / motors.winding_ohm
        # A bridge draws from the battery only while it drives.
        drawn = (volts * current).clip(min=0.0).sum(-1, keepdims=True) / self._supply
        open_v, resistance = self._battery[:, :1] * self._charge, self._battery[:, 1:]
        # Half-way to the new value at a time: the two of them would swing about it otherwise.
        self._supply[:] += 0.5 * ((open_v - resistance * drawn).clip(min=0.1) - self._supply)
        return np.asarray(volts)

    def readouts(self, row: int, speeds: Array, driven: Array) -> dict[str, float]:
        """Return the signals of one robot that are voltages, in counts.

        speeds: [A]. driven: [A] uniform draws: a sample falls into the driven part of a motor's
        cycle as often as its duty says.
        """
        result, supply_v = {}, float(self._supply[row, 0])
        for signal, readout in self._motors.readouts.items():
            if readout.quantity == 'battery':
                result[signal] = readout.counts_per_v * supply_v
                continue
            joint = self._joints.index(readout.joint)
            if driven[joint] < self._duty[row, joint]:
                result[signal] = readout.driven_counts_per_v * supply_v
            else:
                emf_v = self._motors.torque_constant_nm_a * speeds[joint]
                result[signal] = readout.counts_per_v * float(emf_v)
        return result


def make_drive(
    spec: RobotSpec, model: mujoco.MjModel, batch: int, physics_steps: int
) -> Direct | MotorDrive:
    """Return the drive that the robot file asks for; physics_steps: in a step of the world."""
    kind = Direct if simulation_of(spec).motors is None else MotorDrive
    return kind(spec, model, batch, physics_steps)
