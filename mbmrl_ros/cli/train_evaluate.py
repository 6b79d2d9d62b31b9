# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the command line's `train` and `evaluate` do."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from rich.table import Column, Table
from tqdm import tqdm

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.api.training import RunPlan, find_algorithm, run_training
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, read_info
from mbmrl_ros.bundles.files import bundle_kind, find_bundle
from mbmrl_ros.bundles.precision import planning_in
from mbmrl_ros.cli.argument_types import listed
from mbmrl_ros.cli.evaluate_policy import evaluate_policy_command
from mbmrl_ros.cli.next_steps import after_test, after_training
from mbmrl_ros.cli.progress import print_wide
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import check_robot, load_task
from mbmrl_ros.evaluation.episodes import (
    Trial,
    endings_summary,
    evaluate,
    fails_at,
    finite,
    idle_returns,
    losses_summary,
    returns_summary,
)
from mbmrl_ros.evaluation.predictions import prediction_losses
from mbmrl_ros.models.kinds import network_of
from mbmrl_ros.planners.kinds import PlannerConfig, changed
from mbmrl_ros.training.dynamics.settings import check_start
from mbmrl_ros.training.meta.remote import check_samplers
from mbmrl_ros.training.run import finished_iterations, write_text
from mbmrl_ros.types import Adapter


def train_command(options: argparse.Namespace) -> None:
    """Train an algorithm on a task, or go on with a run."""
    name = options.algorithm
    algorithm = find_algorithm(name)
    task = algorithm.load_task(options.task, options.robot or '')
    check_robot(task.name, task.robot, options.robot or '')
    config = algorithm.settings(task, options.config, tuple(options.set))
    check_start(config, options.start_from)
    if options.samplers:
        check_samplers(options.samplers, algorithm)
    torch.set_num_threads(options.threads)
    folder = options.out or Path('runs') / task.name / name / f'seed{options.seed}'
    if options.start_from:
        # Before the folder is claimed: a wrong name must not spoil it.
        there = finished_iterations(options.start_from)
        if not (options.start_from / 'bundle').exists():
            print(
                f'{options.start_from} was left after {there} iterations: its training can go on '
                'by the command that it was started with',
                file=sys.stderr,
            )
    plan = RunPlan(
        folder,
        options.seed,
        options.start_from,
        data=options.data,
        samplers=options.samplers,
    )
    run_training(algorithm, task, config, plan)
    for line in after_training(folder, options.robot):
        print(line)


def evaluate_command(options: argparse.Namespace) -> None:
    """Evaluate a bundle under the task's tests; print a table, write JSON."""
    if bundle_kind(find_bundle(options.bundle)) == 'policy':
        evaluate_policy_command(options)
        return
    if options.figure:
        raise UserError('--figure is of ensembles, in which a policy was searched; leave it out')
    torch.set_num_threads(options.threads)
    info = read_info(find_bundle(options.bundle))
    task = load_task(options.task or info.task, options.robot or '')
    check_robot(task.name, task.robot, options.robot or '')
    problem = open_task(task)
    tests = list(task.tests) if options.test == 'all' else listed(options.test)
    for test in tests:
        task.test(test)
    cpu = torch.device('cpu')
    bundle = load_bundle(options.bundle, problem.spec)
    adapter = make_adapter(bundle, options.adaptation, options.step_size)
    changes = {'candidates': options.candidates, 'horizon': options.horizon}
    changes = {name: value for name, value in changes.items() if value}
    planner = changed(bundle.info.planner, options.planner or '', changes)
    bundle, choice = planning_in(bundle, options.precision, cpu)
    if choice:
        print(f'mbmrl: {choice}', file=sys.stderr)
    head = {
        'bundle': str(options.bundle),
        'algorithm': info.algorithm,
        'adaptation': options.adaptation,
        'task': task.name,
        'seed': options.seed,
        'planner': {'kind': planner.kind, **planner.model_dump()},
        'precision': network_of(bundle.dynamics).precision,
    }
    results: dict[str, dict[str, Any]] = {}
    try:
        for test in tests:
            steps = options.steps or task.episode_steps
            trial = Trial(problem, test, options.episodes, steps, options.seed)
            results[test] = _evaluate_test(bundle, adapter, trial, planner)
            # After each one: what comes later may fail, or be left by Ctrl-C.
            if options.json:
                numbers = finite(head | {'tests': results})
                write_text(options.json, json.dumps(numbers, indent=2) + '\n')
    finally:
        if results:
            _print_results(results)


def _evaluate_test(
    bundle: Bundle, adapter: Adapter, trial: Trial, planner: PlannerConfig
) -> dict[str, Any]:
    steps = trial.steps
    with tqdm(total=steps, desc=trial.test, unit='step') as bar:
        outcome = evaluate(bundle, adapter, trial, planner, bar.update)
    losses = prediction_losses(bundle, adapter, outcome.trajectories)
    failure = trial.problem.task.failure_step(steps)
    with tqdm(total=steps, desc=f'{trial.test}, doing nothing', unit='step') as bar:
        idle = idle_returns(trial, bar.update)
    return {
        'steps': steps,
        'failure_step': failure if fails_at(trial, failure) else None,
        'returns_fallback': [round(float(value), 3) for value in idle],
        'mean_fallback': float(idle.mean()),
        'verdicts': after_test(outcome.rewards.sum(0), idle, losses),
        **returns_summary(outcome.rewards, failure),
        **endings_summary(outcome.trajectories, steps),
        **losses_summary(losses, failure),
        'adaptations_accepted': outcome.accepted,
        'adaptations_refused': outcome.refused,
    }


def _print_results(results: dict[str, dict[str, Any]]) -> None:
    """Print a table; what is in brackets is the spread over episodes of one model."""
    # What is whole or broken all the time has no failure that something could come after.
    failing = any(result['failure_step'] is not None for result in results.values())
    later = ['after failure (SD)'] if failing else []
    table = Table(
        Column('test', overflow='fold'), 'return (SD)', 'doing nothing', *later, 'ended early',
        'loss before', 'after', 'ratio', caption='SD: standard deviation over episodes',
    )  # fmt: skip
    for test, result in results.items():
        table.add_row(
            test,
            f'{result["mean"]:.0f} ({result["std_over_episodes"]:.0f})',
            *_known(result, mean_fallback=0),
            *(_after_failure(result) for _ in later),
            f'{result["ended_early"]} of {len(result["returns"])}',
            *_known(result, loss_before=4, loss_after=4, ratio=3),
        )
    print_wide(table)
    if any(math.isnan(result['loss_before']) for result in results.values()):
        print('no losses (-): no episode held the past_steps + future_steps of a window')
    for test, result in results.items():
        for line in result['verdicts']:
            print(f'{test}: {line}')


def _after_failure(result: dict[str, Any]) -> str:
    if result['failure_step'] is None:
        return '-'
    return f'{result["mean_after"]:.0f} ({result["std_over_episodes_after"]:.0f})'


def _known(result: dict[str, Any], **digits: int) -> list[str]:
    """Return numbers with so many digits; a dash where there is none."""
    return [
        '-' if math.isnan(result[key]) else f'{result[key]:.{count}f}'
        for key, count in digits.items()
    ]
