# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One robot in MuJoCo: what the simulator node plays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from mbmrl_ros.sim.actuator_model import make_drive
from mbmrl_ros.sim.actuators import command_units
from mbmrl_ros.sim.coupling import place_followers
from mbmrl_ros.sim.disturbances import Disturbance, disturbed
from mbmrl_ros.sim.sensor_model import make_senses
from mbmrl_ros.sim.sensors import load_model, signal_columns, simulation_of
from mbmrl_ros.sim.start import resting_controls
from mbmrl_ros.sim.terrain import on_top
from mbmrl_ros.sim.wheels import driven_joints
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS
"""Time, qpos, qvel (and activations): what a step without warm start starts from."""

_EVERYTHING = mujoco.mjtState.mjSTATE_INTEGRATION

# Far beyond any robot's positions [m, rad] and speeds, far below what float32 can square.
_LARGEST = 1e6


class World:
    """A robot and its physics.

    Without the solver's warm start a step is a function of state and command alone: a reset, a
    restored state and a row of `BatchWorld` give the same future, to the bit. gymnasium steps
    with it; from the same start the two part by 5e-4 within a second, contacts being chaotic.
    """

    def __init__(
        self,
        spec: RobotSpec,
        warm_start: bool = False,
        physics_steps: int | None = None,
        dropouts: bool = True,
    ) -> None:
        """warm_start: let the solver start from the last step's solution, as gymnasium does.

        physics_steps: in one step of the world; None: as many as make a control period. dropouts:
        whether sensors lose messages.
        """
        self.spec = spec
        self._original = prepare_model(spec, warm_start)
        self._columns = signal_columns(spec, self._original)
        stages = self._original.sensor_needstage
        self._feels_forces = bool((stages == mujoco.mjtStage.mjSTAGE_ACC).any())
        self._actuators, _ = command_units(spec, self._original)
        self._speeds = joint_speeds(spec, self._original)
        steps = physics_steps or simulation_of(spec).physics_steps
        self._drive = make_drive(spec, self._original, 1, steps)
        self._senses = make_senses(spec, 1, self._drive, dropouts)
        self.model, self._gain = disturbed(spec, self._original, ())
        self.data = mujoco.MjData(self.model)
        self._physics = np.empty(mujoco.mj_stateSize(self.model, PHYSICS))
        self._size = mujoco.mj_stateSize(self.model, _EVERYTHING)
        self.disturbances: tuple[Disturbance, ...] = ()
        self._time_before_reset_s = 0.0
        self.healthy = True

    def reset(self, rng: np.random.Generator) -> None:
        """Put the robot to a start state; disturbances stay, and time goes on."""
        self._time_before_reset_s += self.data.time
        mujoco.mj_resetData(self.model, self.data)
        start = initial_state(self.spec, self.model, rng)
        mujoco.mj_setState(self.model, self.data, start, PHYSICS)
        self.data.ctrl[:] = resting_controls(self.model)
        mujoco.mj_forward(self.model, self.data)
        self._drive.reset(0, self.model, rng)
        if self._senses is not None:
            self._senses.reset(0, rng)
            truth = self.data.sensordata[None, self._columns]
            self._senses.read(0, truth, self.data.qvel[self._speeds])
        self.healthy = True

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Change what is wrong with the robot from now on; UserError if it cannot be."""
        model, self._gain = disturbed(self.spec, self._original, disturbances)
        self.disturbances = tuple(disturbances)
        if model is not self.model:
            state, before = self.save(), self.model
            self.model, self.data = model, mujoco.MjData(model)
            self._drive.use_model(0, model)
            self._put(state)
            self.data.qpos[:] = on_top(before, model, self.data.qpos)
            self._forward()

    def step(self, command: Array) -> None:
        """Advance by one step, a control period by default, under a command [A] in units.

        If the command or the physics are not finite, the robot stays where it is and is no
        longer `healthy` until the next reset.
        """
        command = np.asarray(command, np.float64)
        if command.shape != (self.spec.action_size,):
            raise ValueError(f'a command has {self.spec.action_size} values, got {command.shape}')
        self.healthy = self.healthy and all(map(math.isfinite, command.tolist()))
        if not self.healthy:
            return
        before = self.save()
        warnings = self.data.warning.number
        warnings[:] = 0
        truth = self._advance(command * self._gain)
        if np.count_nonzero(warnings) or not self._plausible():
            self._put(before)
            self.healthy = False
        elif self._senses is not None:
            self._senses.read(0, truth, self.data.qvel[self._speeds])

    def _advance(self, command: Array) -> Array:
        """Let a step pass; return the sensors [parts, R] at the end of each of its parts.

        Anything where they are the truth, and nobody samples them.
        """
        truth = np.empty((self._drive.parts, len(self._columns)))
        for part in range(self._drive.parts):
            speeds = self.data.qvel[self._speeds]
            control = self._drive.controls(part, command[None], speeds[None])[0]
            self.data.ctrl[self._actuators] = control
            mujoco.mj_step(self.model, self.data, self._drive.steps)
            if self._senses is not None:
                truth[part] = self.data.sensordata[self._columns]
        return truth

    def signals(self) -> Array:
        """Return the sensors [R] at the present state, in the order of the robot file."""
        if self._senses is not None:
            return np.array(self._senses.values[0])
        # After a step MuJoCo's sensors are those of the state before it.
        if self._feels_forces:
            self._forward()
        else:
            _sense_motion(self.model, self.data)
        return np.asarray(self.data.sensordata[self._columns])

    @property
    def time_s(self) -> float:
        """Simulated time since the world was made; it goes on over resets."""
        return float(self._time_before_reset_s + self.data.time)

    def save(self) -> Array:
        """Return all that the future depends on, the noise of sensors apart.

        Time, qpos, qvel, control, warm start; motors; what the sensors said last.
        """
        state = np.empty(self._size)
        mujoco.mj_getState(self.model, self.data, state, _EVERYTHING)
        memory = self._drive.memory[0]
        if self._senses is None and not len(memory):
            return state
        said = [] if self._senses is None else self._senses.values[0]
        return np.concatenate([state, memory, said])

    def restore(self, state: Array) -> None:
        """Go back to what `save` returned, in time as well; disturbances stay."""
        self._put(state)
        self.healthy = True

    def _put(self, state: Array) -> None:
        size, memory = self._size, self._drive.memory[0]
        mujoco.mj_setState(self.model, self.data, state[:size], _EVERYTHING)
        memory[:] = state[size : size + len(memory)]
        if self._senses is not None:
            self._senses.values[0] = state[size + len(memory) :]
        self._forward()

    def _forward(self) -> None:
        """Compute what follows from the state, and leave no trace in the next step."""
        warm = self.data.qacc_warmstart.copy()
        mujoco.mj_forward(self.model, self.data)
        self.data.qacc_warmstart[:] = warm

    def _plausible(self) -> bool:
        mujoco.mj_getState(self.model, self.data, self._physics, PHYSICS)
        return bool(plausible(self._physics))


def _sense_motion(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Compute what sensors say of positions and velocities: a third of `mj_forward`.

    Those of load_model need poses and velocities of bodies, and neither contacts nor forces.
    """
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    mujoco.mj_sensorPos(model, data)
    mujoco.mj_sensorVel(model, data)


