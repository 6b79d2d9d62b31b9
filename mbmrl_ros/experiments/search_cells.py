# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What studies of policy search in models do: train by `mbmrl train`'s functions, and measure."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.algorithms import SEARCH_STAGES
from mbmrl_ros.algorithms.mb_mpo import MBMPOConfig
from mbmrl_ros.bundles.policy import PolicyBundle, build_policy, load_policy
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.experiments import policy_cells
from mbmrl_ros.experiments.double_integrator import SOURCES, gradient_errors
from mbmrl_ros.experiments.plasticity import plasticity_maps
from mbmrl_ros.experiments.policy_cells import read_training, shortened
from mbmrl_ros.experiments.study_work import PolicyTraining, StudyCell
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.policies.squashed import mode
from mbmrl_ros.reports.run import read_metrics
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.run import Run, read_checkpoint
from mbmrl_ros.training.search.loop import returns_of, train_search
from mbmrl_ros.training.search.recorded_env import RecordedEnv, mean_actions
from mbmrl_ros.training.search.stages import Improved, Models, Search, Stages
from mbmrl_ros.types import Array, Params


@dataclass(frozen=True)
class SearchTraining(PolicyTraining):
    """A run folder of an arm. bias: of the models that it is improved in, see `biased`."""

    bias: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on."""
        return super().settings | {'bias': self.bias}


def train(work: SearchTraining, out: Path) -> dict[str, Any]:
    """Train, or go on with what the run folder holds."""
    if not work.bias:
        return policy_cells.train(work, out)
    run = Run(out / work.folder, work.config, work.identity)
    stages = SEARCH_STAGES[work.algorithm]
    stages = stages._replace(improve=partial(_improve_biased, stages, work.bias))
    train_search(work.algorithm, stages, work.open_task(), work.config, run, work.seed)
    return {'environment_steps': int(read_metrics(run.folder)['environment_steps'][-1])}


def _improve_biased(
    stages: Stages,
    bias: float,
    search: Search[Any],
    policy: Params,
    models: Models,
    generator: torch.Generator,
) -> Improved:
    return stages.improve(search, policy, biased(search, models, bias, generator), generator)


def biased(search: Search[Any], models: Models, bias: float, generator: torch.Generator) -> Models:
    """Return models of which each adds to every channel what is drawn from 0 to `bias`.

    In standard deviations of what a step changes; drawn once, for a whole improvement (thesis,
    Fig. 10, whose bias is in the units of the channels and comes with noise).
    """
    last = f'bias{len(search.config.model_hidden_sizes)}'
    params = dict(models.state.params)
    size = search.env.system.state_size
    moved = params[last].clone()
    moved[:, :size] += bias * torch.rand(len(moved), size, generator=generator)
    return models._replace(state=replace(models.state, params=params | {last: moved}))


def tested_returns(training: PolicyTraining, out: Path, iterations: Array, episodes: int) -> Array:
    """Return the mean return of the mean actions of bundles, always from the same starts."""
    task, config = training.open_task(), training.config
    assert isinstance(config, SamplingConfig)
    horizon: int = config.model_dump()['horizon'] or task.horizon
    found = []
    with contextlib.closing(
        RecordedEnv(replace(task, horizon=horizon), episodes, 1, config)
    ) as env:
        for iteration in iterations:
            bundle = load_policy(out / training.folder / 'bundles' / f'{iteration:04.0f}')
            generator = torch.Generator().manual_seed(policy_cells.TEST_SEED)
            trajectories = env.roll_out(_by_means(bundle), generator)
            found.append(float(returns_of(task, trajectories).mean()))
    return np.array(found)


def _by_means(bundle: PolicyBundle) -> Act:
    policy = build_policy(bundle.info)
    assert not isinstance(policy, RecurrentPolicy)

    def act(observations: Tensor) -> Distribution:
        drawn = policy.distribution(bundle.params, observations)
        return drawn | ({'mean': mode(drawn)} if bundle.info.squashed else {})

    return mean_actions(act)


def curve(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return a learning curve of mean actions, and what models said of it where there are some.

    at_budget: the return when as many steps were made as all arms get. end, imagined_end: means of
    the last tenth.
    """
    metrics = read_training(cell, out)
    assert cell.training is not None
    episodes = cell.options['episodes']
    returned = tested_returns(cell.training, out, metrics['iteration'], episodes)
    steps = metrics['environment_steps']
    last = max(1, len(steps) // 10)
    within = steps <= cell.options['steps']
    result = {
        'steps': shortened(steps),
        'returned': shortened(returned),
        'end': float(returned[-last:].mean()),
        'at_budget': float(returned[within][-1]) if within.any() else None,
        'minutes': float(sum(metrics[key].sum() for key in metrics if key in SECONDS)) / 60,
    }
    if 'imagined_return' in metrics:
        imagined = metrics['imagined_return']
        result |= {'imagined': shortened(imagined), 'imagined_end': float(imagined[-last:].mean())}
    return result


# Of an iteration; of a model-free one in one piece.
SECONDS = ('collect_s', 'fit_s', 'improve_s', 'iteration_s')


def seconds(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return the median seconds of an iteration and its parts, the first one left out."""
    metrics = read_training(cell, out)
    found = {name: float(np.median(metrics[name][1:])) for name in SECONDS[:3]}
    steps = np.diff(metrics['environment_steps'])
    return found | {'steps': float(np.median(steps)), 'total_s': sum(found.values())}


def gradient_error(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return how far the gradient of MAAC's actor is from the analytic one."""
    return gradient_errors(SOURCES[cell.arm], cell.options, cell.seed)


def plasticity(cell: StudyCell, out: Path) -> dict[str, Any]:
    """Return maps of where models differ and where policies adapt (experiments/plasticity.py)."""
    training = cell.training
    assert training is not None and isinstance(training.config, MBMPOConfig)
    search = Search(training.open_task(), training.config, cell.seed)
    with contextlib.closing(search.env):
        _, tensors = read_checkpoint(out / training.folder)
        found = plasticity_maps(search, tensors, cell.options)
    return {name: shortened(values) for name, values in found.maps.items()} | found.correlations
