# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train from a script, or from the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.system.outputs import claimed
from mbmrl_ros.training.model_based import train as train_model
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.settings import TrainingConfig, check_start, load_training_config


def train(
    algorithm: str,
    task: str,
    out: str | Path,
    config: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Train, or go on with what the run folder `out` holds; return the folder of the bundle.

    algorithm, task: as `mbmrl algorithms` and `mbmrl tasks` list them. config: a variant, or a
    YAML file. settings: changes, such as {'iterations': 3}. As `mbmrl train`; UserError likewise.
    """
    found = load_task(task)
    assignments = tuple(f'{key}={json.dumps(value)}' for key, value in (settings or {}).items())
    chosen = load_training_config(check_algorithm(algorithm), found.name, config, assignments)
    check_start(chosen, None)
    return run_training(algorithm, found, chosen, Path(out), seed)


def check_algorithm(name: str) -> str:
    """Return the name of an algorithm; UserError names the valid ones."""
    if name not in ALGORITHMS:
        raise UserError(f'unknown algorithm {name!r}; {closest(name, ALGORITHMS)}')
    return name


def run_training(
    algorithm: str,
    task: Task,
    config: TrainingConfig,
    folder: Path,
    seed: int,
    start_from: Path | None = None,
) -> Path:
    """Train in a folder that nobody else writes to; return that of the bundle.

    start_from: a run whose data and weights are taken over.
    """
    identity = {'algorithm': algorithm, 'task': task.name, 'seed': seed}
    if start_from:
        identity['start_from'] = str(start_from)
    defaults = TrainingConfig().model_dump(mode='json')
    with claimed(folder, 'mbmrl train'):
        run = Run(folder, config.model_dump(mode='json'), identity, defaults)
        if start_from:
            run.adopt(start_from, iterations=config.iterations)
        train_model(ALGORITHMS[algorithm], task, config, run, seed)
    return folder / 'bundle'
