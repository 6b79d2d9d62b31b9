# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What parameters say of a training: algorithm, task, settings, folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mbmrl_ros.api.training import find_algorithm
from mbmrl_ros.nodes.learners.settings import LearningSettings
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.recipes import load_recipe
from mbmrl_ros.training.settings import check_start


class Training(NamedTuple):
    """A training; as `mbmrl train` would have it from the same arguments."""

    algorithm: Algorithm
    task: Any
    config: Any
    folder: Path


def plan_training(settings: LearningSettings, kind: str = '') -> Training:
    """Look everything up; UserError if anything is wrong. kind: of the folder's name."""
    algorithm = find_algorithm(settings.algorithm)
    task = algorithm.load_task(settings.task, settings.robot)
    config = load_recipe(
        algorithm.Config,
        algorithm.name,
        task.name,
        settings.config or None,
        settings.settings,
        algorithm.recipes,
    )
    check_start(config, None)
    usual = Path('runs') / task.name / algorithm.name / f'{kind}seed{settings.seed}'
    return Training(algorithm, task, config, Path(settings.out or usual))
