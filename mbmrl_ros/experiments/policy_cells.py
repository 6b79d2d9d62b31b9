# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What studies of meta policy search do: train by `mbmrl train`'s functions, and measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.algorithms import ALGORITHMS, INNER_STEPS
from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.config import parse
from mbmrl_ros.envs.point_tasks import CORNERS
from mbmrl_ros.evaluation.meta_policy import adaptation_curve, trial_curve
from mbmrl_ros.experiments import toy
from mbmrl_ros.experiments.study_work import PolicyTraining, StudyCell
from mbmrl_ros.objectives.surrogates import dice, log_likelihood, lvc
from mbmrl_ros.reports.run import Metrics, read_metrics
from mbmrl_ros.training.meta.learner import (
    Inner,
    MetaLearner,
    adapt,
    evaluate,
    sample_rounds,
)
from mbmrl_ros.training.meta.loop import make_env, restored_learner
from mbmrl_ros.training.meta.settings import BatchConfig, MetaPolicyConfig
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.samples import Rounds
from mbmrl_ros.types import Array

TEST_SEED = 100


def train(work: PolicyTraining, out: Path) -> dict[str, Any]:
    """Train, or go on with what the run folder holds."""
    folder = out / work.folder
    run = Run(folder, work.config, work.identity)
    ALGORITHMS[work.algorithm].train(work.open_task(), work.config, run, work.seed)
    metrics = read_metrics(folder)
    return {'environment_steps': int(metrics['environment_steps'][-1])}


Measure = Callable[[StudyCell, Path], dict[str, Any]]


