# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Many independent copies of a robot, stepped together by mujoco.rollout."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache, partial

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.actuator_model import make_drive
from mbmrl_ros.sim.actuators import command_units
from mbmrl_ros.sim.disturbances import Disturbance, disturbed
from mbmrl_ros.sim.model_files import model_path
from mbmrl_ros.sim.sensor_model import make_senses
from mbmrl_ros.sim.sensors import signal_columns, simulation_of
from mbmrl_ros.sim.start import resting_controls
from mbmrl_ros.sim.terrain import on_top
from mbmrl_ros.sim.world import (
    PHYSICS,
    configure,
    initial_state,
    joint_speeds,
    plausible,
    prepare_model,
    silence_mujoco,
)
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

MOST_VARIANTS = 256
"""Disturbed models that are kept for when they come again: all draws of a shipped task fit."""


class BatchWorld:
    """N worlds with one robot each; row i equals a `World` with the same start and commands."""

    def __init__(
        self, spec: RobotSpec, batch: int, threads: int = 2, dropouts: bool = True
    ) -> None:
        """batch: N. threads: of the physics. dropouts: whether sensors lose messages."""
        self.spec, self.batch = spec, batch
        self._model = prepare_model(spec, warm_start=False)
        self._columns = signal_columns(spec, self._model)
        self._actuators, _ = command_units(spec, self._model)
        self._drive = make_drive(spec, self._model, batch, simulation_of(spec).physics_steps)
        self._senses = make_senses(spec, batch, self._drive, dropouts)
        self._rollouts = Rollouts(self._model, threads)
        self._models = [self._model] * batch
        # Robots with the same disturbances share a model.
        self._variant = lru_cache(MOST_VARIANTS)(partial(disturbed, spec, self._model))
        self._gains = np.ones((batch, spec.action_size))
        start = np.zeros(mujoco.mj_stateSize(self._model, PHYSICS))
        mujoco.mj_getState(self._model, mujoco.MjData(self._model), start, PHYSICS)
        self._states = np.tile(start, (batch, 1))
        self._speeds = 1 + self._model.nq + joint_speeds(spec, self._model)
        self._controls = np.tile(resting_controls(self._model), (batch, 1))
        self._signals: Array | None = None
        self.healthy = np.ones(batch, bool)

    def reset(self, rng: np.random.Generator) -> None:
        """Put every robot to a start state of its own, undisturbed."""
        for row in range(self.batch):
            self._start(row, rng)
        self._sense(self._run(self._states, self._controls, 1)[1][:, :, self._columns])

    def reset_row(self, row: int, rng: np.random.Generator) -> None:
        """Put one robot to a start state of its own, undisturbed; the others stay."""
        self._start(row, rng)
        only = np.arange(self.batch) == row
        self._sense(self._run(self._states, self._controls, 1)[1][:, :, self._columns], only)

    def _start(self, row: int, rng: np.random.Generator) -> None:
        self.set_disturbances(row, ())
        self._states[row] = initial_state(self.spec, self._model, rng)
        self._drive.reset(row, self._model, rng)
        if self._senses is not None:
            self._senses.reset(row, rng)
        self._controls[row] = resting_controls(self._model)
        self._signals, self.healthy[row] = None, True

    def set_disturbances(self, row: int, disturbances: Sequence[Disturbance]) -> None:
        """Change what is wrong with one robot from now on; UserError if it cannot be."""
        model, self._gains[row] = self._variant(tuple(disturbances))
        if model is not self._models[row]:
            positions = self._states[row, 1 : 1 + model.nq]
            positions[:] = on_top(self._models[row], model, positions)
            self._models[row], self._signals = model, None
            self._drive.use_model(row, model)

    def copy_state_from(self, other: BatchWorld) -> None:
        """Put every robot where one of M others is, disturbances included: N / M of each in turn.

        UserError where motors or sensors of the robot remember what cannot be seen in its state.
        """
        times, rest = divmod(self.batch, other.batch)
        if rest:
            raise ValueError(f'{self.batch} robots are no multiple of {other.batch}')
        if other._senses is not None or other._drive.memory.shape[1]:
            raise UserError(
                f'{self.spec.name}: motors or sensors that remember cannot be copied; use a robot '
                'without motors and sensing in its file'
            )
        rows = np.repeat(np.arange(other.batch), times)
        self._states, self._controls = other._states[rows], other._controls[rows]
        self._gains, self.healthy = other._gains[rows], other.healthy[rows]
        self._models = [other._models[row] for row in rows]
        self._signals = None if other._signals is None else other._signals[rows]

    def step(self, commands: Array) -> None:
        """Advance by one period under commands [N, A] in units.

        A row whose physics are no longer finite, or whose command is not, stays where it was and
        is no longer `healthy` until the next reset.
        """
        commands = np.asarray(commands, np.float64)
        if commands.shape != self._gains.shape:
            raise ValueError(f'commands are {self._gains.shape}, got {commands.shape}')
        moving = self.healthy & np.isfinite(commands).all(-1)
        effective = np.where(moving[:, None], commands * self._gains, 0.0)
        if self._senses is None:
            self._step_exactly(effective, moving)
        else:
            self._step_in_parts(effective, moving)
        self.healthy = moving

    def _step_exactly(self, commands: Array, moving: NDArray[np.bool_]) -> None:
        """Advance those that can, and take their sensors from the very end of the period."""
        controls = self._next_controls(0, commands, moving)
        # MuJoCo computes sensors at the start of a step: those of the new states come with a
        # step more than asked for, which is otherwise dropped.
        before = self.signals()
        states, sensors = self._run(self._states, controls, self._drive.steps + 1)
        reached = states[:, -2]
        # A rollout in which MuJoCo warned stands still from there on, in time as well.
        moving &= (states[:, -1, 0] > reached[:, 0]) & plausible(reached)
        self._states[moving] = reached[moving]
        self._controls[moving] = controls[moving]
        self._signals = np.where(moving[:, None], sensors[:, -1, self._columns], before)

    def _step_in_parts(self, commands: Array, moving: NDArray[np.bool_]) -> None:
        """Advance those that can, part by part, each with a state that sensors may sample."""
        start, truth = self._states.copy(), []
        for part in range(self._drive.parts):
            self._controls = self._next_controls(part, commands, moving)
            states, sensors = self._run(self._states, self._controls, self._drive.steps)
            # As above, a rollout in which MuJoCo warned stands still.
            moving &= (states[:, -1, 0] > states[:, 0, 0]) | (self._drive.steps == 1)
            self._states = states[:, -1]
            truth.append(sensors[:, -1, self._columns])
        moving &= plausible(self._states)
        self._states[~moving] = start[~moving]
        self._sense(np.stack(truth, 1), moving)

    def _next_controls(self, part: int, commands: Array, moving: NDArray[np.bool_]) -> Array:
        """Return controls [N, .]: new ones for those that move, for the others the old ones."""
        controls = self._controls.copy()
        wanted = self._drive.controls(part, commands, self._states[:, self._speeds])
        controls[:, self._actuators] = np.where(
            moving[:, None], wanted, controls[:, self._actuators]
        )
        return controls

    def _sense(self, truth: Array, moving: NDArray[np.bool_] | None = None) -> None:
        """Let the sensors of those that moved (None: all) read samples [N, parts, R]."""
        if self._senses is None:
            return
        speeds = self._states[:, self._speeds]
        for row in np.flatnonzero(self.healthy if moving is None else moving):
            self._senses.read(int(row), truth[row], speeds[row])

    def signals(self) -> Array:
        """Return the sensors [N, R] at the present state, in the order of the robot file."""
        if self._senses is not None:
            return np.array(self._senses.values)
        if self._signals is None:
            _, sensors = self._run(self._states, self._controls, 1)
            self._signals = sensors[:, 0, self._columns]
        return self._signals.copy()

    @property
    def states(self) -> Array:
        """A copy of the physics states [N, .]: time, qpos, qvel."""
        return self._states.copy()

    def close(self) -> None:
        """Stop the threads."""
        self._rollouts.close()

    def _run(self, states: Array, controls: Array, steps: int) -> tuple[Array, Array]:
        return self._rollouts.run(self._models, states, controls, steps)


