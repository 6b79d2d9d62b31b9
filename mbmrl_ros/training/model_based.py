# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The outer loop that model-based algorithms share: collect, refit, publish, again.

What an algorithm brings is an `Objective` and an adapter; see algorithms/grbal.py for how they
make Algorithm 9.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.data.dataset import Trajectory, all_transitions, split
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.models.bundle import Bundle, BundleInfo, load_bundle, save_bundle
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.fit import FitResult, fit
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.planners.mppi import MPPI
from mbmrl_ros.rewards.reward import Reward, build_reward
from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC
from mbmrl_ros.spec import RobotSpec, load_robot
from mbmrl_ros.training.collect import Act, Rollouts, collect, mpc_actions, random_actions
from mbmrl_ros.training.run import Run, optimiser_tensors, restore_optimiser
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.types import Adapter, Params


class Learned(NamedTuple):
    """What is trained: phi, and the logarithm of psi (positive by construction)."""

    params: Params
    log_step_sizes: Params

    @property
    def step_sizes(self) -> Params:
        """Psi."""
        return {name: value.exp() for name, value in self.log_step_sizes.items()}


class Objective(NamedTuple):
    """How an algorithm scores the model on data: a loss to descend and one to stop by."""

    batch_loss: Callable[[], Tensor]
    validation_loss: Callable[[], float]
    batches_per_epoch: int


MakeObjective = Callable[
    [MLPDynamics, Learned, list[Trajectory], list[Trajectory], TrainingConfig, torch.Generator],
    Objective,
]
"""(dynamics, learned, training data, held-out data, config, generator) -> objective."""

MakeAdapter = Callable[[Bundle], Adapter]
"""bundle -> how its parameters follow the last window."""


@dataclass(frozen=True)
class Algorithm:
    """A model-based algorithm, by what is particular to it."""

    name: str
    objective: MakeObjective
    adapter: MakeAdapter


def train(algorithm: Algorithm, task: Task, config: TrainingConfig, run: Run, seed: int) -> Bundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward)
    env = RobotEnv(spec, config.rollouts)
    learned, optimiser = _start(spec, config, seed)
    done, tensors, data = run.load()
    _restore(learned, optimiser, tensors)
    bundle = load_bundle(run.publish(done), spec) if done else None
    for iteration in range(done + 1, config.iterations + 1):
        started = time.monotonic()
        if run.has_data(iteration):
            data.append(run.load_data(iteration))
        else:
            generator = _stream(seed, iteration, 'collect')
            act = _policy(algorithm, bundle, config, spec, reward, generator)
            rollouts = _collect(env, reward, act, task, config, seed, iteration)
            run.save_data(iteration, rollouts.trajectories)
            data.append(rollouts.trajectories)
        collected = time.monotonic()
        generator = _stream(seed, iteration, 'fit')
        result = _fit(algorithm, spec, learned, optimiser, data, config, iteration, generator)
        metrics = _metrics(reward, data, config, result, learned)
        metrics |= {'collect_s': collected - started, 'fit_s': time.monotonic() - collected}
        bundle = _bundle(algorithm, task, config, spec, learned, data, metrics)
        save_bundle(run.publish(iteration), bundle)
        run.log(iteration, metrics)
        run.save_checkpoint(iteration, _checkpoint(learned, optimiser))
        tqdm.write(_line(iteration, config, metrics))
    if bundle is None:
        raise ValueError('a training needs at least one iteration')
    save_bundle(run.folder / 'bundle', bundle)
    return bundle


def make_mpc(
    bundle: Bundle,
    adapter: Adapter,
    planner: MPPI,
    reward: Reward,
    generator: torch.Generator,
    batch: int = 1,
) -> AdaptiveMPC:
    """Put Algorithm 10 together from a bundle: for training, evaluation and the robot."""
    return AdaptiveMPC(
        bundle.dynamics, adapter, planner, reward, generator, bundle.info.past_steps, batch
    )


def _start(
    spec: RobotSpec, config: TrainingConfig, seed: int
) -> tuple[Learned, torch.optim.Optimizer]:
    dynamics = build_dynamics(spec, config.hidden_sizes)
    params = dynamics.init(torch.Generator().manual_seed(seed))
    sizes = dict.fromkeys(params, config.step_size) | {'scale': config.scale_step_size}
    log_step_sizes = {name: torch.tensor(size).log() for name, size in sizes.items()}
    for value in (*params.values(), *log_step_sizes.values()):
        value.requires_grad_()
    groups = [
        {'params': list(params.values()), 'lr': config.learning_rate},
        {'params': list(log_step_sizes.values()), 'lr': config.step_size_learning_rate},
    ]
    return Learned(params, log_step_sizes), torch.optim.Adam(groups)


def _stream(seed: int, iteration: int, purpose: Literal['collect', 'fit']) -> torch.Generator:
    """Return a random stream of its own for every part of an iteration.

    So a training that was killed after it had collected fits as if it had not been killed.
    """
    sequence = np.random.SeedSequence((seed, iteration, purpose == 'fit'))
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


def _policy(
    algorithm: Algorithm,
    bundle: Bundle | None,
    config: TrainingConfig,
    spec: RobotSpec,
    reward: Reward,
    generator: torch.Generator,
) -> Act:
    if bundle is None:
        return random_actions(spec, generator)
    planner = MPPI(config.planner, spec.action_size)
    adapter = algorithm.adapter(bundle)
    return mpc_actions(make_mpc(bundle, adapter, planner, reward, generator, config.rollouts))


