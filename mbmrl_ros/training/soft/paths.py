# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Paths of a squashed policy in models of the dynamics, as soft actor-critics are taught by them.

Beside training/search/imagine.py, whose paths are records of distributions: here an action comes
with the logarithm of its density, and the states stay whole, so that more can be imagined from
each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.models.ensemble import Ensemble
from mbmrl_ros.policies.squashed import SquashedPolicy, draw
from mbmrl_ros.types import Params, Transitions


@dataclass(frozen=True)
class Imagined:
    """A task in models of its dynamics, and what of a state a policy is shown (columns [O]).

    value_range: between which a value can be, so that no critic is believed beyond.
    """

    task: MetaTask
    ensemble: Ensemble
    observed: Tensor
    value_range: tuple[float, float] = (-math.inf, math.inf)

    def observe(self, states: Tensor) -> Tensor:
        """Return observations [..., O] of states [..., S]."""
        return states.index_select(-1, self.observed)

    def reward(self, transitions: Transitions) -> Tensor:
        """Return the task's own reward [...]; there is no goal."""
        goal = transitions.states.new_zeros(0)
        return self.task.reward(*transitions, goal)

    def move(self, states: Tensor, actions: Tensor, generator: torch.Generator) -> Tensor:
        """Return the next states of B rows, of which the first B / E are moved by member 0.

        So each row keeps its member. Rows come in random order: B is a multiple of E.
        """
        dynamics, params = self.ensemble
        before, taken = (
            each.view(dynamics.members, -1, each.shape[-1]) for each in (states, actions)
        )
        return dynamics.predict(params, before, taken, generator).flatten(0, 1)


class SoftPath(NamedTuple):
    """T steps of B rows, time first.

    states, actions: [T + 1, B, .]; the last action is chosen, and not taken. log_probs: of all of
    them [T + 1, B]. rewards, done: [T, B].
    """

    states: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    done: Tensor


def soft_path(
    imagined: Imagined,
    policy: SquashedPolicy,
    params: Params,
    states: Tensor,
    steps: int,
    generator: torch.Generator,
) -> SoftPath:
    """Roll out T = steps steps from states [B, S], differentiable in the policy's parameters."""
    visited, taken, densities = [states], [], []
    for step in range(steps + 1):
        drawn = policy.distribution(params, imagined.observe(visited[-1]))
        actions, density = draw(drawn, generator)
        taken.append(actions)
        densities.append(density)
        if step < steps:
            visited.append(imagined.move(visited[-1], actions, generator))
    tracks = torch.stack(visited), torch.stack(taken)
    transitions = Transitions(tracks[0][:-1], tracks[1][:-1], tracks[0][1:])
    return SoftPath(
        *tracks,
        torch.stack(densities),
        imagined.reward(transitions),
        imagined.task.done(transitions.next_states),
    )


@torch.no_grad()
def branched(
    imagined: Imagined,
    policy: SquashedPolicy,
    params: Params,
    states: Tensor,
    steps: int,
    generator: torch.Generator,
) -> Transitions:
    """Return the transitions [n, .] of paths from real states [B, S] (MBPO's branched rollouts).

    What comes after an end is left out.
    """
    path = soft_path(imagined, policy, params, states, steps, generator)
    before = torch.cat([torch.zeros_like(path.done[:1]), path.done[:-1]])
    alive = ~(before.cumsum(0) > 0)
    parts = path.states[:-1], path.actions[:-1], path.states[1:]
    return Transitions(*(part[alive] for part in parts))