class BatchPhysics:
    """N copies of a model file, without a robot file: controls in, states out, no sensors."""

    def __init__(self, model: str, threads: int = 2) -> None:
        """model: gymnasium/<file>.xml, or a path."""
        silence_mujoco()
        path = model_path(model)
        try:
            loaded = mujoco.MjModel.from_xml_path(str(path))
        except ValueError as error:
            line = ' '.join(str(error).split())
            raise UserError(f'MuJoCo cannot load {path}: {line}') from error
        self.model = configure(loaded, warm_start=False)
        self._rollouts = Rollouts(self.model, threads)

    def step(self, states: Array, controls: Array, steps: int = 1) -> Array:
        """Return the states [N, .] after some physics steps under controls [N, A].

        A state holds time, qpos, qvel (and activations).
        """
        width = mujoco.mj_stateSize(self.model, PHYSICS)
        expected = (len(states), width), (len(states), self.model.nu)
        if (states.shape, controls.shape) != expected:
            raise ValueError(
                f'states and controls are {expected}, got {states.shape, controls.shape}'
            )
        return self._rollouts.last([self.model] * len(states), states, controls, steps)

    def follow(self, states: Array, controls: Array, steps: int = 1) -> Array:
        """Return the states [N, .] after controls [T, N, A], each for some physics steps."""
        each = np.repeat(controls.swapaxes(0, 1).astype(np.float64), steps, axis=1)
        return self._rollouts.follow([self.model] * len(states), states, each)[0][:, -1]

    def close(self) -> None:
        """Stop the threads."""
        self._rollouts.close()


