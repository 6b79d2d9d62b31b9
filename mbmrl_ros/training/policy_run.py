# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The outer loop of policy search in a run folder: improve, publish, log, again.

A run that was killed goes on after its last whole iteration, bit for bit: every iteration draws
from a random stream of its own, and a checkpoint holds all that lasts from one to the next.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.bundles.files import robot_section
from mbmrl_ros.bundles.policy import PolicyBundle, PolicyInfo, load_policy, save_policy
from mbmrl_ros.config import Config, Positive, UserError, Width
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.run import Run, optimiser_tensors, restore_optimiser
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Metrics, Params

Improve = Callable[[torch.Generator], Metrics]
"""generator -> what one iteration measured; it changes the learner."""


class PolicyConfig(Config):
    """The network of the policy."""

    hidden_sizes: tuple[Width, ...] = Field((64, 64), description='tanh layers (Table 1)')
    init_std: Positive = Field(1.0, description='standard deviation at the start (the code)')
    min_std: Positive = Field(1e-6, description='floor of the standard deviation (the code)')


class Learner(Protocol):
    """What a training changes, with its optimiser."""

    trained: Params
    optimiser: torch.optim.Optimizer
    memory: Params


def train_policy(
    run: Run, env: TimedEnv, learner: Learner, improve: Improve, info: PolicyInfo, seed: int
) -> PolicyBundle:
    """Improve for the iterations of info.training, or go on with what the run folder holds.

    info: what the bundle says of itself; metrics and the iteration are added to it.
    """
    last = int(info.training['iterations'])
    done, tensors = run.load_checkpoint()
    restore(learner, tensors)
    env.set_normalizers(learner.memory)
    bundle = load_policy(run.publish(done)) if done else None
    with contextlib.closing(env):
        for iteration in range(done + 1, last + 1):
            started = time.perf_counter()
            metrics = improve(iteration_generator(seed, iteration))
            check_finite(learner.trained, iteration, 'lower alpha or learning_rate')
            learner.memory |= env.normalizers()
            metrics = _in_order(metrics, iteration, time.perf_counter() - started)
            bundle = _bundle(info, learner, env, iteration, metrics)
            save_policy(run.publish(iteration), bundle)
            run.log(iteration, metrics, step=int(metrics['environment_steps']))
            run.save_checkpoint(iteration, checkpoint(learner))
            tqdm.write(_line(iteration, last, metrics))
    if bundle is None:
        raise ValueError('a training needs at least one iteration')
    save_policy(run.folder / 'bundle', bundle)
    return bundle


def _in_order(measured: Metrics, iteration: int, spent: float) -> Metrics:
    """Return a row of metrics.csv: steps first, seconds last."""
    rest = {name: value for name, value in measured.items() if name != 'steps'}
    update_s = spent - rest['physics_s'] - rest['policy_s']
    seconds = {'update_s': update_s, 'iteration_s': spent}
    return {'environment_steps': measured['steps'] * iteration} | rest | seconds


def _bundle(
    info: PolicyInfo, learner: Learner, env: TimedEnv, iteration: int, metrics: Metrics
) -> PolicyBundle:
    known = {name: value.detach().clone() for name, value in learner.trained.items()}
    update = {'iteration': iteration, 'metrics': metrics}
    return PolicyBundle(info.model_copy(update=update), known | env.normalizers())


def iteration_generator(seed: int, iteration: int) -> torch.Generator:
    """Return the random stream of one iteration."""
    sequence = np.random.SeedSequence((seed, iteration))
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


def checkpoint(learner: Learner) -> dict[str, Tensor]:
    """Return all tensors that a training needs to go on."""
    memory = {f'memory/{name}': value for name, value in learner.memory.items()}
    trained = {f'trained/{name}': value for name, value in learner.trained.items()}
    return trained | memory | optimiser_tensors(learner.optimiser)


def restore(learner: Learner, tensors: dict[str, Tensor]) -> None:
    """Put back what `checkpoint` returned; nothing where there is nothing."""
    with torch.no_grad():
        for name, value in learner.trained.items():
            value.copy_(tensors.get(f'trained/{name}', value))
    for name, value in tensors.items():
        if name.startswith('memory/'):
            learner.memory[name.removeprefix('memory/')] = value
    restore_optimiser(learner.optimiser, tensors)


def check_finite(tensors: Params, iteration: int, remedy: str) -> None:
    """UserError if an iteration made something infinite or NaN. remedy: what to do then."""
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise UserError(
                f'iteration {iteration} made {name.partition("/")[2]} infinite or NaN; the run '
                f'keeps iteration {iteration - 1}: {remedy} in a new run'
            )


def _line(iteration: int, last: int, metrics: Metrics) -> str:
    return (
        f'iteration {iteration}/{last}: return {metrics["return_before"]:.1f} before, '
        f'{metrics["return_after"]:.1f} after, std {metrics["std"]:.2f}, '
        f'{metrics["environment_steps"]:.3g} steps, {metrics["iteration_s"]:.1f} s'
    )


def policy_info(
    algorithm: str, task: MetaTask, env: TimedEnv, config: SamplingConfig, **network: Any
) -> PolicyInfo:
    """Return what a bundle says of itself; network: the fields that build the policy."""
    robot: dict[str, Any] = {'robot': '', 'robot_hash': '', 'interface': {}}
    if task.robot:
        robot = robot_section(load_robot(task.robot))
    return PolicyInfo(
        algorithm=algorithm,
        task=task.name,
        training=config.model_dump(mode='json'),
        metrics={},
        action_size=env.action_size,
        action_scale=config.action_scale or task.action_scale,
        whole_state=config.whole_state,
        **robot,
        **network,
    )
