# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One robot in MuJoCo: what the simulator node plays."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.disturbances import Disturbance, disturbed
from mbmrl_ros.sim.sensors import command_gears, load_model, signal_columns
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS


class World:
    """A robot and its physics.

    Without the solver's warm start a step is a function of state and command alone: a reset, a
    restored state and a row of `BatchWorld` give the same future, to the bit. gymnasium steps
    with it; from the same start the two part by 5e-4 within a second, contacts being chaotic.
    """

    def __init__(self, spec: RobotSpec, warm_start: bool = False) -> None:
        """warm_start: let the solver start from the last step's solution, as gymnasium does."""
        self.spec = spec
        self._original = load_model(spec)
        if not warm_start:
            self._original.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
        self._columns = signal_columns(spec, self._original)
        self._actuators, gears = command_gears(spec, self._original)
        self._per_unit = 1.0 / gears
        self._steps = physics_steps(spec)
        self.model, self._gain = disturbed(spec, self._original, ())
        self.data = mujoco.MjData(self.model)
        self.disturbances: tuple[Disturbance, ...] = ()
        self._time_before_reset_s = 0.0
        self.healthy = True

    def reset(self, rng: np.random.Generator) -> None:
        """Put the robot to a start state; disturbances stay, and time goes on."""
        self._time_before_reset_s += self.data.time
        mujoco.mj_resetData(self.model, self.data)
        self.restore(initial_state(self.spec, self.model, rng))

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Say what is wrong with the robot from now on; UserError if it cannot be."""
        state = self.save()
        self.model, self._gain = disturbed(self.spec, self._original, disturbances)
        self.data = mujoco.MjData(self.model)
        self.disturbances = tuple(disturbances)
        self.restore(state)

    def step(self, command: Array) -> None:
        """Advance by one period under a command [A] in units.

        If the command or the physics are not finite, the robot stays where it is and is no
        longer `healthy` until the next reset.
        """
        command = np.asarray(command, np.float64)
        if not self.healthy or not np.isfinite(command).all():
            self.healthy = False
            return
        before = self.save()
        self.data.ctrl[self._actuators] = command * self._per_unit * self._gain
        mujoco.mj_step(self.model, self.data, self._steps)
        if not np.isfinite(self.data.qpos).all() or not np.isfinite(self.data.qvel).all():
            self.restore(before)
            self.healthy = False

    def signals(self) -> Array:
        """Return the sensors [R] at the present state, in the order of the robot file."""
        # After a step MuJoCo's sensors are those of the state before it. The solver's result is
        # put back, or a warm start would depend on whether somebody looked.
        warm = self.data.qacc_warmstart.copy()
        mujoco.mj_forward(self.model, self.data)
        self.data.qacc_warmstart[:] = warm
        return np.array(self.data.sensordata[self._columns])

    @property
    def time_s(self) -> float:
        """Simulated time since the world was made; it goes on over resets."""
        return float(self._time_before_reset_s + self.data.time)

    def save(self) -> Array:
        """Return the physics state: time, qpos, qvel."""
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, state, _STATE)
        return state

    def restore(self, state: Array) -> None:
        """Go back to a state that `save` returned."""
        mujoco.mj_setState(self.model, self.data, state, _STATE)
        mujoco.mj_forward(self.model, self.data)
        self.healthy = True


def physics_steps(spec: RobotSpec) -> int:
    """Return physics steps per control period."""
    if spec.simulation is None:
        raise UserError(f'{spec.name} has no simulation section in its robot file')
    return spec.simulation.physics_steps


def initial_state(spec: RobotSpec, model: mujoco.MjModel, rng: np.random.Generator) -> Array:
    """Draw a start state: the model's own plus normal noise on positions and velocities."""
    noise = spec.simulation.reset_noise if spec.simulation else {}
    data = mujoco.MjData(model)
    step = rng.normal(0.0, noise.get('position', 0.0), model.nv)
    mujoco.mj_integratePos(model, data.qpos, step, 1.0)
    data.qvel[:] = rng.normal(0.0, noise.get('velocity', 0.0), model.nv)
    state = np.empty(mujoco.mj_stateSize(model, _STATE))
    mujoco.mj_getState(model, data, state, _STATE)
    return state
