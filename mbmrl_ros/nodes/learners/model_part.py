# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What MB, GrBAL and ReBAL are to those that learn beside each other: a model that is planned in.

It has no policy to be learned: the collector plans in the newest model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mbmrl_ros.api.training import check_searched
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, save_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_task import RobotTask
from mbmrl_ros.nodes.learners.parcels import Layout, Origin
from mbmrl_ros.nodes.learners.parts import EPISODE, MODEL, SPARE, episode_layout, sent
from mbmrl_ros.training.dynamics import stages as model_stages
from mbmrl_ros.training.dynamics.fit_model import ModelLearner, ModelTraining
from mbmrl_ros.training.dynamics.stages import Learned
from mbmrl_ros.training.run import is_search, read_checkpoint, read_data
from mbmrl_ros.training.search.stages import Data
from mbmrl_ros.types import DoneFn, Params


@dataclass(frozen=True)
class ModelPart:
    """A model that is learned while a robot is driven by plans in it; see parts.Part.

    start_from: a run of `mbmrl train`, whose weights and data it begins with; of a search for a
    policy the data. None: with nothing.
    """

    learner: ModelLearner[Any]
    problem: RobotTask
    config: Any
    seed: int
    folder: Path
    start_from: Path | None = None
    keeps_data: bool = True

    @property
    def name(self) -> str:
        """Of the algorithm."""
        return self.learner.name

    @property
    def task(self) -> str:
        """Its name."""
        return self.problem.task.name

    @property
    def robot(self) -> str:
        """Name or path of its file."""
        return self.problem.task.robot

    @property
    def disturbed(self) -> bool:
        """Whether something happens to the robot."""
        return bool(self.problem.task.disturbances)

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return int(self.config.rollout_steps)

    @property
    def steps(self) -> int:
        """Steps that a training collects."""
        return int(self.config.iterations * self.config.rollouts) * self.horizon

    @property
    def random_steps(self) -> int:
        """Steps under random actions: an iteration, as in training; none after a run."""
        return 0 if self.start_from else int(self.config.rollouts) * self.horizon

    @property
    def done(self) -> DoneFn:
        """Which states end an episode."""
        return self.problem.done

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Settings of fits that end, and of the planner of iterations."""
        return ('planner', 'epochs', 'persistency', 'reinitialize', 'learning_rate_decay')

    @property
    def origin(self) -> Origin:
        """Whose tensors are exchanged."""
        return Origin(self.problem.spec.hash, self.name, self.task)

    @property
    def layouts(self) -> dict[str, Layout]:
        """What the tensors of each kind look like."""
        spec = self.problem.spec
        return {
            EPISODE: episode_layout(spec.state_size, spec.action_size),
            MODEL: Layout(sent(model_stages.begin(self.training, {}).tensors())),
        }

    @property
    def episodes_that_count(self) -> int:
        """All that a training collects, as it learns from all, and some more for pieces."""
        return int(self.config.iterations * self.config.rollouts) + SPARE

    @property
    def training(self) -> ModelTraining[Any]:
        """How the model is learned."""
        return ModelTraining(self.learner, self.problem.spec, self.config, self.seed)

    def earned(self, piece: Trajectory) -> float:
        """Return the return of a piece of an episode."""
        return float(self.problem.reward(*piece.transitions()).sum())

    def begin_models(self, tensors: Params) -> Learned:
        """Return the model by its tensors; without any, that of the run to go on from, if any."""
        return model_stages.begin(self.training, tensors or self._known)

    def enough(self, data: Data) -> bool:
        """Whether a model can be fitted to the data."""
        return model_stages.enough(self._groups(data), self.config)

    def fit_models(
        self, models: Learned, data: Data, count: int
    ) -> tuple[Learned, dict[str, float]]:
        """Fit by one epoch, the `count`-th."""
        return model_stages.fit_epoch(self.training, models, self._groups(data), count)

    def keep_bundle(self, folder: Path, models: Learned, metrics: dict[str, float]) -> None:
        """Write the model as a bundle, for mbmrl evaluate and controller_node."""
        save_bundle(folder, self.bundle(models.tensors()))

    def bundle(self, tensors: Params) -> Bundle:
        """Return a model by its tensors, ready to control."""
        return model_stages.bundle_of(self.training, self.task, tensors)

    def first_bundle(self) -> Bundle | None:
        """Return the model of the run to go on from; None: there is none to begin with."""
        if self._modelled is None:
            return None
        known = load_bundle(self._modelled, self.problem.spec)
        return model_stages.begun_with(self.training, self.task, known)

    def _groups(self, data: Data) -> list[list[Trajectory]]:
        return [*self._recorded, [piece for each in data for piece in each]]

    @cached_property
    def _recorded(self) -> list[list[Trajectory]]:
        return read_data(self.start_from) if self.start_from else []

    @cached_property
    def _modelled(self) -> Path | None:
        """The run to go on from, if it has a model: a search for a policy has data alone."""
        run = self.start_from
        return None if run is None or is_search(run) else run

    @property
    def _known(self) -> Params:
        """What the run to go on from has learned, statistics too."""
        run = self._modelled
        if run is None:
            return {}
        known = load_bundle(run, self.problem.spec)
        statistics = {f'normalizer/{k}': v for k, v in vars(known.dynamics.normalizer).items()}
        saved = read_checkpoint(run)[1] | statistics
        # The optimiser numbers what it trains: its state is for the very same tensors.
        same = sent(saved).keys() == self.layouts[MODEL].tensors.keys()
        return saved if same else sent(saved)


def check_run(part: ModelPart) -> None:
    """UserError if the run to go on from is none, is not finished, or does not fit."""
    run = part.start_from
    if run is None:
        return
    if not (run / 'bundle' / 'bundle.json').exists() or not read_checkpoint(run)[0]:
        raise UserError(f'start_from {run} is no run folder of a finished `mbmrl train`')
    if run.resolve() == (part.folder / MODEL).resolve():
        raise UserError(f'{part.folder} goes on from its own {MODEL}: leave start_from out')
    if is_search(run):
        check_searched(run, part.config, part.problem.spec)
    part.first_bundle()
    part.begin_models({})
