# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""N tasks with R robots each, stepped together: physics alone, no sensors and no motors."""

from __future__ import annotations

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.sim.actuator_model import Direct
from mbmrl_ros.sim.actuators import command_units
from mbmrl_ros.sim.batch import Rollouts
from mbmrl_ros.sim.parameters import Parameters
from mbmrl_ros.sim.readout import make_readout
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.sim.start import resting_controls
from mbmrl_ros.sim.world import PHYSICS, plausible, prepare_model
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


class Population:
    """N x R robots, of which each N have parameters of their own; row n R + r is robot r of n.

    A row goes through the same states as one of `BatchWorld` with the same start and commands.
    """

    def __init__(
        self, spec: RobotSpec, tasks: int, rollouts: int, parameters: tuple[str, ...], threads: int
    ) -> None:
        """parameters: what tasks multiply (sim/parameters.py). threads: of the physics.

        UserError for a robot whose motors or sensors have a model of their own.
        """
        simulation = simulation_of(spec)
        if simulation.motors is not None or simulation.sensing:
            raise UserError(
                f'{spec.name}: motors and sensing are not sampled in batches of tasks; use a '
                'robot file without them'
            )
        self.spec, self._rollouts_per_task = spec, rollouts
        self._model = prepare_model(spec, warm_start=False)
        self._read = make_readout(spec, self._model)
        self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR
        self._steps, self._noise = simulation.physics_steps, simulation.reset_noise
        self._nearly_s = (self._steps - 0.5) * self._model.opt.timestep
        self._actuators, _ = command_units(spec, self._model)
        self._drive = Direct(spec, self._model, tasks * rollouts, simulation.physics_steps)
        self._parameters = Parameters(self._model, parameters)
        self._models = [self._model] * (tasks * rollouts)
        self._physics = Rollouts(self._model, threads)
        self._start = self._start_state()
        self.states = np.tile(self._start, (tasks * rollouts, 1))
        self._controls = np.tile(resting_controls(self._model), (tasks * rollouts, 1))

    def multiply(self, factors: Array) -> None:
        """Give the robots of every task the parameters times factors [N, P]."""
        if factors.shape[1]:
            models = self._parameters.multiplied(factors)
            self._models = [model for model in models for _ in range(self._rollouts_per_task)]

    def reset(self, generator: torch.Generator) -> None:
        """Put every robot to a start state of its own."""
        model, rows = self._model, len(self.states)
        noise = self._noise
        moved = self._draw(generator, noise.get('position'), noise.get('uniform_position'))
        speeds = self._draw(generator, noise.get('velocity'), noise.get('uniform_velocity'))
        self.states = np.tile(self._start, (rows, 1))
        positions = self.states[:, 1 : 1 + model.nq]
        if model.nq == model.nv:
            positions += moved
        else:
            # A quaternion is no sum; once per episode.
            for position, step in zip(positions, moved):
                mujoco.mj_integratePos(model, position, step, 1.0)
        self.states[:, 1 + model.nq : 1 + model.nq + model.nv] += speeds
        self._controls[:] = resting_controls(model)

    def step(self, commands: Array, moving: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Advance rows that are moving [B] by one period under commands [B, A] in units.

        Returns [B] which of them could; the others, whose command or physics were not finite,
        stay where they were.
        """
        sound = moving & np.isfinite(commands).all(-1)
        rows = np.flatnonzero(sound)
        if not len(rows):
            return sound
        everyone = len(rows) == len(sound)
        # What is most often so takes no copies.
        states = self.states if everyone else self.states[rows]
        models = self._models if everyone else [self._models[row] for row in rows]
        controls = self._controls[rows]
        controls[:, self._actuators] = self._drive.controls(0, commands[rows])
        reached = self._physics.last(models, states, controls, self._steps)
        # A rollout in which MuJoCo warned stands still from there on, in time as well.
        well = (reached[:, 0] > states[:, 0] + self._nearly_s) & plausible(reached)
        if everyone and well.all():
            self.states, self._controls = reached.copy(), controls
            return sound
        rows = rows[well]
        self.states[rows], self._controls[rows] = reached[well], controls[well]
        sound = np.zeros_like(sound)
        sound[rows] = True
        return sound

    def signals(self) -> Array:
        """Return what the robot file's sensors would say [B, R]."""
        return self._read(self.states)

    @property
    def physics_s(self) -> float:
        """How long the physics took so far."""
        return self._physics.seconds

    def close(self) -> None:
        """Stop the threads."""
        self._physics.close()

    def _start_state(self) -> Array:
        data = mujoco.MjData(self._model)
        if self._model.nkey:
            mujoco.mj_resetDataKeyframe(self._model, data, 0)
        state = np.empty(mujoco.mj_stateSize(self._model, PHYSICS))
        mujoco.mj_getState(self._model, data, state, PHYSICS)
        return state

    def _draw(
        self, generator: torch.Generator, std: float | None, half_width: float | None
    ) -> Array:
        """Return noise [B, nv]: normal, uniform, or the sum of both."""
        shape = (len(self.states), self._model.nv)
        noise = torch.zeros(shape, dtype=torch.float64)
        if std:
            noise += std * torch.randn(shape, generator=generator, dtype=torch.float64)
        if half_width:
            noise += half_width * _symmetric(shape, generator)
        return noise.numpy()


def _symmetric(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    return 2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0
