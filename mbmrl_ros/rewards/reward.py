# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A reward: the sum of named, weighted terms.

The planner, the environment and the reports all use the same object.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.rewards.path import Route
from mbmrl_ros.rewards.terms import TERMS
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.spec.tasks import TermConfig as TermConfig
from mbmrl_ros.types import RewardFn


@dataclass(frozen=True)
class Reward:
    """Callable sum of weight * term."""

    weights: Mapping[str, float]
    functions: Mapping[str, RewardFn]

    def __call__(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """(state [..., S], action [..., A] in -1..1, next_state [..., S]) -> reward [...]."""
        return torch.stack(list(self.terms(state, action, next_state).values())).sum(0)

    def terms(self, state: Tensor, action: Tensor, next_state: Tensor) -> dict[str, Tensor]:
        """Return every weighted term [...] by name."""
        return {
            name: self.weights[name] * function(state, action, next_state)
            for name, function in self.functions.items()
        }


def build_reward(spec: RobotSpec, terms: tuple[TermConfig, ...]) -> Reward:
    """Build the reward of a task for a robot; UserError names a term that does not exist."""
    functions: dict[str, RewardFn] = {}
    weights: dict[str, float] = {}
    for config in terms:
        if config.term not in TERMS:
            raise UserError(f'unknown reward term {config.term!r}; {closest(config.term, TERMS)}')
        arguments = _arguments(config)
        listed = [(other.term, other.channel) for other in terms]
        if listed.count((config.term, config.channel)) > 1:
            raise UserError(f'reward term {config.term} is listed twice; add up its weights')
        # The same term on two channels is two terms.
        name = f'{config.term}[{config.channel}]' if config.term in functions else config.term
        functions[name] = TERMS[config.term](spec, **arguments)
        weights[name] = config.weight
    return Reward(weights, functions)


def route_of(terms: tuple[TermConfig, ...]) -> Route | None:
    """Return the path that a reward follows; None if it follows none."""
    return next((term.path for term in terms if term.path is not None), None)


def along(terms: tuple[TermConfig, ...], route: Route) -> tuple[TermConfig, ...]:
    """Return the terms of a reward with another path for it to follow."""
    return tuple(
        term if term.path is None else term.model_copy(update={'path': route}) for term in terms
    )


def _arguments(config: TermConfig) -> dict[str, Any]:
    """Return what a term is given; UserError if it needs something else."""
    given = config.model_dump(exclude={'term', 'weight'}, exclude_none=True)
    known = dict(inspect.signature(TERMS[config.term]).parameters)
    del known['spec']
    needed = {name for name, parameter in known.items() if parameter.default is parameter.empty}
    if not needed <= given.keys() <= known.keys():
        came, wanted = (', '.join(sorted(names)) or 'nothing' for names in (given, known))
        raise UserError(f'reward term {config.term} takes {wanted}, got {came}')
    return given
