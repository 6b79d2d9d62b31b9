# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a policy search is to those that learn beside each other: its stages, and what is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.fit_ensemble import EnsembleState
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.params import group
from mbmrl_ros.nodes.learners.parcels import Layout, Origin
from mbmrl_ros.nodes.learners.parts import EPISODE, MODEL, POLICY, SPARE, episode_layout, sent
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.search.loop import returns_of
from mbmrl_ros.training.search.stages import Data, Models, Search, Stages
from mbmrl_ros.types import DoneFn, Params

# Of an episode that models can be fitted to, some of whose steps are for validation.
FEWEST_STEPS = 5


@dataclass(frozen=True)
class SearchPart:
    """A search for a policy in models; see parts.Part. episodes: that a training collects."""

    name: str
    stages: Stages
    search: Search[Any]
    folder: Path
    episodes: int
    keeps_data: bool = False
    start_from: Path | None = None

    @property
    def task(self) -> str:
        """Its name."""
        return self.search.task.name

    @property
    def robot(self) -> str:
        """Name or path of its file."""
        return self.search.task.robot

    @property
    def disturbed(self) -> bool:
        """Whether something happens to the robot."""
        return self.search.task.disturbed

    @property
    def config(self) -> Any:
        """The settings."""
        return self.search.config

    @property
    def seed(self) -> int:
        """Of the random numbers."""
        return self.search.seed

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.search.env.horizon

    @property
    def steps(self) -> int:
        """Steps that a training collects."""
        return self.episodes * self.horizon

    @property
    def done(self) -> DoneFn:
        """Which states end an episode."""
        return self.search.task.done

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Settings of fits that end, and of improvements between two iterations."""
        return ('epochs', 'persistency', 'fit_updates', *(self.stages.asynchronous or ()))

    @property
    def origin(self) -> Origin:
        """Whose tensors are exchanged."""
        return Origin(load_robot(self.robot).hash, self.name, self.task)

    def changed(self, settings: Any) -> Search[Any]:
        """Return the search with other settings."""
        config = self.search.config.model_copy(update=dict(settings))
        return replace(self.search, config=config)

    @property
    def layouts(self) -> dict[str, Layout]:
        """What the tensors of each kind look like."""
        search, system = self.search, self.search.env.system
        policy = sent(self.stages.begin(search))
        adapted = {f'adapted/{k.partition("/")[2]}': v[None] for k, v in policy.items()}
        return {
            EPISODE: episode_layout(system.state_size, system.action_size),
            MODEL: Layout(sent(search.begin_models().tensors())),
            POLICY: Layout(policy, adapted),
        }

    @property
    def episodes_that_count(self) -> int:
        """How many whole episodes fill the buffer that is learned from, a few more for pieces."""
        return -(-int(self.config.buffer_size) // self.horizon) + SPARE

    def earned(self, piece: Trajectory) -> float:
        """Return the return of a piece of an episode."""
        return float(returns_of(self.search.task, [piece])[0])

    def begin_models(self, tensors: Params) -> Models:
        """Return models by their tensors; without any, as they are drawn."""
        return Models.from_tensors(tensors) if tensors else self.search.begin_models()

    def enough(self, data: Data) -> bool:
        """Whether models can be fitted to the data."""
        return any(episode.steps >= FEWEST_STEPS for each in data for episode in each)

    def fit_models(
        self, models: Models, data: Data, count: int
    ) -> tuple[Models, dict[str, float]]:
        """Fit by one epoch, the `count`-th."""
        generator = self.search.generator(count, 'fit')
        return self.stages.fit(self._by_epochs, models, data, generator)

    def keep_bundle(self, folder: Path, models: Models, metrics: dict[str, float]) -> None:
        """Write nothing: it is the policy that drives."""

    @cached_property
    def _by_epochs(self) -> Search[Any]:
        return self.changed({'epochs': 1})


def models_of(tensors: Params) -> Models:
    """Return models that were sent: without optimiser, and without data."""
    normalizer = Normalizer(**group(tensors, 'normalizer'))
    return Models(EnsembleState.of(group(tensors, 'params')), normalizer)
