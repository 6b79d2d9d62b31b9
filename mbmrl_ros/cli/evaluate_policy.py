# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` does with a meta-learned policy: its return against the rollouts it has seen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from mbmrl_ros.algorithms import ALGORITHMS, INNER_STEPS, SEARCH_STAGES
from mbmrl_ros.algorithms.model_free import BASELINES
from mbmrl_ros.bundles.policy import PolicyBundle, load_policy
from mbmrl_ros.cli.argument_types import listed
from mbmrl_ros.cli.evaluate_search import evaluate_search
from mbmrl_ros.cli.progress import print_wide
from mbmrl_ros.config import UserError, closest, known_settings, parse
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.tasks import check_robot
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.evaluation.meta_policy import AdaptationCurve, adaptation_curve, trial_curve
from mbmrl_ros.evaluation.verdicts import of_gain
from mbmrl_ros.system.outputs import as_json, write_text

SETTINGS = ('training', 'held_out')
# Goals that are drawn per setting.
TASKS = 40


def evaluate_policy_command(options: argparse.Namespace) -> None:
    """Adapt to new tasks, of training and from outside; print a table, write JSON."""
    torch.set_num_threads(options.threads)
    bundle = load_policy(options.bundle)
    if bundle.info.algorithm not in ALGORITHMS:
        known = closest(bundle.info.algorithm, ALGORITHMS)
        raise UserError(f'{options.bundle} is of algorithm {bundle.info.algorithm!r}; {known}')
    task = load_meta_task(options.task or bundle.info.task, options.robot or '')
    check_robot(task.name, task.robot, options.robot or '')
    if bundle.info.algorithm in (*SEARCH_STAGES, *BASELINES):
        evaluate_search(bundle, task, options)
        return
    if options.figure:
        raise UserError(f'--figure is of ensembles; {bundle.info.algorithm} trains without one')
    settings = SETTINGS if options.test == 'all' else listed(options.test)
    for setting in settings:
        task.goals.of(setting)
    curves = {name: _curve(bundle, task, name, options) for name in settings}
    results = {name: curve.summary() for name, curve in curves.items()}
    if options.json:
        _write(options.json, bundle, task, options, results)
    _print_results(results)
    for name, curve in curves.items():
        said = of_gain(curve.returns[0], curve.returns[-1])
        if said:
            print(f'{name}: {said}')


def _curve(
    bundle: PolicyBundle, task: MetaTask, setting: str, options: argparse.Namespace
) -> AdaptationCurve:
    record = ALGORITHMS[bundle.info.algorithm].Config
    settings = known_settings(record, bundle.info.training)
    asked: dict[str, Any] = {'tasks': TASKS, 'rollouts': options.episodes}
    if options.steps:
        asked['horizon'] = options.steps
    inner = INNER_STEPS.get(bundle.info.algorithm)
    if inner is None:
        # A trial is some episodes of one robot: as many robots as there are to be rollouts.
        config: Any = parse(record, settings | asked, '--episodes, --steps')
        return trial_curve(bundle, task, config, options.updates + 1, setting, options.seed)
    asked['inner_steps'] = options.updates
    config = parse(record, settings | asked, '--updates, --episodes, --steps')
    return adaptation_curve(bundle, task, config, inner, setting, options.seed)


def _write(
    path: Path,
    bundle: PolicyBundle,
    task: MetaTask,
    options: argparse.Namespace,
    results: dict[str, dict[str, Any]],
) -> None:
    head = {
        'bundle': str(options.bundle),
        'algorithm': bundle.info.algorithm,
        'task': task.name,
        'seed': options.seed,
        'tasks': TASKS,
    }
    write_text(path, as_json(finite(head | {'tests': results})))


def _print_results(results: dict[str, dict[str, Any]]) -> None:
    """Print a column per update; what is in brackets is the spread over tasks of one policy."""
    rollouts = next(iter(results.values()))['rollouts']
    heads = [f'after {count} rollouts (SD of tasks)' for count in rollouts]
    table = Table('goals', *heads, 'gain')
    for setting, result in results.items():
        pairs = zip(result['return_mean'], result['return_std_over_tasks'])
        cells = [f'{mean:.1f} ({std:.1f})' for mean, std in pairs]
        table.add_row(setting, *cells, f'{result["gain"]:.1f}')
    print_wide(table)
