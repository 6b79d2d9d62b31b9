# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collect trajectories of many robots side by side, with one planner call for all of them.

The path of a reading is the robot's own: StateAssembler's encoding, History, AdaptiveMPC,
SafetyFilter, and the action that was applied is the one that is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import RobotTask
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC
from mbmrl_ros.robot.command import from_units, to_units
from mbmrl_ros.robot.history import History, stack_windows
from mbmrl_ros.robot.random_policy import RandomPolicy
from mbmrl_ros.robot.safety import SafetyFilter
from mbmrl_ros.sim.disturbances import Disturbance, Schedule, active
from mbmrl_ros.spec.robot import RobotSpec


class ActFn(Protocol):
    """What drives the robots: histories and states [B, S] in, actions [B, A] out."""

    def __call__(self, histories: Sequence[History], states: Tensor) -> Tensor:
        """Return actions in -1..1, not finite where there is no plan."""


@dataclass(frozen=True)
class Rollouts:
    """What a collection brings back: B trajectories, and rewards [T, B].

    A trajectory ends with the last step that its robot was sound after, and earns nothing later.
    alive: [T, B] True up to there. ended: [B] True where the physics or the task's `done` ended
    it, False where the time limit cut it, so that what would have come next is worth something.
    """

    trajectories: list[Trajectory]
    rewards: Tensor
    alive: Tensor
    ended: Tensor

    @property
    def ended_early(self) -> int:
        """How many of the robots did not reach the last step."""
        return ended_early(self.trajectories, len(self.rewards))


def ended_early(trajectories: Sequence[Trajectory], steps: int) -> int:
    """Return how many trajectories are shorter than the steps that were asked for."""
    return sum(trajectory.steps < steps for trajectory in trajectories)


def random_actions(spec: RobotSpec, generator: torch.Generator, batch: int) -> ActFn:
    """Return random actions for B robots: the first iteration of every training."""
    policy = RandomPolicy(spec, generator, batch)

    def act(histories: Sequence[History], states: Tensor) -> Tensor:
        return policy.act(states)

    return act


def mpc_actions(
    mpc: AdaptiveMPC, on_decision: Callable[[Decision], object] = lambda decision: None
) -> ActFn:
    """Return the actions of Algorithm 10.

    on_decision: sees every decision; to keep them all takes megabytes a step.
    """

    def act(histories: Sequence[History], states: Tensor) -> Tensor:
        window, attempted = stack_windows(histories)
        decision = mpc.act(window, attempted, states)
        on_decision(decision)
        return torch.where(decision.valid[:, None], decision.action, torch.nan)

    return act


@dataclass(frozen=True)
class EpisodePlan:
    """What is collected: an episode of so many steps under each schedule.

    window: M, transitions that whatever drives looks back on.
    """

    schedules: Sequence[Schedule]
    steps: int
    window: int = 1


def collect(
    env: RobotEnv,
    task: RobotTask,
    act: ActFn,
    episodes: EpisodePlan,
    rng: np.random.Generator,
    on_step: Callable[[], object] = lambda: None,
) -> Rollouts:
    """Drive every robot through its episode.

    A robot whose physics stop being finite ends there: its trajectory is cut at that step, it
    earns nothing from then on, and it has no window any more that could be adapted to. So does one
    that is `done`, after that step.
    """
    spec, schedules = env.spec, episodes.schedules
    sizes = spec.state_size, spec.action_size
    histories = [History(episodes.window, spec.period_s, *sizes) for _ in schedules]
    filters = [SafetyFilter(spec) for _ in schedules]
    states, actions, rewards = [env.reset(rng, schedules)], [], []
    going, alive = torch.ones(len(schedules), dtype=torch.bool), []
    for step in range(episodes.steps):
        state = states[-1]
        _observe(histories, step * spec.period_s, state, going)
        applied = _filter(spec, filters, act(histories, state), state)
        for history, action in zip(histories, applied):
            history.applied(action)
        actions.append(torch.from_numpy(applied).float())
        states.append(env.step(actions[-1]))
        alive.append(going & torch.as_tensor(env.healthy))
        going = alive[-1] & ~task.done(states[-1])
        earned = task.reward(state, actions[-1], states[-1])
        rewards.append(torch.where(alive[-1], earned, 0.0))
        on_step()
    trajectories = _trajectories(states, actions, alive, schedules, task.task.disturbances)
    return Rollouts(trajectories, torch.stack(rewards), torch.stack(alive), ~going)


def _observe(histories: Sequence[History], stamp_s: float, states: Tensor, alive: Tensor) -> None:
    """Tell every history the state of its robot, or that there is none any more."""
    for history, row, sound in zip(histories, states.double().numpy(), alive.tolist()):
        if sound:
            history.observe(stamp_s, row)
        else:
            history.clear()


def _filter(
    spec: RobotSpec, filters: Sequence[SafetyFilter], wanted: Tensor, state: Tensor
) -> np.ndarray:
    """Let every robot's safety filter have the last word; actions in -1..1 in and out."""
    commands = to_units(spec, wanted.double().numpy())
    rows = state.double().numpy()
    sent = [
        safety.filter(command, '', row, elapsed_s=0.0, dt_s=spec.period_s)[0]
        for safety, command, row in zip(filters, commands, rows)
    ]
    return from_units(spec, np.stack(sent))


def _trajectories(
    states: list[Tensor],
    actions: list[Tensor],
    alive: list[Tensor],
    schedules: Sequence[Schedule],
    disturbances: Sequence[Disturbance],
) -> list[Trajectory]:
    state, action, sound = torch.stack(states, 1), torch.stack(actions, 1), torch.stack(alive, 1)
    result = []
    for row, schedule in enumerate(schedules):
        steps = int(sound[row].sum())
        labels = [
            disturbances.index(on[0]) if (on := active(schedule, step)) else -1
            for step in range(steps)
        ]
        result.append(
            Trajectory(
                state[row, : steps + 1].clone(),
                action[row, :steps].clone(),
                torch.tensor(labels, dtype=torch.int64),
            )
        )
    return result
