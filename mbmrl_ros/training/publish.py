# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a training publishes after every iteration: a bundle, and its numbers."""

from __future__ import annotations

import json

import numpy as np

from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.fit import FitResult
from mbmrl_ros.models.kinds import DynamicsModel, build_model
from mbmrl_ros.models.recurrent import Cell, RecurrentDynamics
from mbmrl_ros.rewards.reward import Reward
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.collect import ended_early
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.training.train_state import TrainState, start


def make_bundle(
    algorithm: str,
    task: str,
    config: TrainingConfig,
    spec: RobotSpec,
    dynamics: DynamicsModel,
    learned: TrainState,
    metrics: dict[str, float],
) -> Bundle:
    """Copy what was learned into a bundle that further training does not change.

    task: its name.
    """
    info = BundleInfo(
        algorithm=algorithm,
        task=task,
        robot=spec.name,
        robot_hash=spec.hash,
        interface=json.loads(json.dumps(spec.interface)),
        hidden_sizes=config.hidden_sizes,
        past_steps=config.past_steps,
        future_steps=config.future_steps,
        inner_steps=config.inner_steps,
        minimum_gain=config.minimum_gain,
        gain_to_keep=config.gain_to_keep,
        newest_steps=config.newest_steps,
        input_limit=config.input_limit,
        cell=dynamics.cell if isinstance(dynamics, RecurrentDynamics) else None,
        memory=config.recurrent.memory,
        precision=dynamics.precision,
        planner=config.control_planner,
        training=config.model_dump(mode='json'),
        metrics=metrics,
    )
    fixed = {name: value.detach().clone() for name, value in learned.params.items()}
    steps = {name: value.detach().clone() for name, value in learned.step_sizes.items()}
    return Bundle(info, dynamics, fixed, steps)


def untrained_bundle(
    algorithm: str,
    task: str,
    config: TrainingConfig,
    spec: RobotSpec,
    seed: int = 0,
    cell: Cell | None = None,
) -> Bundle:
    """Return a bundle as it is before any training: for trying nodes out and for timing them.

    cell: of the algorithm's network, if that is recurrent.
    """
    learned, _ = start(spec, config, seed, cell)
    dynamics = build_model(spec, config.hidden_sizes, cell, input_limit=config.input_limit)
    return make_bundle(algorithm, task, config, spec, dynamics, learned, {})


def return_metrics(
    reward: Reward, data: list[list[Trajectory]], config: TrainingConfig
) -> dict[str, float]:
    """Return what a row of metrics.csv says of the newest rollouts.

    A rollout that ended early earns nothing later, and is counted.
    """
    returns = [float(reward(*trajectory.transitions()).sum()) for trajectory in data[-1]]
    return {
        'return_mean': float(np.mean(returns)),
        'return_std': float(np.std(returns)),
        'rollout_steps': float(config.rollout_steps),
        'ended_early': float(ended_early(data[-1], config.rollout_steps)),
    }


def fit_metrics(
    data: list[list[Trajectory]], result: FitResult, learned: TrainState
) -> dict[str, float]:
    """Return what a row of metrics.csv says of all data and the fit to it."""
    metrics = {
        'environment_steps': float(sum(t.steps for group in data for t in group)),
        'training_loss': result.training[max(result.best_epoch - 1, 0)],
        'held_out_loss': result.validation[result.best_epoch],
        'epochs': float(len(result.training)),
    }
    return metrics | {
        f'step_size/{name}': float(value.detach().mean())
        for name, value in learned.step_sizes.items()
    }
