# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `evaluate` does with a policy for one task: its return, and the errors of its models."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.table import Table
from torch import Tensor

from mbmrl_ros.algorithms import ALGORITHMS, SEARCH_STAGES
from mbmrl_ros.algorithms.model_free import BASELINES
from mbmrl_ros.bundles.actor import make_actor
from mbmrl_ros.bundles.files import find_bundle
from mbmrl_ros.bundles.policy import PolicyBundle, build_policy
from mbmrl_ros.cli.argument_types import listed
from mbmrl_ros.cli.progress import print_wide
from mbmrl_ros.config import UserError, known_settings, parse
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.evaluation.model_errors import HorizonErrors, horizon_errors, trained_models
from mbmrl_ros.evaluation.planned import Searched, planned
from mbmrl_ros.networks.params import group
from mbmrl_ros.planners.kinds import PlannerConfig, changed, make_planner
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.policies.squashed import mode
from mbmrl_ros.reports.model_errors import errors_figure
from mbmrl_ros.reports.page import png
from mbmrl_ros.system.outputs import as_json, replacing, write_text
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.search.loop import check_task, returns_of
from mbmrl_ros.training.search.recorded_env import RecordedEnv, mean_actions
from mbmrl_ros.training.search.stages import Models, Search
from mbmrl_ros.training.trained import run_of


def evaluate_search(bundle: PolicyBundle, task: MetaTask, options: argparse.Namespace) -> None:
    """Roll out by the means of the policy, or by plans, in each test of the task; print returns.

    And errors, where a run has models.
    """
    check_task(task)
    tests = _tests(task, options)
    results = {test: _measure(bundle, task, test, options) for test in tests}
    if options.json:
        head = {
            'bundle': str(options.bundle),
            'algorithm': bundle.info.algorithm,
            'task': task.name,
            'seed': options.seed,
            'planner': planner_of(options).model_dump() if options.planner else None,
        }
        found = results.get('', {'tests': results})
        write_text(options.json, as_json(finite(head | found)))


def _tests(task: MetaTask, options: argparse.Namespace) -> list[str]:
    """Return the names of the tests that are asked for; an empty one where a task has none."""
    tests: list[str] = list(task.tests) or ['']
    if options.test != 'all':
        tests = listed(options.test)
    if options.figure and len(tests) > 1:
        raise UserError(f'--figure draws one test; choose by --test: {", ".join(tests)}')
    return tests


class _Trial(NamedTuple):
    """What is rolled out. errors: of the models on trajectories; None: there are none."""

    env: RecordedEnv
    act: Act
    generator: torch.Generator
    errors: Callable[[list[Trajectory]], HorizonErrors] | None