def prepare_model(spec: RobotSpec, warm_start: bool) -> mujoco.MjModel:
    """Load the robot's model with its sensors, and set it up."""
    return configure(load_model(spec), warm_start)


def configure(model: mujoco.MjModel, warm_start: bool) -> mujoco.MjModel:
    """Set a model up so that unstable physics are seen and not covered up."""
    # MuJoCo would put a robot whose physics blow up to the origin, and show the sensors of there.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    if not warm_start:
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    # Looking for parts that do not touch, to solve them apart, is 5 % of a step; a robot is one.
    # Older versions of MuJoCo do not look for them unless asked.
    model.opt.disableflags |= getattr(mujoco.mjtDisableBit, 'mjDSBL_ISLAND', 0)
    silence_mujoco()
    return model


def silence_mujoco() -> None:
    """Keep MuJoCo from dropping MUJOCO_LOG.TXT where the user happens to be."""
    # What it would say there, `healthy` says.
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(lambda text: None)


def plausible(states: Array) -> NDArray[np.bool_]:
    """Return [...] whether physics states [..., 1 + .] (time first) are finite and not huge."""
    return np.asarray((np.abs(states[..., 1:]) < _LARGEST).all(-1))


def initial_state(spec: RobotSpec, model: mujoco.MjModel, rng: np.random.Generator) -> Array:
    """Draw a start state: the model's own plus noise on positions and velocities."""
    noise = simulation_of(spec).reset_noise
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    step = rng.normal(0.0, noise.get('position', 0.0), model.nv)
    if 'driven' in noise:
        step[joint_speeds(spec, model)] = rng.normal(
            0.0, noise['driven'], len(driven_joints(spec))
        )
    if width := noise.get('uniform_position'):
        step += rng.uniform(-width, width, model.nv)
    mujoco.mj_integratePos(model, data.qpos, step, 1.0)
    data.qvel[:] = rng.normal(0.0, noise.get('velocity', 0.0), model.nv)
    if width := noise.get('uniform_velocity'):
        data.qvel += rng.uniform(-width, width, model.nv)
    place_followers(model, data)
    state = np.empty(mujoco.mj_stateSize(model, PHYSICS))
    mujoco.mj_getState(model, data, state, PHYSICS)
    return state


def joint_speeds(spec: RobotSpec, model: mujoco.MjModel) -> NDArray[np.int64]:
    """Return where in qvel the joints [W] are that commands drive."""
    addresses = [model.joint(joint).dofadr[0] for joint in driven_joints(spec)]
    return np.array(addresses, np.int64)