class Rollouts:
    """mujoco.rollout with threads of its own; seconds: how long it took in all."""

    def __init__(self, model: mujoco.MjModel, threads: int) -> None:
        # One thread is this one: to hand a step to another takes longer than the step.
        self._rollout = rollout.Rollout(nthread=threads if threads > 1 else 0)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._warnings = self._data[0].warning.number
        self.seconds = 0.0

    def run(
        self, models: list[mujoco.MjModel], states: Array, controls: Array, steps: int
    ) -> tuple[Array, Array]:
        """Return states [N, steps, .] and sensors [N, steps, .] under constant controls [N, .]."""
        each = np.repeat(np.asarray(controls, np.float64)[:, None], steps, axis=1)
        return self.follow(models, states, each)

    def last(
        self, models: list[mujoco.MjModel], states: Array, controls: Array, steps: int
    ) -> Array:
        """Return the states [N, .] that `run` comes to in the end."""
        if len(states) > 1:
            return self.run(models, states, controls, steps)[0][:, -1]
        # To set up a rollout of one row takes about as long as a step of its physics.
        started = time.perf_counter()
        model, data, reached = models[0], self._data[0], np.empty(states.shape)
        self._warnings[:] = 0
        mujoco.mj_setState(model, data, states[0], PHYSICS)
        data.ctrl[:] = controls[0]
        mujoco.mj_step(model, data, steps)
        mujoco.mj_getState(model, data, reached[0], PHYSICS)
        self.seconds += time.perf_counter() - started
        if np.count_nonzero(self._warnings):
            return self.run(models, states, controls, steps)[0][:, -1]
        return reached

    def follow(
        self, models: list[mujoco.MjModel], states: Array, controls: Array
    ) -> tuple[Array, Array]:
        """Return states [N, T, .] and sensors [N, T, .] under controls [N, T, .]."""
        steps = controls.shape[1]
        reached = np.empty((len(states), steps, states.shape[1]))
        sensors = np.empty((len(states), steps, models[0].nsensordata))
        started = time.perf_counter()
        # The checks look at every model of the list in Python: a tenth of a step of 256 robots.
        self._rollout.rollout(
            models,
            self._data,
            np.ascontiguousarray(states, np.float64),
            controls,
            skip_checks=True,
            nstep=steps,
            state=reached,
            sensordata=sensors,
        )
        self.seconds += time.perf_counter() - started
        return reached, sensors

    def close(self) -> None:
        """Stop the threads."""
        self._rollout.close()