def _collect(
    env: RobotEnv,
    reward: Reward,
    act: Act,
    task: Task,
    config: TrainingConfig,
    seed: int,
    iteration: int,
) -> Rollouts:
    rng = np.random.default_rng((seed, iteration))
    steps = config.rollout_steps
    schedules = [task.training(rng, steps) for _ in range(config.rollouts)]
    with tqdm(total=steps, desc=f'iteration {iteration}: collect', unit='step') as bar:
        return collect(
            env,
            reward,
            act,
            schedules,
            task.disturbances,
            steps,
            config.past_steps,
            rng,
            on_step=bar.update,
        )


def _fit(
    algorithm: Algorithm,
    spec: RobotSpec,
    learned: Learned,
    optimiser: torch.optim.Optimizer,
    data: list[list[Trajectory]],
    config: TrainingConfig,
    iteration: int,
    generator: torch.Generator,
) -> FitResult:
    training, held_out = split_data(data, config)
    dynamics = build_dynamics(
        spec, config.hidden_sizes, Normalizer.fit(all_transitions(training)), config.precision
    )
    objective = algorithm.objective(dynamics, learned, training, held_out, config, generator)
    parameters = learned.params | {f'log_{k}': v for k, v in learned.log_step_sizes.items()}
    with tqdm(total=config.epochs, desc=f'iteration {iteration}: fit', unit='epoch') as bar:

        def on_epoch(epoch: int, training_loss: float, validation_loss: float) -> None:
            bar.update()
            bar.set_postfix(loss=f'{training_loss:.4f}', held_out=f'{validation_loss:.4f}')

        return fit(
            parameters,
            optimiser,
            objective.batch_loss,
            objective.validation_loss,
            config.epochs,
            objective.batches_per_epoch,
            config.persistency,
            config.patience,
            config.fit_precision,
            on_epoch,
        )


def split_data(
    data: list[list[Trajectory]], config: TrainingConfig
) -> tuple[list[Trajectory], list[Trajectory]]:
    """Hold whole trajectories out of every iteration."""
    halves = [split(trajectories, config.held_out) for trajectories in data]
    return [t for half in halves for t in half[0]], [t for half in halves for t in half[1]]


def _bundle(
    algorithm: Algorithm,
    task: Task,
    config: TrainingConfig,
    spec: RobotSpec,
    learned: Learned,
    data: list[list[Trajectory]],
    metrics: dict[str, float],
) -> Bundle:
    training, _ = split_data(data, config)
    dynamics = build_dynamics(
        spec, config.hidden_sizes, Normalizer.fit(all_transitions(training)), config.precision
    )
    info = BundleInfo(
        algorithm=algorithm.name,
        task=task.name,
        robot=spec.name,
        robot_hash=spec.hash,
        interface=json.loads(json.dumps(spec.interface)),
        hidden_sizes=config.hidden_sizes,
        past_steps=config.past_steps,
        future_steps=config.future_steps,
        inner_steps=config.inner_steps,
        precision=config.precision,
        planner=config.control_planner,
        training=config.model_dump(mode='json'),
        metrics=metrics,
    )
    fixed = {name: value.detach().clone() for name, value in learned.params.items()}
    steps = {name: value.detach().clone() for name, value in learned.step_sizes.items()}
    return Bundle(info, dynamics, fixed, steps)


def _metrics(
    reward: Reward,
    data: list[list[Trajectory]],
    config: TrainingConfig,
    result: FitResult,
    learned: Learned,
) -> dict[str, float]:
    newest = data[-1]
    returns = [float(reward(*trajectory.transitions()).sum()) for trajectory in newest]
    metrics = {
        'environment_steps': float(sum(t.steps for group in data for t in group)),
        'return_mean': float(np.mean(returns)),
        'return_std': float(np.std(returns)),
        'rollout_steps': float(config.rollout_steps),
        'training_loss': result.training[max(result.best_epoch - 1, 0)],
        'held_out_loss': result.validation[result.best_epoch],
        'epochs': float(len(result.training)),
    }
    return metrics | {
        f'step_size/{name}': float(value.detach()) for name, value in learned.step_sizes.items()
    }


def _checkpoint(learned: Learned, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f'params/{name}': value for name, value in learned.params.items()}
    tensors |= {f'log_step_sizes/{name}': v for name, v in learned.log_step_sizes.items()}
    return tensors | optimiser_tensors(optimiser)


def _restore(
    learned: Learned, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    if not tensors:
        return
    with torch.no_grad():
        for group, values in (('params', learned.params), ('log_step_sizes', learned[1])):
            for name, value in values.items():
                value.copy_(tensors[f'{group}/{name}'])
    restore_optimiser(optimiser, tensors)


def _line(iteration: int, config: TrainingConfig, metrics: dict[str, float]) -> str:
    return (
        f'iteration {iteration}/{config.iterations}: return {metrics["return_mean"]:.0f} '
        f'+- {metrics["return_std"]:.0f}, held-out loss {metrics["held_out_loss"]:.4f}, '
        f'{metrics["environment_steps"]:.0f} steps, collect {metrics["collect_s"]:.0f} s, '
        f'fit {metrics["fit_s"]:.0f} s'
    )
