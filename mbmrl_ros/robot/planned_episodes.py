# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drives a robot episode after episode by plans in the newest model (thesis, Algorithm 10)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mbmrl_ros.robot.action_source import ActionSource, Decision
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.robot.episode_driver import EpisodeDriver, OnPiece
from mbmrl_ros.robot.latency import Pending
from mbmrl_ros.robot.random_policy import RandomPolicy
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import DoneFn, Planner, RewardFn, Transitions


@dataclass
class Planned:
    """Who chooses actions: the planner, and at random before there is a model to plan in.

    at_random: whether the present episode is not to be planned, whatever model there is. model:
    what the newest one is known by; None before the first. sent_s: when that was sent, by the wall
    clock; first_s: how long after that it was first planned in, NaN before.
    """

    mpc: AdaptiveMPC
    random: RandomPolicy
    at_random: bool = False
    model: Any = None
    sent_s: float = math.nan
    first_s: float = math.nan

    @property
    def plans(self) -> bool:
        """Whether it is the planner that chooses."""
        return self.model is not None and not self.at_random

    def __call__(self, state: Tensor) -> Tensor:
        """Return a random action [1, A] in -1..1 for a state [1, S]."""
        return self.random.act(state)


class PlannedEpisodes(EpisodeDriver):
    """An EpisodeDriver that plans; a newer model counts from the next control period on.

    Before the first episode it plans for nobody: that is how it is warmed up.
    Threads: `use_model` in the one that ticks; else as EpisodeDriver.
    """

    def __init__(
        self, spec: RobotSpec, horizon: int, done: DoneFn, planned: Planned, on_piece: OnPiece
    ) -> None:
        """planned: chooses the actions. The rest: see EpisodeDriver."""
        super().__init__(spec, horizon, done, planned, on_piece)
        self._planned, self._mpc, self._begun = planned, planned.mpc, False
        self.window_size = planned.mpc.window_size

    def use_model(self, model: AdaptiveModel, known_by: Any, sent_s: float) -> None:
        """Plan in another model of the same shapes; warm start and history stay."""
        planned = self._planned
        self._mpc.use_model(model)
        planned.model, planned.sent_s, planned.first_s = known_by, sent_s, math.nan

    def begin(self) -> None:
        """Begin an episode, in whatever state the robot is."""
        self._begun = True
        super().begin()

    def reset(self) -> None:
        """End the piece that is under way, and forget the warm start."""
        super().reset()
        self._mpc.reset()

    @property
    def planner(self) -> Planner:
        """What plans."""
        return self._mpc.planner

    def use_planner(self, planner: Planner) -> None:
        """Exchange the planner."""
        self._mpc.use_planner(planner)

    def use_reward(self, reward: RewardFn) -> None:
        """Exchange the reward."""
        self._mpc.use_reward(reward)

    def inherit_warm_start(self, other: ActionSource) -> None:
        """Do nothing: every episode begins without one."""

    def act(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending = (),
        until_s: float = math.inf,
    ) -> Decision:
        """Return the next action; see EpisodeDriver."""
        if not self._begun:
            self._mpc.act(window, attempted, state, pending, until_s)
        return super().act(window, attempted, state, pending, until_s)

    def _decide(
        self,
        window: Transitions,
        attempted: Tensor,
        state: Tensor,
        pending: Pending,
        until_s: float,
    ) -> Decision:
        planned = self._planned
        if not self._ticks:
            # The robot is somewhere else than where the last plan was for.
            self._mpc.reset()
            planned.random.reset()
        if not planned.plans:
            return super()._decide(window, attempted, state, pending, until_s)
        if math.isnan(planned.first_s):
            planned.first_s = time.time() - planned.sent_s
        return self._mpc.act(window, attempted, state, pending, until_s)
