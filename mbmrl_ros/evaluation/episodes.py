# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluate a bundle: episodes under a test of its task, and what is reported of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import special
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import RobotTask
from mbmrl_ros.evaluation.predictions import PredictionLosses
from mbmrl_ros.planners.kinds import PlannerConfig, make_planner
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.history import History
from mbmrl_ros.sim.disturbances import active
from mbmrl_ros.training.dynamics.collect import (
    ActFn,
    EpisodePlan,
    Rollouts,
    collect,
    ended_early,
    mpc_actions,
)
from mbmrl_ros.types import Adapter, Array

# They differ by their start states alone.
IDLE_EPISODES = 3


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one setting.

    rewards: [T, B]. trajectories: B of them, cut where an episode ended early. adapt_s, plan_s:
    [T] for all robots together. accepted, refused: how many adaptations were used, and how many
    were not.
    """

    rewards: Tensor
    trajectories: list[Trajectory]
    adapt_s: list[float]
    plan_s: list[float]
    accepted: int
    refused: int


@dataclass(frozen=True)
class Trial:
    """Episodes side by side under a test setting of a task.

    The same seed gives the same start states to every method.
    """

    problem: RobotTask
    test: str
    episodes: int
    steps: int
    seed: int


def evaluate(
    bundle: Bundle,
    adapter: Adapter,
    trial: Trial,
    planner: PlannerConfig | None = None,
    on_step: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Let a bundle drive the episodes of a trial. planner: other than the bundle's."""
    problem, generator = trial.problem, torch.Generator().manual_seed(trial.seed)
    planning = make_planner(planner or bundle.info.planner, problem.spec.action_size)
    mpc = make_mpc(bundle, adapter, planning, problem.reward, generator, trial.episodes)
    ticks: list[_Tick] = []
    act = mpc_actions(mpc, lambda decision: ticks.append(_tick(decision)))
    rollouts = run_episodes(trial, act, bundle.info.past_steps, on_step)
    return Evaluation(
        rollouts.rewards,
        rollouts.trajectories,
        [tick.adapt_s for tick in ticks],
        [tick.plan_s for tick in ticks],
        sum(tick.accepted for tick in ticks),
        sum(tick.refused for tick in ticks),
    )


def run_episodes(
    trial: Trial, act: ActFn, window: int = 1, on_step: Callable[[], object] = lambda: None
) -> Rollouts:
    """Let anything that acts drive the episodes of a trial.

    window: transitions that it looks back on.
    """
    problem, rng = trial.problem, np.random.default_rng(trial.seed)
    schedules = [problem.task.test(trial.test)(trial.steps)] * trial.episodes
    env = RobotEnv(problem.spec, trial.episodes)
    try:
        plan = EpisodePlan(schedules, trial.steps, window)
        return collect(env, problem, act, plan, rng, on_step)
    finally:
        env.close()


def idle_returns(trial: Trial, on_step: Callable[[], object] = lambda: None) -> Tensor:
    """Return what a few robots earn [IDLE_EPISODES at most] that do nothing, in a trial.

    Doing nothing is to send the fallback of the robot file.
    """
    trial = replace(trial, episodes=min(trial.episodes, IDLE_EPISODES))
    spec = trial.problem.spec
    rest = torch.as_tensor(from_units(spec, np.array(spec.action.fallback)), dtype=torch.float32)

    def act(histories: Sequence[History], states: Tensor) -> Tensor:
        return rest.expand(len(histories), -1)

    return run_episodes(trial, act, on_step=on_step).rewards.sum(0)


def fails_at(trial: Trial, step: int) -> bool:
    """Return whether something breaks, or is mended, at a step of a trial."""
    schedule = trial.problem.task.test(trial.test)(trial.steps)
    return active(schedule, step) != active(schedule, step - 1)


class _Tick(NamedTuple):
    adapt_s: float
    plan_s: float
    accepted: int
    refused: int


def _tick(decision: Decision) -> _Tick:
    adapted, counts = decision.adapted, (0, 0)
    if adapted is not None:
        counts = int(adapted.accepted.sum()), int(adapted.refused.sum())
    return _Tick(decision.adapt_s, decision.plan_s, *counts)


def interval95(values: Sequence[float] | Array | Tensor) -> tuple[float, float]:
    """Return the mean of independent values and the half width of its 95 % t-interval.

    NaN in place of a width that nobody knows: of one value, and of a mean that is not finite.
    """
    array = np.asarray(values, np.float64)
    if len(array) < 2 or not np.isfinite(array).all():
        return float(array.mean()), float('nan')
    error = array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(error * special.stdtrit(len(array) - 1, 0.975))


def finite(value: Any) -> Any:
    """Return numbers, in dicts and lists, with None for those that JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def std_over_episodes(values: Sequence[float] | Array | Tensor) -> float:
    """Return the standard deviation of values of one model's episodes.

    NaN of fewer than two, and where one is not finite.
    """
    array = np.asarray(values, np.float64)
    known = len(array) > 1 and np.isfinite(array).all()
    return float(array.std(ddof=1)) if known else math.nan


def returns_summary(rewards: Tensor, failure: int) -> dict[str, Any]:
    """Return what is reported of rewards [T, B]: whole, before and after the failure's step.

    All episodes are of one model, so that there is no interval: `std_over_episodes` says how much
    they differ, not how sure the mean is of another training.
    """
    return {
        **_returns('', rewards.sum(0)),
        **_returns('_before', rewards[:failure].sum(0)),
        **_returns('_after', rewards[failure:].sum(0)),
    }


def endings_summary(trajectories: Sequence[Trajectory], steps: int) -> dict[str, Any]:
    """Return how many episodes ended early, and after how many steps each did end."""
    return {
        'ended_early': ended_early(trajectories, steps),
        'steps_done': [trajectory.steps for trajectory in trajectories],
    }


def losses_summary(losses: PredictionLosses, failure: int) -> dict[str, float]:
    """Return what is reported of prediction losses: of all moments, and after the failure.

    Means over all moments of all episodes that have them; NaN where no episode has any.
    """
    late = losses.start_indices >= failure
    return {
        **_losses('', losses.before, losses.after),
        **_losses('_after_failure', losses.before[:, late], losses.after[:, late]),
    }


def _returns(suffix: str, returns: Tensor) -> dict[str, Any]:
    return {
        f'returns{suffix}': [round(float(value), 3) for value in returns],
        f'mean{suffix}': float(returns.double().mean()),
        f'std_over_episodes{suffix}': std_over_episodes(returns),
    }


def _losses(suffix: str, before: Tensor, after: Tensor) -> dict[str, float]:
    first, second = float(before.nanmean()), float(after.nanmean())
    return {
        f'loss_before{suffix}': first,
        f'loss_after{suffix}': second,
        f'ratio{suffix}': second / first if first else math.nan,
    }
