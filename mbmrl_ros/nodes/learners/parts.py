# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the three that learn beside each other have in common: stages, folders, what is sent.

OUT/collector/    data/0007.safetensors: piece 7 of episodes; metrics.csv
OUT/model/        checkpoint.safetensors, metrics.csv
OUT/policy/       the same, and bundle/: the newest policy, for mbmrl evaluate and the robot
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load

from mbmrl_ros.algorithms import SEARCH_STAGES
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.fit_ensemble import EnsembleState
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.params import group
from mbmrl_ros.nodes.learners.link import Link
from mbmrl_ros.nodes.learners.parcels import Layout, Origin
from mbmrl_ros.nodes.learners.plan import plan_training
from mbmrl_ros.nodes.learners.settings import LearningSettings
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import claimed, write_text
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search import check_task
from mbmrl_ros.training.search_stages import Data, Models, Search, Stages
from mbmrl_ros.types import Params

EPISODE, MODEL, POLICY = 'episode', 'model', 'policy'
STARTS = 'starts'
TOPICS = {EPISODE: 'learning/episodes', MODEL: 'learning/model', POLICY: 'learning/policy'}
# What of models and policies others need; what is left out are optimisers.
SENT = ('params/', 'adapted/', 'normalizer/')
# Of an episode that models can be fitted to, some of whose steps are for validation.
FEWEST_STEPS = 5
SPARE = 20


class Part(NamedTuple):
    """A stage of a policy search, in a place of its own. name: of the algorithm."""

    name: str
    stages: Stages
    search: Search[Any]
    folder: Path

    @property
    def origin(self) -> Origin:
        """Whose tensors are exchanged."""
        task = self.search.task
        return Origin(load_robot(task.robot).hash, self.name, task.name)

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
        episode = {
            'states': torch.zeros(2, system.state_size),
            'actions': torch.zeros(1, system.action_size),
        }
        return {
            EPISODE: Layout(episode, free_length=True),
            MODEL: Layout(sent(search.begin_models().tensors())),
            POLICY: Layout(policy, adapted),
        }

    @property
    def episodes_that_count(self) -> int:
        """How many whole episodes fill the buffer that is learned from, a few more for pieces."""
        size: int = self.search.config.buffer_size
        return -(-size // self.search.env.horizon) + SPARE


def plan_part(settings: LearningSettings) -> Part:
    """Look everything up; UserError if anything is wrong."""
    training = plan_training(settings, 'asynchronous_')
    name, task = training.algorithm.name, training.task
    able = [known for known, stages in SEARCH_STAGES.items() if stages.asynchronous is not None]
    if name not in able:
        raise UserError(f'{name} does not learn beside a running robot; {closest(name, able)}')
    check_task(task)
    if not task.robot:
        raise UserError(f'{task.name} has no robot that could be driven; see: mbmrl tasks')
    config = training.config.model_copy(update={'real_rollouts': 1})
    search = Search(task, config, settings.seed)
    return Part(name, SEARCH_STAGES[name], search, training.folder)


@contextmanager
def opened(part: Part, kind: str) -> Iterator[tuple[Run, int]]:
    """Open the folder of a part; yield it, and how often that was done: 1 for the first time."""
    folder = part.folder / kind
    with claimed(folder, f'{kind} node'):
        identity = {'algorithm': part.name, 'task': part.search.task.name, 'part': kind}
        run = Run(folder, part.search.config, identity | {'seed': part.search.seed})
        counter = folder / STARTS
        start = int(counter.read_text()) + 1 if counter.exists() else 1
        write_text(counter, f'{start}\n')
        yield run, start


def sent(tensors: Params) -> Params:
    """Return what others need of a policy or of models."""
    return {name: value for name, value in tensors.items() if name.startswith(SENT)}


def as_tensors(piece: Trajectory) -> Params:
    """Return a piece of an episode as it is sent."""
    return {'states': piece.states, 'actions': piece.actions}


def take(link: Link, data: Data) -> tuple[Params | None, int]:
    """Add the episodes that have come to the data, each in its place; return the newest models.

    And how many episodes have come.
    """
    newest, came = None, 0
    for name, data_of in link.take().items():
        tensors = load(data_of)
        if name == MODEL:
            newest = tensors
            continue
        place, states, actions = int(name), tensors['states'], tensors['actions']
        data.extend([] for _ in range(place - len(data)))
        data[place - 1] = [Trajectory(states, actions, torch.full((len(actions),), -1))]
        came += 1
    return newest, came


def enough(data: Data) -> bool:
    """Whether something can be learned from the data."""
    return any(episode.steps >= FEWEST_STEPS for each in data for episode in each)


def models_of(tensors: Params) -> Models:
    """Return models that were sent: without optimiser, and without data."""
    normalizer = Normalizer(**group(tensors, 'normalizer'))
    return Models(EnsembleState.of(group(tensors, 'params')), normalizer)
