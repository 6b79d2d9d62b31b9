# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The outer loop that model-based algorithms share: collect, refit, publish, again.

What an algorithm brings is an `Objective` (training/fit_model.py) and an adapter; see
algorithms/grbal.py for how they make Algorithm 9.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, save_bundle
from mbmrl_ros.data.dataset import Trajectory, all_transitions, split_all
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.models.fit import FitResult
from mbmrl_ros.models.kinds import DynamicsModel, build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import Cell
from mbmrl_ros.planners.kinds import make_planner
from mbmrl_ros.rewards.reward import Reward, build_reward
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.augment import make_augmentation
from mbmrl_ros.training.collect import ActFn, Rollouts, collect, mpc_actions, random_actions
from mbmrl_ros.training.fit_model import MakeObjective, fit_objective
from mbmrl_ros.training.publish import fit_metrics, make_bundle, return_metrics
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import TrainState, checkpoint, restore, start
from mbmrl_ros.types import Adapter

MakeAdapter = Callable[[Bundle], Adapter]
"""bundle -> how its parameters follow the last window."""


@dataclass(frozen=True)
class Algorithm:
    """A model-based algorithm, by what is particular to it.

    recurrent: whether its network has cells, and nothing but that to adapt by.
    """

    name: str
    objective: MakeObjective
    adapter: MakeAdapter
    recurrent: bool = False

    def cell(self, config: TrainingConfig) -> Cell | None:
        """Return the kind of cells of its network; None for a feed-forward one."""
        return config.recurrent.cell if self.recurrent else None


def train(algorithm: Algorithm, task: Task, config: TrainingConfig, run: Run, seed: int) -> Bundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward)
    env = RobotEnv(spec, config.rollouts)
    config = config.model_copy(update=run.precisions())
    learned, optimiser = start(spec, config, seed, algorithm.cell(config))
    done, tensors, data = run.load()
    if not config.fit_anew:
        restore(learned, optimiser, tensors)
    known = run.publish(done)
    bundle = load_bundle(known, spec) if done or known.exists() else None
    for iteration in range(done + 1, config.iterations + 1):
        started = time.monotonic()
        if run.has_data(iteration):
            data.append(run.load_data(iteration))
        else:
            generator = make_generator(seed, iteration, 'collect')
            act = _policy(algorithm, bundle, config, spec, reward, generator)
            rollouts = _collect(env, reward, act, task, config, seed, iteration)
            run.save_data(iteration, rollouts.trajectories)
            data.append(rollouts.trajectories)
        collected = time.monotonic()
        if config.fit_anew:
            learned, optimiser = start(spec, config, seed, algorithm.cell(config))
        generator = make_generator(seed, iteration, 'fit')
        dynamics, result = fit_to(
            algorithm, spec, data, config, learned, optimiser, generator, iteration
        )
        fitted = fit_metrics(data, result, learned)
        # In the order that rows of earlier versions have.
        metrics = {'environment_steps': fitted['environment_steps']}
        metrics |= return_metrics(reward, data, config) | fitted
        metrics |= {'collect_s': collected - started, 'fit_s': time.monotonic() - collected}
        bundle = make_bundle(algorithm.name, task.name, config, spec, dynamics, learned, metrics)
        save_bundle(run.publish(iteration), bundle)
        run.log(iteration, metrics)
        run.save_checkpoint(iteration, checkpoint(learned, optimiser))
        tqdm.write(_line(iteration, config, metrics))
    if bundle is None:
        raise ValueError('a training needs at least one iteration')
    save_bundle(run.folder / 'bundle', bundle)
    return bundle


def make_generator(
    seed: int, iteration: int, purpose: Literal['collect', 'fit']
) -> torch.Generator:
    """Return a random stream of its own for every part of an iteration.

    So a training that was killed after it had collected fits as if it had not been killed.
    """
    sequence = np.random.SeedSequence((seed, iteration, purpose == 'fit'))
    return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


def fit_to(
    algorithm: Algorithm,
    spec: RobotSpec,
    data: list[list[Trajectory]],
    config: TrainingConfig,
    learned: TrainState,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    iteration: int,
) -> tuple[DynamicsModel, FitResult]:
    """Refit statistics and parameters to groups of trajectories; the parameters in place."""
    training, held_out = split_all(data, config.held_out)
    statistics = Normalizer.fit(all_transitions(training))
    dynamics = build_model(
        spec,
        config.hidden_sizes,
        algorithm.cell(config),
        statistics,
        choose_precision(config.precision, torch.device('cpu')),
        config.input_limit,
    )
    augment = make_augmentation(spec, config)
    objective = algorithm.objective(
        dynamics, learned, training, held_out, config, generator, augment
    )
    return dynamics, fit_objective(objective, learned, optimiser, config, iteration)


def _policy(
    algorithm: Algorithm,
    bundle: Bundle | None,
    config: TrainingConfig,
    spec: RobotSpec,
    reward: Reward,
    generator: torch.Generator,
) -> ActFn:
    if bundle is None:
        return random_actions(spec, generator, config.rollouts)
    planner = make_planner(config.planner, spec.action_size)
    adapter = algorithm.adapter(bundle)
    return mpc_actions(make_mpc(bundle, adapter, planner, reward, generator, config.rollouts))


def _collect(
    env: RobotEnv,
    reward: Reward,
    act: ActFn,
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


def _endings(metrics: dict[str, float]) -> str:
    count = metrics['ended_early']
    return f', {count:.0f} ended early' if count else ''


def _line(iteration: int, config: TrainingConfig, metrics: dict[str, float]) -> str:
    return (
        f'iteration {iteration}/{config.iterations}: return {metrics["return_mean"]:.0f} '
        f'(standard deviation over rollouts {metrics["return_std"]:.0f}{_endings(metrics)}), '
        f'held-out loss {metrics["held_out_loss"]:.4f}, '
        f'{metrics["environment_steps"]:.0f} steps, collect {metrics["collect_s"]:.0f} s, '
        f'fit {metrics["fit_s"]:.0f} s'
    )
