# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a cell of a grid does: train, or measure, with the functions of `mbmrl train|evaluate`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.evaluation.episodes import (
    Evaluation,
    Trial,
    endings_summary,
    evaluate,
    losses_summary,
    returns_summary,
    run_episodes,
)
from mbmrl_ros.evaluation.predictions import prediction_losses
from mbmrl_ros.experiments.distributions import with_distribution
from mbmrl_ros.experiments.jobs import MODEL_FREE, TRPO, TRUE_PHYSICS, Measurement, Training
from mbmrl_ros.experiments.recovery import recoveries
from mbmrl_ros.experiments.statistics import error_summary, switch_step
from mbmrl_ros.experiments.studies import METHODS
from mbmrl_ros.experiments.true_physics import drive_by_physics
from mbmrl_ros.planners.cem import CEMConfig
from mbmrl_ros.planners.kinds import CONFIGS, PlannerConfig, changed
from mbmrl_ros.planners.mppi import of_before
from mbmrl_ros.reports.run import read_metrics
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.collect import Rollouts
from mbmrl_ros.training.run import Run

# Of the moments from which the state T2 steps ahead is predicted.
AHEAD_STRIDE = 5


def perform(work: Training | Measurement, out: Path) -> dict[str, Any]:
    """Do what has to be done; return its numbers. UserError as the commands have."""
    return _train(work, out) if isinstance(work, Training) else _measure(work, out)


def _train(work: Training, out: Path) -> dict[str, Any]:
    if work.algorithm == TRUE_PHYSICS:
        return {'environment_steps': 0, 'simulated_hours': 0.0, 'own_hours': 0.0, 'curve': {}}
    task = with_distribution(load_task(work.task), work.distribution)
    identity = {'algorithm': work.algorithm, 'task': work.task, 'seed': work.seed}
    if work.distribution:
        identity['distribution'] = work.distribution
    if work.source:
        identity['start_from'] = str(work.source.folder)
    folder, config = out / work.folder, work.config
    run = Run(folder, config, identity)
    if work.source:
        run.adopt(out / work.source.folder, work.with_data, config.iterations)
    if work.algorithm in MODEL_FREE:
        from mbmrl_ros.experiments.trpo import train_trpo

        train_trpo(task, config, run, work.seed, work.algorithm == TRPO)
    else:
        ALGORITHMS[work.algorithm].train(task, config, run, work.seed)
    metrics = read_metrics(folder)
    steps = metrics['environment_steps']
    return {
        'environment_steps': int(steps[-1]),
        'simulated_hours': float(steps[-1]) * load_robot(task.robot).period_s / 3600,
        'own_hours': float(np.sum(metrics['collect_s'] + metrics['fit_s'])) / 3600,
        'curve': {
            key: [float(f'{value:.5g}') for value in metrics[key]]
            for key in ('environment_steps', 'return_mean', 'return_std', 'validation_loss')
            if key in metrics
        },
    }


def _measure(work: Measurement, out: Path) -> dict[str, Any]:
    started = time.monotonic()
    task = load_task(work.training.task)
    result = {'steps': work.steps, 'failure_step': task.failure_step(work.steps)}
    if work.training.algorithm in MODEL_FREE:
        result |= _drive_by_policy(work, task, out)
    elif work.training.algorithm == TRUE_PHYSICS:
        result |= _drive_by_physics(work, task)
    else:
        result |= _drive_by_model(work, task, out)
    return result | {'seconds': round(time.monotonic() - started, 1)}


def _drive_by_policy(work: Measurement, task: Task, out: Path) -> dict[str, Any]:
    from mbmrl_ros.experiments.trpo import load_policy

    config = work.training.config
    tuned = work.training.algorithm == TRPO
    act = load_policy(out / work.training.folder, task, config, work.iteration, tuned)
    rollouts = run_episodes(_trial(work, task), act)
    return {
        'environment_steps': (work.iteration or config.iterations)
        * config.rollouts
        * config.rollout_steps,
        **_episodes(work, task, rollouts),
    }


