# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluate a bundle: returns of episodes, and losses before and after adaptation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

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
from mbmrl_ros.training.collect import Act, Rollouts, collect, mpc_actions
from mbmrl_ros.types import Adapter, Carry, Params, Transitions


@dataclass(frozen=True)
class PredictionLosses:
    """Losses on the next T2 steps: squared errors of normalised changes.

    moments: [W] steps of the trajectory. before, after: [B, W] with the parameters as trained,
    and as adapted to the T1 steps before the moment. ahead: the same of the state T2 steps ahead,
    at some of the moments.
    """

    moments: Tensor
    before: Tensor
    after: Tensor
    ahead: PredictionLosses | None = None

    def since(self, moment: int) -> PredictionLosses:
        """Return those of a moment and all later ones."""
        kept = self.moments >= moment
        ahead = self.ahead and self.ahead.since(moment)
        return PredictionLosses(
            self.moments[kept], self.before[:, kept], self.after[:, kept], ahead
        )


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
    ticks: list[_Tick] = []
    act = mpc_actions(mpc, lambda decision: ticks.append(_tick(decision)))
    window = bundle.info.past_steps
    rollouts = run_episodes(task, test, act, episodes, steps, seed, window, on_step)
    return Evaluation(
        rollouts.rewards,
        rollouts.trajectories,
        [tick.adapt_s for tick in ticks],
        [tick.plan_s for tick in ticks],
        sum(tick.accepted for tick in ticks),
        sum(tick.refused for tick in ticks),
    )


def run_episodes(
    task: Task,
    test: str,
    act: Act,
    episodes: int,
    steps: int,
    seed: int,
    window: int = 1,
    on_step: Callable[[], object] = lambda: None,
) -> Rollouts:
    """Let anything that acts drive episodes side by side under a test setting of the task.

    window: transitions that it looks back on.
    """
    spec = load_robot(task.robot)
    env = RobotEnv(spec, episodes)
    try:
        return collect(
            env,
            build_reward(spec, task.reward),
            act,
            [task.test(test)(steps)] * episodes,
            task.disturbances,
            steps,
            window,
            np.random.default_rng(seed),
            on_step,
        )
    finally:
        env.close()


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
    bundle: Bundle,
    adapter: Adapter,
    trajectories: list[Trajectory],
    stride: int = 5,
    ahead_stride: int = 0,
) -> PredictionLosses:
    """Replay recorded trajectories through the adapter and score it on what came next.

    Every step is adapted to, in order, since MB+DE carries its weights over; every `stride`-th
    is scored. Trajectories are cut to the length of the shortest. A recurrent model goes on
    remembering while it is scored, as it does on the robot; before, its memory is empty.

    ahead_stride: of the moments from which the state T2 steps ahead is predicted, by the actions
    that were recorded and no state after the first; 0: none. Its squared error is divided, channel
    by channel, by what the change was on average, so that a model that expects no change has 1,
    but at least by what a single step's is in training: a joint may be stuck.
    """
    past, future = bundle.info.past_steps, bundle.info.future_steps
    steps = min(trajectory.steps for trajectory in trajectories)
    windows = [Windows.of([trajectory], past, future) for trajectory in trajectories]
    loss_fn = bundle.dynamics.loss
    attempted = torch.ones(len(trajectories), dtype=torch.bool)
    memory = adapter.initial(len(trajectories))
    moments, before, after = [], [], []
    far: list[tuple[int, Tensor, Tensor, Tensor, Tensor]] = []
    for moment in range(past, steps - future + 1):
        pairs = [window.at(torch.tensor([moment])) for window in windows]
        known, coming = (type(part[0])(*map(torch.cat, zip(*part))) for part in zip(*pairs))
        memory, adapted = adapter.adapt(memory, known, attempted)
        if ahead_stride and not (moment - past) % ahead_stride:
            trained = _predicted_end(bundle, bundle.params, None, coming)
            now = _predicted_end(bundle, adapted.params, adapted.carry, coming)
            far.append((moment, coming.states[:, 0], coming.next_states[:, -1], trained, now))
        if (moment - past) % stride:
            continue
        with torch.no_grad():
            moments.append(moment)
            before.append(loss_fn(bundle.params, coming))
            after.append(loss_fn(adapted.params, coming, carry=adapted.carry))
    return PredictionLosses(
        torch.tensor(moments), torch.stack(before, 1), torch.stack(after, 1), _ahead(far, bundle)
    )


@torch.no_grad()
def _predicted_end(bundle: Bundle, params: Params, carry: Carry, coming: Transitions) -> Tensor:
    """Return the states [B, S] at the end of windows, by their first states and actions alone."""
    state = coming.states[:, :1]
    for action in coming.actions.unbind(1):
        carry, state = bundle.dynamics.step(params, carry, state, action[:, None])
    return state[:, 0]


def _ahead(
    far: list[tuple[int, Tensor, Tensor, Tensor, Tensor]], bundle: Bundle
) -> PredictionLosses | None:
    """Return normalised squared errors of (moment, first, last, before, after), each [B, S]."""
    if not far:
        return None
    moments, *states = zip(*far)
    first, last, trained, now = (torch.stack(each, 1).double() for each in states)
    usual = (last - first).square().mean((0, 1))
    usual = usual.maximum(bundle.dynamics.normalizer.delta_std.square())
    before, after = (((one - last).square() / usual).mean(-1) for one in (trained, now))
    return PredictionLosses(torch.tensor(moments), before, after)


def interval95(values: list[float] | Tensor) -> tuple[float, float]:
    """Return the mean of independent values and the half width of its 95 % t-interval."""
    array = np.asarray(values, np.float64)
    if len(array) < 2:
        return float(array.mean()), float('nan')
    error = array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(error * stats.t.ppf(0.975, len(array) - 1))


def returns_summary(rewards: Tensor, failure: int) -> dict[str, Any]:
    """Return what is reported of rewards [T, B]: whole, before and after the failure's step."""
    return {
        **_returns('', rewards.sum(0)),
        **_returns('_before', rewards[:failure].sum(0)),
        **_returns('_after', rewards[failure:].sum(0)),
    }


def losses_summary(losses: PredictionLosses, failure: int) -> dict[str, float]:
    """Return what is reported of prediction losses: of all moments, and after the failure."""
    late = losses.moments >= failure
    return {
        **_losses('', losses.before, losses.after),
        **_losses('_after_failure', losses.before[:, late], losses.after[:, late]),
    }


def _returns(suffix: str, returns: Tensor) -> dict[str, Any]:
    mean, half = interval95(returns)
    return {
        f'returns{suffix}': [round(float(value), 3) for value in returns],
        f'mean{suffix}': mean,
        f'interval95{suffix}': half,
    }


def _losses(suffix: str, before: Tensor, after: Tensor) -> dict[str, float]:
    first, second = float(before.mean()), float(after.mean())
    return {
        f'loss_before{suffix}': first,
        f'loss_after{suffix}': second,
        f'ratio{suffix}': second / first,
    }