def curve(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return a learning curve; area: the mean return after adaptation, over all steps."""
    metrics = read_training(cell, out)
    last = max(1, len(metrics['iteration']) // 10)
    keys = {'steps': 'environment_steps', 'before': 'return_before', 'after': 'return_after'}
    return {name: shortened(metrics[key]) for name, key in keys.items()} | {
        'area': float(metrics['return_after'].mean()),
        'end': float(metrics['return_after'][-last:].mean()),
        'end_before': float(metrics['return_before'][-last:].mean()),
        'minutes': float(metrics['iteration_s'].sum()) / 60,
    }


def wall_time(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return the median seconds of an iteration and its parts, the first one left out."""
    metrics = read_training(cell, out)
    names = ('physics_s', 'policy_s', 'update_s', 'iteration_s')
    return {name: float(np.median(metrics[name][1:])) for name in names}


def adaptation(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return returns after 0, 1, 2... inner steps on goals of training, and from outside."""
    training = cell.training
    assert training is not None and isinstance(training.config, BatchConfig)
    bundle = load_policy(out / training.folder / 'bundle')
    inner = INNER_STEPS.get(training.algorithm)
    changes = dict(cell.options['test'])
    result = {}
    for setting in ('training', 'held_out'):
        if inner is None:
            episodes = changes['inner_steps'] + 1
            config = training.config.model_copy(
                update={k: v for k, v in changes.items() if k != 'inner_steps'}
            )
            found = trial_curve(bundle, training.open_task(), config, episodes, setting, TEST_SEED)
        else:
            known = training.config.model_dump() | changes
            config = parse(type(training.config), known, cell.study)
            assert isinstance(config, MetaPolicyConfig)
            found = adaptation_curve(
                bundle, training.open_task(), config, inner, setting, TEST_SEED
            )
        result[setting] = shortened(found.returns.mean(1))
    return result


def exploration(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return paths before and after adaptation to each corner, and what they come to."""
    training = cell.training
    assert training is not None and isinstance(training.config, MetaPolicyConfig)
    corners = torch.tensor(CORNERS)
    config = training.config.model_copy(update={'tasks': len(corners)})
    learner, _ = _learner(cell, out, config)
    env = make_env(training.open_task(), config)
    generator = torch.Generator().manual_seed(TEST_SEED)
    rounds = sample_rounds(env, learner, corners, INNER_STEPS[training.algorithm], generator)
    before, after = (rounds.samples[at].observations for at in (0, -1))
    # A corner is told by its reward: within 2 of it, where it is the nearest.
    near = torch.linalg.vector_norm(before[:, :, :, None] - corners, dim=-1) < 1.0
    missed = torch.linalg.vector_norm(after[:, :, -1] - corners[:, None], dim=-1)
    return {
        'corners_visited': float(near.any(2).sum(2).double().mean()),
        'at_goal': float((missed < 0.5).double().mean()),
        'distance': float(missed.mean()),
        'return_before': float(rounds.returns[0].mean()),
        'return_after': float(rounds.returns[-1].mean()),
        'before': _paths(before),
        'after': _paths(after),
    }


def _paths(observations: Tensor) -> list[Any]:
    """Return five paths of each task, every fifth step, to a centimetre."""
    thinned = observations[:, :5, ::5].double()
    return [
        [[[round(x, 2) for x in at] for at in path] for path in task] for task in thinned.tolist()
    ]


def toy_gradients(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return meta-gradients of the 1-D toy beside the closed form, and where they lead.

    gradients: by rollouts of a task, the mean [2] of all batches, its standard error, and the
    relative standard deviation of one. path: theta over plain ascent.
    """
    estimator = toy.ESTIMATORS[cell.arm]
    options, begin = cell.options, torch.tensor(toy.BEGIN, dtype=torch.float64)
    generator = torch.Generator().manual_seed(cell.seed)
    exact = toy.exact_gradient(begin)
    gradients = {}
    for rollouts, batches in options['batches'].items():
        drawn = toy.meta_gradients(begin, estimator, batches, int(rollouts), generator)
        gradients[rollouts] = {
            'mean': shortened(drawn.mean(0)),
            'error': shortened(drawn.std(0) / batches**0.5),
            'relative_std': float(drawn.var(0).sum().sqrt() / exact.norm()),
        }
    theta, path, closed = begin, [begin], [begin]
    for _ in range(options['updates']):
        slope = toy.meta_gradients(theta, estimator, 1, options['rollouts'], generator)[0]
        theta = theta + options['step_size'] * slope
        path.append(theta)
        closed.append(closed[-1] + options['step_size'] * toy.exact_gradient(closed[-1]))
    return {
        'exact': shortened(exact),
        'gradients': gradients,
        'path': [shortened(at) for at in path[::5]],
        'closed_path': [shortened(at) for at in closed[::5]],
    }


def gradient_variance(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return how much meta-gradients at the same parameters vary, by estimator and iteration.

    Relative standard deviation: the root of the summed variances, over the norm of the mean.
    """
    training = cell.training
    assert training is not None and isinstance(training.config, MetaPolicyConfig)
    estimators = {'lvc': Inner(lvc), 'dice': Inner(dice, 'rewards'), 'maml': Inner(log_likelihood)}
    result: dict[str, Any] = {'iterations': cell.options['iterations']}
    for name in estimators:
        result[name] = []
    for iteration in cell.options['iterations']:
        learner, config = _learner(cell, out, training.config, iteration)
        env = make_env(training.open_task(), config)
        for name, inner in estimators.items():
            generator = torch.Generator().manual_seed(TEST_SEED)
            found = []
            for _ in range(cell.options['resamplings']):
                goals = env.sample_goals(generator, config.tasks)
                rounds = sample_rounds(env, learner, goals, inner, generator)
                found.append(meta_gradient(learner, rounds, inner))
            drawn = torch.stack(found).double()
            result[name].append(float(drawn.var(0).sum().sqrt() / drawn.mean(0).norm()))
    return result


def meta_gradient(learner: MetaLearner, rounds: Rounds, inner: Inner) -> Tensor:
    """Return the gradient [P] of the outer log-likelihood through the inner steps."""
    *before, after = rounds.samples
    adapted = adapt(learner, learner.trained, before, inner.surrogate)
    value = evaluate(learner, adapted.params, after, log_likelihood).mean()
    slopes = torch.autograd.grad(value, list(learner.trained.values()))
    return torch.cat([slope.flatten() for slope in slopes])


def _learner(
    cell: StudyCell, out: Path, config: MetaPolicyConfig, iteration: int | None = None
) -> tuple[MetaLearner, MetaPolicyConfig]:
    assert cell.training is not None
    folder = out / cell.training.folder
    place = folder / 'bundle' if iteration is None else folder / 'bundles' / f'{iteration:04d}'
    return restored_learner(load_policy(place), config), config


def read_training(cell: StudyCell, out: Path) -> Metrics:
    """Return the rows of a cell's training, as columns."""
    assert cell.training is not None
    return read_metrics(out / cell.training.folder)


def shortened(values: Array | Tensor) -> list[float]:
    """Return numbers to four digits, for a file."""
    return [float(f'{value:.4g}') for value in values.tolist()]
