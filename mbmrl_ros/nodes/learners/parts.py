# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What those that learn beside each other have in common: folders, what is sent.

OUT/collector/    data/0007.safetensors: piece 7 of episodes; metrics.csv
OUT/model/        checkpoint.safetensors, metrics.csv; bundle/, data/: if it is planned in
OUT/policy/       the same, and bundle/: the newest policy, for mbmrl evaluate and the robot
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.nodes.learners.link import Link
from mbmrl_ros.nodes.learners.parcels import Layout, Origin
from mbmrl_ros.system.outputs import claimed, write_text
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.stages import Data
from mbmrl_ros.types import DoneFn, Params

EPISODE, MODEL, POLICY = 'episode', 'model', 'policy'
STARTS = 'starts'
TOPICS = {EPISODE: 'learning/episodes', MODEL: 'learning/model', POLICY: 'learning/policy'}
# What of models and policies others need; what is left out are optimisers.
SENT = ('params/', 'log_step_sizes/', 'adapted/', 'normalizer/')
# More episodes than are learned from: some are in pieces.
SPARE = 20


class Fitted(Protocol):
    """Models, as far as they are learned."""

    def tensors(self) -> Params:
        """Return all that goes into a file, or to others."""


class Part(Protocol):
    """What is learned beside a robot: a policy in models, or the model that it is planned in.

    name: of the algorithm. robot: name or path of its file. disturbed: whether something happens
    to the robot. horizon: steps of an episode. steps: that a training collects. layouts: what the
    tensors of each kind look like that is sent; what drives the robot comes last.
    episodes_that_count: how many of the newest are learned from, a few more for pieces.
    keeps_data: whether the model learner keeps what it has got, since all of it counts.
    start_from: the run that it goes on from; None: from nothing. without_effect: names of
    settings that mean something only where one takes turns.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def robot(self) -> str: ...  # noqa: D102
    @property
    def disturbed(self) -> bool: ...  # noqa: D102
    @property
    def config(self) -> Any: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def folder(self) -> Path: ...  # noqa: D102
    @property
    def horizon(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def done(self) -> DoneFn: ...  # noqa: D102
    @property
    def origin(self) -> Origin: ...  # noqa: D102
    @property
    def layouts(self) -> dict[str, Layout]: ...  # noqa: D102
    @property
    def episodes_that_count(self) -> int: ...  # noqa: D102
    @property
    def keeps_data(self) -> bool: ...  # noqa: D102
    @property
    def start_from(self) -> Path | None: ...  # noqa: D102
    @property
    def without_effect(self) -> tuple[str, ...]: ...  # noqa: D102

    def earned(self, piece: Trajectory) -> float:
        """Return the return of a piece of an episode."""

    def begin_models(self, tensors: Params) -> Any:
        """Return models by their tensors; without any, as they are drawn."""

    def enough(self, data: Data) -> bool:
        """Whether models can be fitted to the data."""

    def fit_models(self, models: Any, data: Data, count: int) -> tuple[Fitted, dict[str, float]]:
        """Fit by one epoch, the `count`-th."""

    def keep_bundle(self, folder: Path, models: Any, metrics: dict[str, float]) -> None:
        """Write models as a bundle, where a robot can be driven by them."""


def episode_layout(state_size: int, action_size: int) -> Layout:
    """Return what an episode looks like."""
    states, actions = torch.zeros(2, state_size), torch.zeros(1, action_size)
    return Layout({'states': states, 'actions': actions}, free_length=True)


@contextmanager
def opened(part: Part, kind: str) -> Iterator[tuple[Run, int]]:
    """Open the folder of a part; yield it, and how often that was done: 1 for the first time."""
    folder = part.folder / kind
    with claimed(folder, f'{kind} node'):
        identity = {'algorithm': part.name, 'task': part.task, 'part': kind, 'seed': part.seed}
        if part.start_from:
            identity['start_from'] = str(part.start_from.resolve())
        run = Run(folder, part.config, identity)
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


def take(link: Link, data: Data) -> tuple[Params | None, list[int]]:
    """Add the episodes that have come to the data, each in its place; return the newest models.

    And the numbers of the episodes that have come.
    """
    newest, came = None, list[int]()
    for name, data_of in link.take().items():
        tensors = load(data_of)
        if name == MODEL:
            newest = tensors
            continue
        place, states, actions = int(name), tensors['states'], tensors['actions']
        data.extend([] for _ in range(place - len(data)))
        data[place - 1] = [Trajectory(states, actions, torch.full((len(actions),), -1))]
        came.append(place)
    return newest, came


def kept(run: Run) -> Data:
    """Return the episodes that are in a folder, each in its place."""
    numbers = [int(path.stem) for path in (run.folder / 'data').glob('*.safetensors')]
    last = max(numbers, default=0)
    return [run.load_data(n) if run.has_data(n) else [] for n in range(1, last + 1)]


def keep(run: Run, data: Data, numbers: list[int]) -> None:
    """Write episodes that are not in a folder yet."""
    for number in numbers:
        if not run.has_data(number):
            run.save_data(number, data[number - 1])
