# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What drives the robot of a collector: the newest policy, or plans in the newest model.

A policy drives for a whole episode. A model is exchanged between two control periods: planner,
warm start and history stay, so that no period is missed for it.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import torch

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.nodes.common.settings import PlannerSettings
from mbmrl_ros.nodes.controller.assembly import Brain, build_planner, task_reward
from mbmrl_ros.nodes.controller.controller_topics import ControllerTopics
from mbmrl_ros.nodes.learners.model_part import ModelPart
from mbmrl_ros.nodes.learners.parcels import Parcel, Version
from mbmrl_ros.nodes.learners.parts import MODEL, POLICY
from mbmrl_ros.nodes.learners.proposals import Proposal, at_random, by_policy
from mbmrl_ros.nodes.learners.search_part import SearchPart
from mbmrl_ros.robot.adaptive_mpc import adaptive_model, make_mpc
from mbmrl_ros.robot.episode_driver import EpisodeDriver, OnPiece
from mbmrl_ros.robot.planned_episodes import Planned, PlannedEpisodes
from mbmrl_ros.robot.random_policy import RandomPolicy
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.publish import untrained_bundle

# Of the model of a run to go on from: anything that is sent is newer.
FIRST = Version(0, 0)


class Driving(Protocol):
    """What drives. hears: the kind of what it is driven by."""

    hears: str
    driver: EpisodeDriver

    def brain(self) -> Brain:
        """Return it as what a controller is put around."""

    def take(self, parcel: Parcel, controller: ControllerTopics) -> None:
        """Drive by what has come, as soon as may be."""

    def begin(self, pieces: int, steps: int) -> None:
        """Begin an episode. pieces, steps: that were collected before."""

    def driven_by(self, proposal: Any) -> tuple[Version | None, float]:
        """Return what a piece was driven by, and how long after it was sent it first was."""


class PolicyDriving:
    """The newest policy, for an episode each; at random before the first."""

    hears = POLICY

    def __init__(self, part: SearchPart, generator: torch.Generator, on_piece: OnPiece) -> None:
        self._part, self._generator = part, generator
        self._newest: Parcel | None = None
        first = at_random(part, generator)
        spec = load_robot(part.robot)
        self.driver = EpisodeDriver(spec, part.horizon, part.done, first, on_piece)

    def brain(self) -> Brain:
        """Return it as what a controller is put around."""
        return Brain('the newest policy', None, self.driver, self._generator)

    def take(self, parcel: Parcel, controller: ControllerTopics) -> None:
        """Drive by a policy from the next episode on."""
        self._newest = parcel

    def begin(self, pieces: int, steps: int) -> None:
        """Begin an episode with the newest policy, or the adapted one whose turn it is."""
        if self._newest is not None:
            self.driver.use(by_policy(self._part, self._newest, pieces, self._generator))
        self.driver.begin()

    def driven_by(self, proposal: Proposal) -> tuple[Version | None, float]:
        """Return the version of its policy, and how long after it was sent it first acted."""
        parcel = proposal.parcel
        return parcel.version if parcel else None, proposal.first_s


class ModelDriving:
    """Plans in the newest model; at random before the first, and in the first episodes."""

    hears = MODEL

    def __init__(self, part: ModelPart, generator: torch.Generator, on_piece: OnPiece) -> None:
        """UserError if the model of the run to go on from does not fit."""
        self._part, self._generator = part, generator
        problem = part.problem
        spec, task = problem.spec, problem.task
        first = part.first_bundle()
        bundle = first or untrained_bundle(part.training, task.name)
        reward, self._route = task_reward(spec, task, None)
        planner = build_planner(spec, bundle, PlannerSettings())
        adapter = part.learner.adapter(bundle)
        mpc = make_mpc(bundle, adapter, planner, reward, generator)
        version = FIRST if first else None
        self._planned = Planned(mpc, RandomPolicy(spec, generator), model=version)
        # The statistics of what little was seen are no bounds of what may be measured.
        self._bundle = untrained_bundle(part.training, task.name)
        self.driver: EpisodeDriver = PlannedEpisodes(
            spec, part.horizon, part.done, self._planned, on_piece
        )

    def brain(self) -> Brain:
        """Return it as what a controller is put around."""
        task, route = self._part.problem.task, self._route
        return Brain('the newest model', self._bundle, self.driver, self._generator, task, route)

    def take(self, parcel: Parcel, controller: ControllerTopics) -> None:
        """Plan in a model from the next control period on."""
        bundle = self._part.bundle(parcel.tensors)
        controller.loop.submit(functools.partial(self._use, parcel, bundle))

    def _use(self, parcel: Parcel, bundle: Bundle) -> None:
        """Exchange the model, in the worker's thread."""
        assert isinstance(self.driver, PlannedEpisodes)
        model = adaptive_model(bundle, self._part.learner.adapter(bundle))
        self.driver.use_model(model, parcel.version, parcel.sent_s)

    def begin(self, pieces: int, steps: int) -> None:
        """Begin an episode, planned unless it is one of the first."""
        self._planned.at_random = steps < self._part.random_steps
        self.driver.begin()

    def driven_by(self, proposal: Planned) -> tuple[Version | None, float]:
        """Return the version of the model that is planned in, and when it first was."""
        return proposal.model if proposal.plans else None, proposal.first_s


def make_driving(
    part: ModelPart | SearchPart, generator: torch.Generator, on_piece: OnPiece
) -> Driving:
    """Return what drives for an algorithm."""
    if isinstance(part, ModelPart):
        return ModelDriving(part, generator, on_piece)
    return PolicyDriving(part, generator, on_piece)
