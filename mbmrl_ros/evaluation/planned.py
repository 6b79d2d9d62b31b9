# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plan at test time in the models that a policy was searched in (MAAC; thesis, Table 1).

Candidates begin from what the policy does, the ensemble's mean says what comes of them, and the
critics what comes after the last step. A state that ends an episode is one that nothing leaves:
it earns nothing any more, and is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.bundles.actor import Actor
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.models.ensemble import Ensemble
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.search.recorded_env import NO_NOISE, RecordedEnv
from mbmrl_ros.types import Carry, Planner, Problem, RewardFn, Root, StepFn, ValueFn


@dataclass(frozen=True)
class Searched:
    """What a search has learned: models, and a policy with its critics."""

    ensemble: Ensemble
    actor: Actor

    def problem(self, task: MetaTask) -> Problem:
        """Return what plans for a task are made with."""
        value = _until_done(task, self.actor.value) if self.actor.has_value else None
        return Problem(_step(task, self.ensemble), _reward(task), value, self.actor.propose)


def planned(
    searched: Searched, planner: Planner, env: RecordedEnv, generator: torch.Generator
) -> Act:
    """Return what plans at every step of one episode of each robot; the rest of a plan is kept."""
    problem = searched.problem(env.task)
    warm_start = planner.initial(env.tasks * env.rollouts)

    @torch.no_grad()
    def act(observations: Tensor) -> Distribution:
        nonlocal warm_start
        root = Root(None, env.states.float())
        warm_start, plan = planner.plan(generator, warm_start, problem, root)
        chosen = plan.actions[:, 0].view(env.tasks, env.rollouts, -1) * env.action_scale
        return {'mean': chosen, 'log_std': torch.full((chosen.shape[-1],), NO_NOISE)}

    return act


def _step(task: MetaTask, ensemble: Ensemble) -> StepFn:
    """Return the mean of the members' predictions; states that end an episode stay."""
    dynamics, params = ensemble
    predict = dynamics.packed(params)

    def step(carry: Carry, state: Tensor, action: Tensor) -> tuple[Carry, Tensor]:
        rows = (tensor.flatten(0, -2) for tensor in (state, action))
        everyone = (tensor.expand(dynamics.members, *tensor.shape) for tensor in rows)
        reached = predict(*everyone).mean(0).view(state.shape)
        return carry, torch.where(task.done(state)[..., None], state, reached)

    return step


def _reward(task: MetaTask) -> RewardFn:
    def reward(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        earned = task.reward(state, action, next_state, state.new_zeros(0))
        return torch.where(task.done(state), 0.0, earned)

    return reward


def _until_done(task: MetaTask, value: ValueFn) -> ValueFn:
    return lambda state: torch.where(task.done(state), 0.0, value(state))
