# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What parameters say of a training: algorithm, task, settings, folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mbmrl_ros.algorithms import LEARNERS, SEARCH_STAGES
from mbmrl_ros.api.training import find_algorithm
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import check_robot
from mbmrl_ros.nodes.learners.model_part import ModelPart, check_run
from mbmrl_ros.nodes.learners.search_part import SearchPart
from mbmrl_ros.nodes.learners.settings import LearningSettings, SharedSettings
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.dynamics.settings import check_start
from mbmrl_ros.training.search.loop import check_task
from mbmrl_ros.training.search.stages import Search

WHY = 'see "What differs from taking turns" in docs/learning_beside_a_robot.md'


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
    check_robot(task.name, task.robot, settings.robot)
    config = algorithm.settings(task, settings.config or None, settings.settings)
    start_from = getattr(settings, 'start_from', '')
    check_start(config, Path(start_from) if start_from else None)
    usual = Path('runs') / task.name / algorithm.name / f'{kind}seed{settings.seed}'
    return Training(algorithm, task, config, Path(settings.out or usual))


def plan_part(settings: SharedSettings) -> ModelPart | SearchPart:
    """Look up what is to be learned beside a robot; UserError if anything is wrong."""
    training = plan_training(settings, 'asynchronous_')
    name, task, config = training.algorithm.name, training.task, training.config
    if name in LEARNERS:
        run = Path(settings.start_from) if settings.start_from else None
        problem = open_task(task)
        part = ModelPart(LEARNERS[name], problem, config, settings.seed, training.folder, run)
        check_run(part)
        return part
    searches = [known for known, each in SEARCH_STAGES.items() if each.asynchronous is not None]
    if name not in searches:
        able = [*LEARNERS, *searches]
        raise UserError(f'{name} does not learn beside a running robot; {closest(name, able)}')
    check_task(task)
    if not task.robot:
        raise UserError(f'{task.name} has no robot that could be driven; see: mbmrl tasks')
    search = Search(task, config.model_copy(update={'real_rollouts': 1}), settings.seed)
    episodes = config.episodes(search.env.horizon)
    return SearchPart(name, SEARCH_STAGES[name], search, training.folder, episodes)


def notice_of(part: ModelPart | SearchPart, settings: SharedSettings) -> str:
    """Return what to say of settings that were asked for and change nothing; empty: nothing."""
    asked = {text.partition('=')[0].partition('.')[0].strip() for text in settings.settings}
    names = ', '.join(name for name in part.without_effect if name in asked)
    return names and f'beside a robot this changes nothing: {names}; {WHY}'
