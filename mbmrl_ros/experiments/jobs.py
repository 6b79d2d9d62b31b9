# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What has to be done, and what its result depends on: trainings, and measurements of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.experiments.studies import METHODS, Variant, slug
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig

# Trained by experiments/trpo.py, with settings of MB: tuned, or by the thesis' numbers.
TRPO = 'trpo'
MODEL_FREE = (TRPO, 'trpo_thesis')
# Nothing is trained: experiments/true_physics.py.
TRUE_PHYSICS = 'true_physics'
NOT_MODELS = (*MODEL_FREE, TRUE_PHYSICS)


@dataclass(frozen=True)
class Selection:
    """What was asked for on the command line; empty: all that the figure has.

    assignments: key=value of the training settings, for one model model:key=value. episodes,
    steps, candidates: of every measurement; None: the figure's or the task's, the bundle's.
    full: studies of policies in the size of the paper.
    """

    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    assignments: tuple[str, ...] = ()
    episodes: int | None = None
    steps: int | None = None
    candidates: int | None = None
    quick: bool = False
    full: bool = False


def settings_of(algorithm: str) -> str:
    """Return whose settings, and whose recipes, an algorithm has."""
    return 'mb' if algorithm in NOT_MODELS else algorithm


def record_of(algorithm: str) -> type[ModelBasedConfig]:
    """Return the class of an algorithm's settings."""
    record = ALGORITHMS[settings_of(algorithm)].Config
    assert issubclass(record, ModelBasedConfig)
    return record


@dataclass(frozen=True)
class Training:
    """A run folder that has to be finished.

    source: the run that it starts from, with its data or with its weights alone.
    """

    algorithm: str
    task: str
    distribution: str
    seed: int
    config: ModelBasedConfig
    folder: Path
    source: Training | None = None
    with_data: bool = True

    @property
    def path(self) -> Path:
        """Its result."""
        return self.folder / 'training.json'

    @property
    def needs(self) -> tuple[Path, ...]:
        """Results that must be there first."""
        return (self.source.path,) if self.source else ()

    @property
    def title(self) -> str:
        """In a line of progress."""
        return f'train {self.folder.parent.name} on {self.task}, seed {self.seed}'

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on."""
        settings = {
            'algorithm': self.algorithm,
            'task': self.task,
            'distribution': self.distribution,
            'seed': self.seed,
            'start_from': self.source.settings if self.source else None,
            'config': self.config.model_dump(mode='json'),
        }
        # Not written otherwise, so that results of earlier versions stay valid.
        return settings if self.with_data else settings | {'with_data': False}


@dataclass(frozen=True)
class Measurement:
    """Episodes of a method under a test. iteration: whose bundle; None: the last."""

    training: Training
    method: str
    test: str
    variant: Variant
    iteration: int | None
    episodes: int
    steps: int
    test_seed: int
    scored_from: int
    candidates: int | None

    @property
    def path(self) -> Path:
        """Its result."""
        name = '-'.join(filter(None, (self.method, slug(self.variant.name))))
        after = '' if self.iteration is None else f'@{self.iteration:04d}'
        file = f'{slug(self.test)}{after}_seed{self.training.seed}.json'
        return Path('cells') / self.training.task / name / file

    @property
    def needs(self) -> tuple[Path, ...]:
        """Results that must be there first."""
        return (self.training.path,)

    @property
    def planner(self) -> dict[str, Any]:
        """The planner's parameters that method and variant have of their own."""
        return {**METHODS[self.method].planner, **self.variant.planner}

    @property
    def title(self) -> str:
        """In a line of progress."""
        name = ' '.join(filter(None, (self.method, self.variant.name)))
        after = f' after iteration {self.iteration}' if self.iteration else ''
        task, seed = self.training.task, self.training.seed
        return f'{name} on {task}, {self.test}, seed {seed}{after}'

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on."""
        return {
            'method': self.method,
            'adaptation': METHODS[self.method].adaptation,
            'test': self.test,
            'variant': self.variant.name,
            'at_test': dict(self.variant.at_test),
            'planner': {'kind': self.variant.kind, **self.planner},
            'iteration': self.iteration,
            'episodes': self.episodes,
            'steps': self.steps,
            'seed': self.test_seed,
            'scored_from': self.scored_from,
            'candidates': self.candidates,
            'training': self.training.settings,
        }


class Work(Protocol):
    """What has to be done."""

    @property
    def path(self) -> Path:
        """Of its result, below a folder."""

    @property
    def needs(self) -> tuple[Path, ...]:
        """Results that must be there first."""

    @property
    def title(self) -> str:
        """In a line of progress."""

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on."""


@dataclass(frozen=True)
class Job:
    """Work, the command that asks for it alone, and what does it below a folder."""

    work: Work
    command: str
    do: Callable[[Any, Path], dict[str, Any]]

    @property
    def settings(self) -> dict[str, Any]:
        """As they are read back from a file."""
        return dict(json.loads(json.dumps(self.work.settings)))
