# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies that were sent, as what drives an episode."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.networks.params import group
from mbmrl_ros.nodes.learners.parcels import Parcel
from mbmrl_ros.nodes.learners.search_part import SearchPart
from mbmrl_ros.policies.gaussian import sample
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.search.recorded_env import random_actions
from mbmrl_ros.types import Params


@dataclass
class Proposal:
    """Actions of a policy, drawn as in training. parcel: what it is of; None: random actions.

    first_s: how long after it was sent it was first asked; NaN before.
    """

    part: SearchPart
    act: Act
    generator: torch.Generator
    parcel: Parcel | None = None
    first_s: float = float('nan')

    def __call__(self, state: Tensor) -> Tensor:
        """Return the action [1, A] in -1..1 for a state [1, S]."""
        if self.parcel is not None and self.first_s != self.first_s:
            self.first_s = time.time() - self.parcel.sent_s
        env = self.part.search.env
        observation = state[:, env.observed].float()[None]
        action = sample(self.act(observation), self.generator)[0]
        return (action / env.action_scale).clamp(-1.0, 1.0)


def at_random(part: SearchPart, generator: torch.Generator) -> Proposal:
    """Return random actions, as training begins with."""
    return Proposal(part, random_actions(part.search.env, generator), generator)


def by_policy(
    part: SearchPart, parcel: Parcel, episode: int, generator: torch.Generator
) -> Proposal:
    """Return what drives an episode by a policy; of several adapted ones, by one in turn."""
    params = turn_of(parcel.tensors, episode)
    act = part.stages.exploring(part.search, params, generator)
    return Proposal(part, act, generator, parcel)


def turn_of(tensors: Params, episode: int) -> Params:
    """Return the parameters of one policy: of the adapted ones, that whose turn it is (MB-MPO)."""
    adapted = group(tensors, 'adapted')
    if not adapted:
        return {k: v for k, v in tensors.items() if k.startswith('params/')}
    turn = episode % len(next(iter(adapted.values())))
    return {f'params/{name}': value[turn] for name, value in adapted.items()}
