# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A planner with the simulator itself as its model: what it does when nothing is left to learn.

It knows the whole state of the physics and what is wrong with the robot, a step late. What a
learned model lacks to that is the model's fault, not the planner's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.evaluation.episodes import Trial
from mbmrl_ros.planners.kinds import PlannerConfig, make_planner
from mbmrl_ros.robot.history import History
from mbmrl_ros.training.dynamics.collect import EpisodePlan, Rollouts, collect
from mbmrl_ros.types import Carry, Problem, Root, StepFn


def physics_step(env: RobotEnv, copies: RobotEnv) -> StepFn:
    """Return what predicts the next states of candidates [B, K, .] by copies of the B robots.

    copies: B K robots. The carry is whether they are on their way: without it they begin where
    the robots of `env` are now, whatever states [B, K, S] say.
    """

    def step(carry: Carry, states: Tensor, actions: Tensor) -> tuple[Carry, Tensor]:
        if carry is None:
            copies.copy_state_from(env)
        following = copies.step(actions.flatten(0, 1))
        # Where the physics fail a copy stands still, which must not pass for a plan.
        following = torch.where(copies.healthy[:, None], following, torch.nan)
        return True, following.view(*actions.shape[:2], -1)

    return step


def drive_by_physics(trial: Trial, planner: PlannerConfig) -> Rollouts:
    """Drive the episodes of a trial, planned with the physics themselves.

    UserError as BatchWorld.copy_state_from.
    """
    problem, batch = trial.problem, trial.episodes
    planning = make_planner(planner, problem.spec.action_size)
    generator = torch.Generator().manual_seed(trial.seed)
    env, copies = (RobotEnv(problem.spec, n) for n in (batch, batch * planner.candidates))
    physics = Problem(physics_step(env, copies), problem.reward)
    state = planning.initial(batch)

    def act(histories: Sequence[History], states: Tensor) -> Tensor:
        nonlocal state
        state, plan = planning.plan(generator, state, physics, Root(None, states))
        return torch.where(plan.valid[:, None], plan.actions[:, 0], torch.nan)

    schedules = [problem.task.test(trial.test)(trial.steps)] * batch
    rng = np.random.default_rng(trial.seed)
    try:
        return collect(env, problem, act, EpisodePlan(schedules, trial.steps), rng)
    finally:
        env.close()
        copies.close()
