# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train from a script, or from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.bundles.files import check_interface
from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.config import Config, UserError, closest
from mbmrl_ros.data.dataset import Trajectory, held_out_every
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.task import Task
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import claimed
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig, check_start
from mbmrl_ros.training.run import After, Run, finished_iterations, is_search
from mbmrl_ros.training.search.recorded_start import recorded_episodes


def train(
    algorithm: str,
    task: str,
    out: str | Path,
    config: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Train, or go on with what the run folder `out` holds; return the folder of the bundle.

    algorithm, task: as `mbmrl algorithms` and `mbmrl tasks` list them. config: a recipe, or a
    YAML file. settings: changes, such as {'iterations': 3}. As `mbmrl train`; UserError likewise.
    """
    chosen = find_algorithm(algorithm)
    found = chosen.load_task(task, '')
    assignments = tuple(f'{key}={json.dumps(value)}' for key, value in (settings or {}).items())
    record = chosen.settings(found, config, assignments)
    check_start(record, None)
    return run_training(chosen, found, record, RunPlan(Path(out), seed))


def _start(run: Run, config: ModelBasedConfig, source: Path, robot: str) -> None:
    """Take over data and weights of another run, or the data alone of a search for a policy."""
    if not is_search(source):
        run.adopt(source, iterations=config.iterations)
        return
    check_searched(source, config, load_robot(robot))
    # Of so many one is held out.
    fewest = held_out_every(config.validation_fraction)
    run.adopt_data(source, fewest, config.past_steps + config.future_steps)


def check_searched(source: Path, config: ModelBasedConfig, spec: RobotSpec) -> None:
    """UserError if what a search for a policy collected is nothing to learn a model from."""
    if config.learning_rate == 0:
        raise UserError(
            f'learning_rate is 0, and {source} has data to learn from, but no weights that could '
            'stay: choose another recipe, or a run of mb to start from'
        )
    folder = source / 'bundles' / f'{finished_iterations(source):04d}'
    check_interface(folder, load_policy(folder).info, spec)


def find_algorithm(name: str) -> Algorithm:
    """Return an algorithm by name; UserError names the valid ones."""
    if name not in ALGORITHMS:
        raise UserError(f'unknown algorithm {name!r}; {closest(name, ALGORITHMS)}')
    return ALGORITHMS[name]


class RunPlan(NamedTuple):
    """Where and how a training runs.

    start_from: a run whose data and weights are taken over, or of a search for a policy the data.
    after: called after every iteration.
    data: recordings, or bags, that a policy search begins with. samplers: where rollouts of meta
    policy search are made, as ray:4; empty: here.
    """

    folder: Path
    seed: int = 0
    start_from: Path | None = None
    after: After | None = None
    data: Path | None = None
    samplers: str = ''


def run_training(
    algorithm: Algorithm, task: Task | MetaTask, config: Config, plan: RunPlan
) -> Path:
    """Train in a folder that nobody else writes to; return that of the bundle."""
    folder, seed, start_from, after, data, samplers = plan
    identity = {'algorithm': algorithm.name, 'task': task.name, 'seed': seed}
    if start_from:
        identity['start_from'] = str(start_from)
    if samplers:
        identity['samplers'] = samplers
    recorded = list[Trajectory]()
    if data and isinstance(task, MetaTask):
        identity['data'] = str(data)
        horizon: int | None = config.model_dump()['horizon']
        recorded = recorded_episodes(data, task, horizon)
    with claimed(folder, 'mbmrl train'):
        run = Run(folder, config, identity, after)
        if start_from and isinstance(config, ModelBasedConfig):
            _start(run, config, start_from, task.robot)
        if recorded and not run.has_data(0):
            run.save_data(0, recorded)
        algorithm.train(task, config, run, seed)
    return folder / 'bundle'
