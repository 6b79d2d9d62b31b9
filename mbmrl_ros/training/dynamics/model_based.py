# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The outer loop that model-based algorithms share: collect, refit, publish, again.

What an algorithm brings is a `ModelLearner` (training/dynamics/fit_model.py); see
algorithms/grbal.py for how one makes Algorithm 9.
"""

from __future__ import annotations

import time

import numpy as np
from tqdm import tqdm

from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, save_bundle
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import RobotTask, open_task
from mbmrl_ros.envs.task import Task
from mbmrl_ros.planners.kinds import make_planner
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.training.dynamics.collect import (
    ActFn,
    EpisodePlan,
    collect,
    mpc_actions,
    random_actions,
)
from mbmrl_ros.training.dynamics.fit_model import (
    ConfigT,
    ModelLearner,
    ModelTraining,
    fit_model,
    make_generator,
)
from mbmrl_ros.training.dynamics.publish import fit_metrics, make_bundle, return_metrics
from mbmrl_ros.training.dynamics.settings import CollectConfig
from mbmrl_ros.training.dynamics.train_state import checkpoint, restore
from mbmrl_ros.training.run import Run


def train(
    learner: ModelLearner[ConfigT], task: Task, config: ConfigT, run: Run, seed: int
) -> Bundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    problem = open_task(task)
    config = config.model_copy(update=run.precisions())
    training = ModelTraining(learner, problem.spec, config, seed)
    env = RobotEnv(problem.spec, config.rollouts)
    state = training.begin()
    done, tensors, data = run.load()
    if not config.reinitialize:
        restore(state, tensors)
    known = run.publish(done)
    bundle = load_bundle(known, problem.spec) if done or known.exists() else None
    for iteration in range(done + 1, config.iterations + 1):
        started = time.monotonic()
        if not run.has_data(iteration):
            act = _policy(training, bundle, problem, iteration)
            collected = _collect(env, problem, act, training, iteration)
            run.save_data(iteration, collected)
        data.append(run.load_data(iteration))
        collected_at = time.monotonic()
        state = training.begin() if config.reinitialize else state
        dynamics, result = fit_model(training, state, data, iteration)
        fitted = fit_metrics(data, result, state)
        # In the order that rows of earlier versions have.
        metrics = {'environment_steps': fitted['environment_steps']}
        metrics |= return_metrics(problem.reward, data, config.rollout_steps) | fitted
        metrics |= {'collect_s': collected_at - started, 'fit_s': time.monotonic() - collected_at}
        bundle = make_bundle(training, task.name, dynamics, state, metrics)
        save_bundle(run.publish(iteration), bundle)
        run.log(iteration, metrics, step=int(metrics['environment_steps']))
        run.save_checkpoint(iteration, checkpoint(state))
        tqdm.write(_line(iteration, config, metrics))
    if bundle is None:
        raise ValueError('a training needs at least one iteration')
    save_bundle(run.folder / 'bundle', bundle)
    return bundle


def _policy(
    training: ModelTraining[ConfigT], bundle: Bundle | None, problem: RobotTask, iteration: int
) -> ActFn:
    """Return what collects: Algorithm 10 with the last bundle, random actions without one."""
    spec, batch = problem.spec, training.config.rollouts
    generator = make_generator(training.seed, iteration, 'collect')
    if bundle is None:
        return random_actions(spec, generator, batch)
    planner = make_planner(training.config.planner, spec.action_size)
    adapter = training.learner.adapter(bundle)
    return mpc_actions(make_mpc(bundle, adapter, planner, problem.reward, generator, batch))


def _collect(
    env: RobotEnv,
    problem: RobotTask,
    act: ActFn,
    training: ModelTraining[ConfigT],
    iteration: int,
) -> list[Trajectory]:
    config, rng = training.config, np.random.default_rng((training.seed, iteration))
    steps = config.rollout_steps
    schedules = [problem.task.training(rng, steps) for _ in range(config.rollouts)]
    with tqdm(total=steps, desc=f'iteration {iteration}: collect', unit='step') as bar:
        episodes = EpisodePlan(schedules, steps, config.past_steps)
        return collect(env, problem, act, episodes, rng, bar.update).trajectories


def _endings(metrics: dict[str, float]) -> str:
    count = metrics['ended_early']
    return f', {count:.0f} ended early' if count else ''


def _line(iteration: int, config: CollectConfig, metrics: dict[str, float]) -> str:
    return (
        f'iteration {iteration}/{config.iterations}: return {metrics["return_mean"]:.0f} '
        f'(standard deviation over rollouts {metrics["return_std"]:.0f}{_endings(metrics)}), '
        f'validation loss {metrics["validation_loss"]:.4f}, '
        f'{metrics["environment_steps"]:.0f} steps, collect {metrics["collect_s"]:.0f} s, '
        f'fit {metrics["fit_s"]:.0f} s'
    )
