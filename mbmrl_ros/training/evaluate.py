# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluate a bundle: returns of episodes, and losses before and after adaptation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.planners.kinds import PlannerConfig, make_planner
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import Decision, make_mpc
from mbmrl_ros.spec import load_robot
from mbmrl_ros.training.collect import collect, mpc_actions
from mbmrl_ros.types import Adapter


@dataclass(frozen=True)
class PredictionLosses:
    """Losses on the next T2 steps: squared errors of normalised changes.

    moments: [W] steps of the trajectory. before, after: [B, W] with the parameters as trained,
    and as adapted to the T1 steps before the moment.
    """

    moments: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class Evaluation:
    """Episodes of one setting.

    rewards: [T, B]. trajectories: B of them. adapt_s, plan_s: [T] for all robots together.
    accepted, attempted: how many adaptations were used, of how many.
    """

    rewards: Tensor
    trajectories: list[Trajectory]
    adapt_s: list[float]
    plan_s: list[float]
    accepted: int
    refused: int


def evaluate(
    bundle: Bundle,
    adapter: Adapter,
    task: Task,
    test: str,
    episodes: int,
    steps: int,
    seed: int,
    planner: PlannerConfig | None = None,
    on_step: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Run episodes side by side under a test setting of the task.

    The same seed gives the same start states to every method.
    """
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward)
    generator = torch.Generator().manual_seed(seed)
    planning = make_planner(planner or bundle.info.planner, spec.action_size)
    mpc = make_mpc(bundle, adapter, planning, reward, generator, episodes)
    schedules = [task.test(test)(steps)] * episodes
    ticks: list[_Tick] = []
    rollouts = collect(
        RobotEnv(spec, episodes),
        reward,
        mpc_actions(mpc, lambda decision: ticks.append(_tick(decision))),
        schedules,
        task.disturbances,
        steps,
        bundle.info.past_steps,
        np.random.default_rng(seed),
        on_step,
    )
    return Evaluation(
        rollouts.rewards,
        rollouts.trajectories,
        [tick.adapt_s for tick in ticks],
        [tick.plan_s for tick in ticks],
        sum(tick.accepted for tick in ticks),
        sum(tick.refused for tick in ticks),
    )


class _Tick(NamedTuple):
    adapt_s: float
    plan_s: float
    accepted: int
    refused: int


def _tick(decision: Decision) -> _Tick:
    adapted = decision.adapted
    counts = int(adapted.accepted.sum()), int(adapted.refused.sum())
    return _Tick(decision.adapt_s, decision.plan_s, *counts)


def prediction_losses(
    bundle: Bundle, adapter: Adapter, trajectories: list[Trajectory], stride: int = 5
) -> PredictionLosses:
    """Replay recorded trajectories through the adapter and score it on what came next.

    Every step is adapted to, in order, since MB+DE carries its weights over; every `stride`-th
    is scored. Trajectories are cut to the length of the shortest.
    """
    past, future = bundle.info.past_steps, bundle.info.future_steps
    steps = min(trajectory.steps for trajectory in trajectories)
    windows = [Windows.of([trajectory], past, future) for trajectory in trajectories]
    loss_fn = bundle.dynamics.loss
    attempted = torch.ones(len(trajectories), dtype=torch.bool)
    memory = adapter.initial(len(trajectories))
    moments, before, after = [], [], []
    for moment in range(past, steps - future + 1):
        pairs = [window.at(torch.tensor([moment])) for window in windows]
        known, coming = (type(part[0])(*map(torch.cat, zip(*part))) for part in zip(*pairs))
        memory, adapted = adapter.adapt(memory, known, attempted)
        if (moment - past) % stride:
            continue
        with torch.no_grad():
            moments.append(moment)
            before.append(loss_fn(bundle.params, coming, None))
            after.append(loss_fn(adapted.params, coming, None))
    return PredictionLosses(torch.tensor(moments), torch.stack(before, 1), torch.stack(after, 1))


def interval95(values: list[float] | Tensor) -> tuple[float, float]:
    """Return the mean of independent values and the half width of its 95 % t-interval."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return float(array.mean()), float('nan')
    error = array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(error * stats.t.ppf(0.975, len(array) - 1))
