# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model-based policy search in a run folder: collect, fit, improve, publish, again.

What is collected is saved before it counts, and a checkpoint holds models and policy after every
iteration, so that a training that was killed goes on bit for bit. A run folder that holds data of
an iteration 0 begins with these: recordings, which its own steps come on top of.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.bundles.policy import PolicyBundle, PolicyInfo, load_policy, save_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.replay import replay
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.networks.params import group
from mbmrl_ros.training.policy_run import check_finite, policy_info
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.recorded_env import mean_actions
from mbmrl_ros.training.search.stages import (
    Data,
    Models,
    Search,
    Stages,
)
from mbmrl_ros.types import Metrics, Params

# What to do where a policy is not finite.
SMALLER_STEPS = 'choose smaller steps of the policy'


def train_search(
    name: str, stages: Stages, task: MetaTask, config: Any, run: Run, seed: int
) -> PolicyBundle:
    """Search, or go on with what the run folder holds; return the last bundle.

    name: of the algorithm. UserError for a task with goals, which models would not be told of.
    """
    check_task(task)
    search = Search(task, config, seed)
    with contextlib.closing(search.env):
        return _search(stages, search, run, search_info(name, stages, search))


def check_task(task: MetaTask) -> None:
    """UserError for a task with goals, which models would not be told of."""
    if task.goals.names:
        raise UserError(
            f'{task.name} has goals, which this algorithm does not adapt to; choose a task '
            'without goals (docs/policy_tasks.md), or a meta-learner'
        )


def search_info(name: str, stages: Stages, search: Search[Any]) -> PolicyInfo:
    """Return what bundles of a search say of themselves. name: of the algorithm."""
    return policy_info(name, search.task, search.env, search.config, **stages.network(search))


def _search(stages: Stages, search: Search[Any], run: Run, info: PolicyInfo) -> PolicyBundle:
    done, policy, models, data = _resume(stages, search, run)
    bundle = load_policy(run.publish(done)) if done else None
    if data and not done:
        policy, models = _learn_from_recordings(stages, search, (policy, models), data)
    for iteration in range(done + 1, search.config.iterations + 1):
        started = [time.perf_counter()]
        if not run.has_data(iteration):
            acts_by = policy if data else None
            generator = search.generator(iteration, 'collect')
            run.save_data(iteration, stages.collect(search, acts_by, generator))
        data.append(run.load_data(iteration))
        started.append(time.perf_counter())
        models, fitted = stages.fit(search, models, data, search.generator(iteration, 'fit'))
        started.append(time.perf_counter())
        generator = search.generator(iteration, 'improve')
        policy, improved = stages.improve(search, policy, models, generator)
        check_finite(policy, iteration, SMALLER_STEPS)
        started.append(time.perf_counter())
        acts = stages.acting(search, {k: v for k, v in policy.items() if k.startswith('params/')})
        metrics = measure(search, acts, data, iteration) | fitted | improved
        metrics |= {
            f'{stage}_s': after - before
            for stage, before, after in zip(('collect', 'fit', 'improve'), started, started[1:])
        }
        bundle = search_bundle(info, search, policy, metrics, iteration)
        save_policy(run.publish(iteration), bundle)
        run.log(iteration, metrics, step=int(metrics['environment_steps']))
        run.save_checkpoint(iteration, _checkpoint(policy, models))
        tqdm.write(_line(iteration, search.config.iterations, metrics))
    if bundle is None:
        raise ValueError('a training needs at least one iteration')
    save_policy(run.folder / 'bundle', bundle)
    return bundle


def _checkpoint(policy: Params, models: Models) -> Params:
    tensors = {f'policy/{name}': value for name, value in policy.items()}
    return tensors | {f'models/{name}': value for name, value in models.tensors().items()}


def _resume(
    stages: Stages, search: Search[Any], run: Run
) -> tuple[int, Params, Models, list[list[Trajectory]]]:
    done, tensors, data = run.load()
    data = [*([run.load_data(0)] if run.has_data(0) else []), *data]
    if not done:
        return 0, stages.begin(search), search.begin_models(), data
    models = Models.from_tensors(group(tensors, 'models'))
    buffer = replay(data, search.config.buffer_size)
    return done, group(tensors, 'policy'), models._replace(replay=buffer), data


def _learn_from_recordings(
    stages: Stages, search: Search[Any], begun: tuple[Params, Models], data: Data
) -> tuple[Params, Models]:
    """Fit and improve once, before anything is collected: iteration 0, which is not resumed."""
    policy, models = begun
    models, fitted = stages.fit(search, models, data, search.generator(0, 'fit'))
    policy, _ = stages.improve(search, policy, models, search.generator(0, 'improve'))
    check_finite(policy, 0, SMALLER_STEPS)
    tqdm.write(f'recordings: {_steps(data):.0f} steps, error {fitted["validation_error"]:.4f}')
    return policy, models


def measure(search: Search[Any], act: Act, data: Data, iteration: int) -> Metrics:
    """Return what real rollouts earned: those of the data, and of what was learned from them.

    return_policy: of the mean actions of the policy before any adaptation, in rollouts that are
    not learned from and not counted. environment_steps: of the environment of this training;
    recorded_steps: of what it began with, where there is something.
    """
    shown = search.env.roll_out(mean_actions(act), search.generator(iteration, 'evaluate'))
    returns = returns_of(search.task, data[-1])
    return {
        'environment_steps': _steps(data[-iteration:]),
        'return_mean': float(returns.mean()),
        'return_std': float(returns.std(correction=0)),
        'return_policy': float(returns_of(search.task, shown).mean()),
        'ended_early': float(sum(each.steps < search.env.horizon for each in data[-1])),
        **({'recorded_steps': _steps(data[:1])} if len(data) > iteration else {}),
    }


def _steps(data: Data) -> float:
    return float(sum(trajectory.steps for each in data for trajectory in each))


def returns_of(task: MetaTask, trajectories: list[Trajectory]) -> Tensor:
    """Return the return [n] of each trajectory by the task's own reward."""
    return torch.tensor([_return(task, trajectory) for trajectory in trajectories])


def _return(task: MetaTask, trajectory: Trajectory) -> float:
    states, actions, following = (tensor.double() for tensor in trajectory.transitions())
    return float(task.reward(states, actions, following, states.new_zeros(len(states), 0)).sum())


def search_bundle(
    info: PolicyInfo, search: Search[Any], policy: Params, metrics: Metrics, iteration: int
) -> PolicyBundle:
    """Return a policy as a bundle, before any adaptation."""
    params = {f'params/{k}': v.detach().clone() for k, v in group(policy, 'params').items()}
    known = {name: value for name, value in metrics.items() if value == value}
    info = info.model_copy(update={'iteration': iteration, 'metrics': known})
    return PolicyBundle(info, params | search.env.normalizers())


def _line(iteration: int, last: int, metrics: Metrics) -> str:
    return (
        f'iteration {iteration}/{last}: return {metrics["return_mean"]:.1f} when collected, '
        f'{metrics["return_policy"]:.1f} by means after, imagined '
        f'{metrics.get("imagined_return", float("nan")):.1f}, '
        f'{metrics["environment_steps"]:.0f} steps, error {metrics["validation_error"]:.4f}, '
        f'collect {metrics["collect_s"]:.1f} s, fit {metrics["fit_s"]:.1f} s, '
        f'improve {metrics["improve_s"]:.1f} s'
    )