def _measure(
    bundle: PolicyBundle, task: MetaTask, test: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Roll out in one test, and print what came of it."""
    if test:
        steps = options.steps or bundle.info.training.get('horizon')
        task = load_meta_task(task.name, options.robot or '', test, steps)
    prepare = _baseline_trial if bundle.info.algorithm in BASELINES else _search_trial
    env, act, generator, errors_of = prepare(bundle, task, options)
    with contextlib.closing(env):
        trajectories = env.roll_out(act, generator)
    returns = returns_of(task, trajectories)
    result: dict[str, Any] = {
        'return_mean': float(returns.mean()),
        'return_std': float(returns.std(correction=0)),
        'returns': returns.tolist(),
        'ended_early': sum(each.steps < env.horizon for each in trajectories),
    }
    print(
        f'{f"{task.name}, {test}" if test else task.name}: return {returns.mean():.1f} (standard '
        f'deviation over {len(returns)} episodes {returns.std(correction=0):.1f}), '
        f'{result["ended_early"]} ended early'
    )
    if errors_of is not None:
        errors = errors_of(trajectories)
        result |= errors.summary()
        _print_errors(errors)
        if options.figure:
            with replacing(options.figure) as path:
                path.write_bytes(png(errors_figure(errors)))
    return result


def _baseline_trial(bundle: PolicyBundle, task: MetaTask, options: argparse.Namespace) -> _Trial:
    if options.figure:
        raise UserError(f'--figure: {bundle.info.algorithm} has no models to draw the errors of')
    act = acting_by_mean(bundle, options)
    generator = torch.Generator().manual_seed(options.seed)
    return _Trial(baseline_env(bundle, task, options), act, generator, None)


def _search_trial(bundle: PolicyBundle, task: MetaTask, options: argparse.Namespace) -> _Trial:
    search = make_search(bundle, task, options)
    run = find_bundle(options.bundle).parent
    models = trained_models(run)
    if options.figure and models is None:
        raise UserError(f'{run} has no models to draw the errors of: no checkpoint is there')
    act = _acting(bundle, search, options)
    errors = None if models is None else partial(horizon_errors, search.ensemble(models))
    return _Trial(search.env, act, search.generator(0, 'evaluate'), errors)


def _acting(bundle: PolicyBundle, search: Search[Any], options: argparse.Namespace) -> Act:
    """Return what acts; UserError where plans are wanted and the run has nothing to plan in."""
    if not options.planner:
        return mean_actions(SEARCH_STAGES[bundle.info.algorithm].acting(search, bundle.tensors))
    planner = make_planner(planner_of(options), search.env.action_size)
    folder = find_bundle(options.bundle)
    checkpoint = run_of(folder, bundle.info)
    known = group(checkpoint, 'models')
    if not known:
        raise UserError(
            f'--planner needs the models of the run, and beside {folder} is no checkpoint of '
            f'iteration {bundle.info.iteration}; name the bundle of a whole run folder'
        )
    models = Models.from_tensors(known)
    critics = group(group(checkpoint, 'policy'), 'critic')
    actor = make_actor(bundle, critics, tuple(search.env.observed.tolist()))
    searched = Searched(search.ensemble(models), actor)
    return planned(searched, planner, search.env, search.generator(0, 'improve'))


def planner_of(options: argparse.Namespace) -> PlannerConfig:
    """Return the parameters of the planner that was asked for: its defaults, with changes."""
    changes = {'candidates': options.candidates, 'horizon': options.horizon}
    known = {name: value for name, value in changes.items() if value}
    return changed(MPPIConfig(), options.planner, known)


def make_search(bundle: PolicyBundle, task: MetaTask, options: argparse.Namespace) -> Search[Any]:
    """Return the search that a bundle is of, with as many rollouts as are asked for."""
    asked: dict[str, Any] = {'real_rollouts': options.episodes}
    if options.steps:
        asked['horizon'] = options.steps
    record = ALGORITHMS[bundle.info.algorithm].Config
    settings = known_settings(record, bundle.info.training) | asked
    config: Any = parse(record, settings, '--episodes, --steps')
    search = Search(task, config, options.seed)
    check_sizes(bundle, task, search.env)
    return search


def baseline_env(bundle: PolicyBundle, task: MetaTask, options: argparse.Namespace) -> RecordedEnv:
    """Return as many robots as episodes are asked for, as a baseline was trained with."""
    record = ALGORITHMS[bundle.info.algorithm].Config
    asked = {'horizon': options.steps} if options.steps else {}
    settings = known_settings(record, bundle.info.training) | asked
    config: Any = parse(record, settings, '--steps')
    task = replace(task, horizon=config.horizon or task.horizon)
    env = RecordedEnv(task, options.episodes, 1, config)
    check_sizes(bundle, task, env)
    return env


def acting_by_mean(bundle: PolicyBundle, options: argparse.Namespace) -> Act:
    """Return what acts by the mean of a baseline's policy; UserError where plans are wanted."""
    if options.planner:
        raise UserError(f'--planner plans in models, and {bundle.info.algorithm} has none')
    policy: Any = build_policy(bundle.info)

    def act(observations: Tensor) -> Distribution:
        drawn: Distribution = policy.distribution(bundle.params, observations)
        return drawn | {'mean': mode(drawn)} if bundle.info.squashed else drawn

    return mean_actions(act)


def check_sizes(bundle: PolicyBundle, task: MetaTask, env: RecordedEnv) -> None:
    """Raise UserError where a policy is of another robot."""
    sizes = env.observation_size, env.action_size
    if sizes != (bundle.info.observation_size, bundle.info.action_size):
        raise UserError(
            f'the policy is of {bundle.info.task}, with {bundle.info.observation_size} '
            f'observations and {bundle.info.action_size} actions; {task.name} has {sizes[0]} and '
            f'{sizes[1]}: choose a task of the same robot'
        )


def _print_errors(errors: HorizonErrors) -> None:
    """Print a row per horizon, in standard deviations of the states."""
    members = errors.errors.shape[1]
    table = Table('steps ahead', *(f'model {index + 1}' for index in range(members)),
                  'disagreement', title='errors in standard deviations')  # fmt: skip
    for steps, row, apart in zip(errors.horizons, errors.errors, errors.disagreement):
        table.add_row(str(steps), *(f'{value:.3f}' for value in row.tolist()), f'{apart:.3f}')
    print_wide(table)
