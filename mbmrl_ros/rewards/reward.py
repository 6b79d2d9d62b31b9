# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A reward: the sum of named, weighted terms; and when an episode ends.

The planner, the environment, imagined rollouts and the reports all use the same object.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.rewards.path import Route
from mbmrl_ros.rewards.terms import GOAL_TERMS, TERMS, GoalTermFn, constant, scalar
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.tasks import TermConfig as TermConfig
from mbmrl_ros.types import DoneFn, GoalRewardFn, RewardFn


@dataclass(frozen=True)
class Reward:
    """Callable sum of weight * term.

    goal_functions: the terms that depend on what a task draws.
    """

    weights: Mapping[str, float]
    functions: Mapping[str, RewardFn]
    goal_functions: Mapping[str, GoalRewardFn] = field(default_factory=dict)

    def __call__(
        self, state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor | None = None
    ) -> Tensor:
        """(state [..., S], action [..., A] in -1..1, next_state [..., S]) -> reward [...].

        goal: [..., G], for the terms that have one.
        """
        return total(self.terms(state, action, next_state, goal))

    def terms(
        self, state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return every weighted term [...] by name; ValueError without a goal that one needs."""
        values = {
            name: _weighted(self.weights[name], function(state, action, next_state))
            for name, function in self.functions.items()
        }
        for name, with_goal in self.goal_functions.items():
            if goal is None:
                raise ValueError(f'the reward term {name} depends on a goal, and got none')
            value = with_goal(state, action, next_state, goal)
            values[name] = _weighted(self.weights[name], value)
        return values


def _weighted(weight: float, value: Tensor) -> Tensor:
    return value if weight == 1.0 else value * scalar(weight, value.device, value.dtype)


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of weighted terms [...]."""
    return functools.reduce(operator.add, terms.values())


def build_reward(
    spec: RobotSpec, terms: tuple[TermConfig, ...], goals: Sequence[str] = ()
) -> Reward:
    """Build the reward of a task for a robot; UserError names a term that does not exist.

    goals: the names of what the task draws, in the order of the columns.
    """
    functions: dict[str, RewardFn] = {}
    goal_functions: dict[str, GoalRewardFn] = {}
    weights: dict[str, float] = {}
    known = TERMS | GOAL_TERMS
    for config in terms:
        if config.term not in known:
            raise UserError(f'unknown reward term {config.term!r}; {closest(config.term, known)}')
        arguments = _arguments(config, known[config.term])
        listed = [(other.term, other.channel) for other in terms]
        if listed.count((config.term, config.channel)) > 1:
            raise UserError(f'reward term {config.term} is listed twice; add up its weights')
        # The same term on two channels is two terms.
        name = f'{config.term}[{config.channel}]' if config.term in weights else config.term
        weights[name] = config.weight
        if config.term in TERMS:
            functions[name] = TERMS[config.term](spec, **arguments)
        else:
            column = _column(config, goals)
            goal_functions[name] = _of_column(GOAL_TERMS[config.term](spec, **arguments), column)
    return Reward(weights, functions, goal_functions)


def build_done(spec: RobotSpec, limits: Mapping[str, tuple[float, float]]) -> DoneFn:
    """Return what says that an episode ends: a channel is no longer within its limits.

    Without limits it says so of no state. UserError names a channel that does not exist.
    """
    if not limits:
        return never_done
    places = constant(spec.channel_index(channel) for channel in limits)
    lower, upper = (constant(side) for side in zip(*limits.values()))

    def done(next_state: Tensor) -> Tensor:
        device = next_state.device
        values = next_state.index_select(-1, places(device, torch.int64))
        low, high = lower(device, torch.float64), upper(device, torch.float64)
        return ((values < low) | (values > high)).any(-1)

    return done


def never_done(next_state: Tensor) -> Tensor:
    """Return that no state [..., S] ends an episode."""
    return torch.zeros(next_state.shape[:-1], dtype=torch.bool, device=next_state.device)


def route_of(terms: tuple[TermConfig, ...]) -> Route | None:
    """Return the path that a reward follows; None if it follows none."""
    return next((term.path for term in terms if term.path is not None), None)


def along(terms: tuple[TermConfig, ...], route: Route) -> tuple[TermConfig, ...]:
    """Return the terms of a reward with another path for it to follow."""
    return tuple(
        term if term.path is None else term.model_copy(update={'path': route}) for term in terms
    )


def _of_column(term: GoalTermFn, column: int) -> GoalRewardFn:
    """Return a term that finds its goal among all of a task's."""

    def of_column(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
        return term(state, action, next_state, goal[..., column])

    return of_column


def _column(config: TermConfig, goals: Sequence[str]) -> int:
    if config.goal not in goals:
        valid = closest(str(config.goal), goals) if goals else 'the task has none'
        raise UserError(f'reward term {config.term}: no goal {config.goal!r}; {valid}')
    return list(goals).index(str(config.goal))


def _arguments(config: TermConfig, build: Callable[..., object]) -> dict[str, Any]:
    """Return what a term is built with; UserError if it needs something else."""
    given = config.model_dump(exclude={'term', 'weight'}, exclude_none=True)
    known = dict(inspect.signature(build).parameters)
    del known['spec']
    needed = {name for name, parameter in known.items() if parameter.default is parameter.empty}
    # What names the column of a goal is for whoever calls the term.
    of_goal = {'goal'} if config.term in GOAL_TERMS else set()
    needed, valid = needed | of_goal, known.keys() | of_goal
    if not needed <= given.keys() <= valid:
        came, wanted = (', '.join(sorted(names)) or 'nothing' for names in (given, valid))
        raise UserError(f'reward term {config.term} takes {wanted}, got {came}')
    return {name: value for name, value in given.items() if name not in of_goal}