def _drive_by_physics(work: Measurement, task: Task) -> dict[str, Any]:
    planner = planner_of(work, work.training.config.control_planner)
    driven = drive_by_physics(_trial(work, task), planner)
    return {
        'environment_steps': 0,
        'planner': {'kind': planner.kind, **planner.model_dump()},
        **_episodes(work, task, driven),
    }


def _trial(work: Measurement, task: Task) -> Trial:
    return Trial(open_task(task), work.test, work.episodes, work.steps, work.test_seed)


def _episodes(work: Measurement, task: Task, driven: Rollouts | Evaluation) -> dict[str, Any]:
    """Return what is reported of the episodes themselves."""
    return {
        **returns_summary(driven.rewards, task.failure_step(work.steps)),
        **endings_summary(driven.trajectories, work.steps),
    }


def _drive_by_model(work: Measurement, task: Task, out: Path) -> dict[str, Any]:
    bundle = _bundle(work, task, out)
    windows = bundle.info.past_steps, bundle.info.future_steps
    if work.steps < max(work.scored_from, windows[0]) + windows[1]:
        raise UserError(f'{work.steps} steps hold no moment from {work.scored_from} on to score')
    adapter = make_adapter(bundle, METHODS[work.method].adaptation)
    planner = planner_of(work, bundle.info.planner)
    outcome = evaluate(bundle, adapter, _trial(work, task), planner)
    losses = prediction_losses(bundle, adapter, outcome.trajectories, 1, AHEAD_STRIDE)
    losses = losses.since(work.scored_from)
    failure = task.failure_step(work.steps)
    schedule = task.test(work.test)(work.steps)
    fault = switch_step(schedule)
    # Where nothing ever happens, a fault is pretended: what is said of it is what chance does.
    moment = fault if schedule else failure
    return {
        'environment_steps': int(bundle.info.metrics['environment_steps']),
        'past_steps': bundle.info.past_steps,
        'future_steps': bundle.info.future_steps,
        'planner': {'kind': planner.kind, **planner.model_dump()},
        'precision': bundle.info.precision,
        **_episodes(work, task, outcome),
        **losses_summary(losses, failure),
        'fault_step': fault,
        'errors': error_summary(losses),
        'recovery': None if moment is None else recoveries(losses, moment, *windows),
        'adaptations_accepted': outcome.accepted,
        'adaptations_refused': outcome.refused,
        'adapt_ms': 1000 * float(np.median(outcome.adapt_s)),
        'plan_ms': 1000 * float(np.median(outcome.plan_s)),
    }


def _bundle(work: Measurement, task: Task, out: Path) -> Bundle:
    """Return the bundle, changed as the figure's variant wants it at test time."""
    folder = out / work.training.folder
    last = work.iteration is None
    place = folder / 'bundle' if last else folder / 'bundles' / f'{work.iteration:04d}'
    bundle = load_bundle(place, load_robot(task.robot))
    return replace(bundle, info=bundle.info.model_copy(update=dict(work.variant.at_test)))


def planner_of(work: Measurement, trained: PlannerConfig) -> PlannerConfig:
    """Return the planner of a measurement: another kind has as many evaluations per tick."""
    base = trained
    if work.candidates:
        base = changed(trained, '', {'candidates': work.candidates})
    kind, changes = work.variant.kind or base.kind, dict(work.planner)
    if kind == 'mppi' and ('noise' in changes or kind != base.kind):
        # Methods and variants are stated in the noise that they were measured with.
        changes = of_before(changes)
    if kind == base.kind:
        return changed(base, '', changes)
    iterations = CEMConfig().iterations if kind == 'cem' else 1
    candidates = base.candidates * (base.iterations if isinstance(base, CEMConfig) else 1)
    equal = {'candidates': max(2, candidates // iterations), 'horizon': base.horizon}
    if kind == 'cem':
        equal['elites'] = max(2, equal['candidates'] // 10)
    return changed(CONFIGS[kind](), kind, equal | changes)
