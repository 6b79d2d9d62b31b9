# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Many independent copies of a robot, stepped together by mujoco.rollout."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import rollout
from numpy.typing import NDArray

from mbmrl_ros.sim.disturbances import Disturbance, disturbed
from mbmrl_ros.sim.sensors import command_gears, load_model, signal_columns
from mbmrl_ros.sim.world import initial_state, physics_steps
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Array


class BatchWorld:
    """N worlds with one robot each; row i equals a `World` with the same start and commands."""

    def __init__(self, spec: RobotSpec, batch: int, threads: int = 2) -> None:
        """batch: N. threads: of the physics."""
        self.spec, self.batch = spec, batch
        self._model = load_model(spec)
        self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
        self._columns = signal_columns(spec, self._model)
        self._actuators, gears = command_gears(spec, self._model)
        self._per_unit = 1.0 / gears
        self._steps = physics_steps(spec)
        self._rollout = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]
        self._models = [self._model] * batch
        self._gains = np.ones((batch, spec.action_size))
        size = mujoco.mj_stateSize(self._model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self._states = np.zeros((batch, size))
        self._controls = np.zeros((batch, self._model.nu))
        self.healthy: NDArray[np.bool_] = np.ones(batch, bool)

    def reset(self, rng: np.random.Generator) -> None:
        """Put every robot to a start state of its own, undisturbed."""
        for row in range(self.batch):
            self._states[row] = initial_state(self.spec, self._model, rng)
            self.set_disturbances(row, ())
        self._controls[:] = 0.0
        self.healthy[:] = True

    def set_disturbances(self, row: int, disturbances: Sequence[Disturbance]) -> None:
        """Say what is wrong with one robot from now on."""
        self._models[row], self._gains[row] = disturbed(self.spec, self._model, disturbances)

    def step(self, commands: Array) -> None:
        """Advance by one period under commands [N, A] in units.

        A row whose physics are no longer finite, or whose command is not, stays where it was and
        is no longer `healthy`.
        """
        finite = np.isfinite(commands).all(-1)
        safe = np.where(finite[:, None], commands, 0.0)
        self._controls[:, self._actuators] = safe * self._per_unit * self._gains
        states = self._run(self._steps)[0][:, -1]
        sound = finite & np.isfinite(states).all(-1) & (np.abs(states).max(-1) < 1e6)
        self.healthy = np.logical_and(self.healthy, sound)
        self._states = np.where(self.healthy[:, None], states, self._states)

    def signals(self) -> Array:
        """Return the sensors [N, R] at the present state.

        MuJoCo computes sensors at the start of a step, so a step is taken for its sensors only.
        """
        return self._run(1)[1][:, 0][:, self._columns]

    @property
    def states(self) -> Array:
        """The full physics states [N, .]: time, qpos, qvel."""
        return self._states

    def _run(self, steps: int) -> tuple[Array, Array]:
        controls = np.repeat(self._controls[:, None], steps, 1)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            states, sensors = self._rollout.rollout(
                self._models, self._data, self._states, controls
            )
        return states, sensors

    def close(self) -> None:
        """Stop the threads."""
        self._rollout.close()
