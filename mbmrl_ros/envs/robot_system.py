# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robots of a robot file as the system of a task: its state channels, its commands."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.envs.meta_task import Mask
from mbmrl_ros.robot.command import to_units
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.parameters import is_parameter
from mbmrl_ros.sim.population import Population
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


class RobotSystem:
    """N x R robots (envs/meta_task.py: System)."""

    def __init__(
        self, spec: RobotSpec, goals: tuple[str, ...], size: tuple[int, int], threads: int
    ) -> None:
        """goals: names of a task's goals, of which some multiply parameters. size: N, R."""
        self.spec = spec
        self.state_size, self.action_size = spec.state_size, spec.action_size
        self.observed = spec.input_indices
        self._columns = [place for place, name in enumerate(goals) if is_parameter(name)]
        parameters = tuple(goals[place] for place in self._columns)
        self._robots = Population(spec, *size, parameters, threads)
        # Without encodings and kinematics, a state is the signals in another order.
        copies, self._places = spec.copied_channels
        self._is_copy = len(copies) == spec.state_size

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin anew under goals [N, G]; return states [B, S]."""
        self._robots.multiply(goals[:, self._columns].double().numpy())
        self._robots.reset(generator)
        return self._states()

    def step(self, actions: Tensor, moving: Mask) -> tuple[Tensor, Mask]:
        """Move rows [B] by actions [B, A] in -1..1; return states [B, S], and [B] who could."""
        commands = to_units(self.spec, actions.double().numpy())
        sound = self._robots.step(commands, moving)
        return self._states(), sound

    @property
    def physics(self) -> Array:
        """The physics states [B, .]: time, qpos, qvel; may be set, to begin anywhere."""
        return self._robots.states

    @physics.setter
    def physics(self, states: Array) -> None:
        self._robots.states = np.array(states)

    @property
    def physics_s(self) -> float:
        """How long the physics took so far."""
        return self._robots.physics_s

    def close(self) -> None:
        """Stop the threads of the physics."""
        self._robots.close()

    def _states(self) -> Tensor:
        signals = self._robots.signals()
        if self._is_copy:
            return torch.from_numpy(signals[:, self._places])
        return torch.from_numpy(encode(self.spec, signals))
