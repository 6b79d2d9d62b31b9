# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The work of studies of policies: a training of an arm, and a measurement of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mbmrl_ros.config import Config
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.experiments.goal_shown import with_goal_shown
from mbmrl_ros.experiments.studies import slug


@dataclass(frozen=True)
class PolicyTraining:
    """A run folder of an arm of a study. shows_goal: to the policy, which need not adapt then."""

    arm: str
    algorithm: str
    task: str
    seed: int
    config: Config
    shows_goal: bool = False

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return Path('trainings') / self.task / slug(self.arm) / f'seed{self.seed}'

    @property
    def path(self) -> Path:
        """Its result."""
        return self.folder / 'training.json'

    @property
    def identity(self) -> dict[str, Any]:
        """What the run folder says it is."""
        return {'algorithm': self.algorithm, 'task': self.task, 'seed': self.seed}

    @property
    def needs(self) -> tuple[Path, ...]:
        """Nothing."""
        return ()

    @property
    def title(self) -> str:
        """In a line of progress."""
        return f'train {self.arm} on {self.task}, seed {self.seed}'

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on."""
        return {
            **self.identity,
            'shows_goal': self.shows_goal,
            'settings': self.config.model_dump(mode='json'),
        }

    def open_task(self) -> MetaTask:
        """Return the task as this policy sees it."""
        task = load_meta_task(self.task)
        return with_goal_shown(task) if self.shows_goal else task


@dataclass(frozen=True)
class StudyCell:
    """A measurement of a study. options: what it depends on beside the training."""

    study: str
    arm: str
    task: str
    seed: int
    training: PolicyTraining | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Its result."""
        name = f'{slug(self.arm)}_seed{self.seed}.json'
        return Path('studies') / self.study / slug(self.task) / name

    @property
    def needs(self) -> tuple[Path, ...]:
        """Results that must be there first."""
        return (self.training.path,) if self.training else ()

    @property
    def title(self) -> str:
        """In a line of progress."""
        return f'{self.study}: {self.arm} on {self.task}, seed {self.seed}'

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on."""
        return {
            'study': self.study,
            'arm': self.arm,
            'task': self.task,
            'seed': self.seed,
            'options': self.options,
            'training': self.training.settings if self.training else None,
        }
