# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of soft actor-critics in models, as far as they differ from a Gaussian policy's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mbmrl_ros.config import Positive, Width
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.replay import Replay
from mbmrl_ros.models.ensemble import ActivationName
from mbmrl_ros.networks.params import group
from mbmrl_ros.policies import squashed
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.search.recorded_env import NO_NOISE, random_actions
from mbmrl_ros.training.search.settings import LoopConfig
from mbmrl_ros.training.search.stages import Models, Search
from mbmrl_ros.training.soft.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    init_actor_critic,
    restore,
    scale_inputs,
    tensors,
)
from mbmrl_ros.training.soft.paths import Imagined
from mbmrl_ros.types import Params


class OnlineConfig(LoopConfig, ActorCriticConfig):
    """How often what is done; of models the values of MAAC's code."""

    real_rollouts: int = Field(1, ge=1, description='episodes side by side')
    initial_steps: int = Field(5000, ge=1, description='of random actions, in the first iteration')
    steps: int = Field(1000, ge=1, description='real steps of the other iterations, at least')
    updates_per_step: Positive = Field(8.0, description='updates of actor and critics')
    bound_values: bool = Field(
        True, description='bound targets by the best and worst reward seen, for ever (DHMBPO)'
    )
    members: int = Field(8, ge=1, description='E: models')
    model_hidden_sizes: tuple[Width, ...] = Field((200,) * 4, description='layers')
    model_activation: ActivationName = Field('swish', description='between layers')
    probabilistic: bool = Field(True, description='predict a variance, and draw from it')
    buffer_size: int = Field(1_000_000, ge=1, description='newest transitions that count')
    batch_size: int = Field(256, ge=1, description='transitions per update and model')

    def episodes(self, horizon: int) -> int:
        """Return how many a training collects, where they have so many steps (`collect`)."""
        at_once = self.real_rollouts * horizon
        first, later = (-(-steps // at_once) for steps in (self.initial_steps, self.steps))
        return (first + (self.iterations - 1) * later) * self.real_rollouts

    @model_validator(mode='after')
    def _bounded(self) -> Self:
        if self.action_scale not in (None, 1.0):
            raise ValueError(
                f'action_scale must be 1: a tanh bounds these actions, got {self.action_scale}'
            )
        return self


class Opened(NamedTuple):
    """What an improvement begins with: the task in the models, real data, how many updates."""

    imagined: Imagined
    data: Replay
    updates: int


def begin(search: Search[Any]) -> Params:
    """Draw an actor-critic, by name."""
    return tensors(_fresh(search))


def resume(search: Search[Any], policy: Params) -> ActorCritic:
    """Return a copy of an actor-critic as what is to be improved."""
    learner = _fresh(search)
    restore(learner, policy)
    return learner


def _fresh(search: Search[Any]) -> ActorCritic:
    env = search.env
    return init_actor_critic(env.observation_size, env.action_size, search.config, search.seed)


def open_models(search: Search[Any], learner: ActorCritic, models: Models) -> Opened:
    """Let networks see inputs by the statistics of the data, and count what is new."""
    data = models.replay
    assert data is not None, 'nothing was collected'
    scale_inputs(learner, models.normalizer, search.env.observed)
    new = int((data.source == data.source[-1]).sum())
    updates = math.ceil(new * search.config.updates_per_step)
    imagined = Imagined(search.task, search.ensemble(models), search.env.observed)
    if search.config.bound_values:
        imagined = replace(
            imagined, value_range=value_range(learner, imagined.reward(data.transitions))
        )
    return Opened(imagined, data, updates)


def value_range(learner: ActorCritic, rewards: Tensor) -> tuple[float, float]:
    """Return what a state can be worth: the worst and the best reward that was seen, for ever.

    With the entropy of uniform actions on top, and 0 of states that end an episode (DHMBPO).
    """
    bonus = float(learner.temperature) * learner.policy.action_size * math.log(2.0)
    low, high = min(0.0, float(rewards.min())), max(0.0, float(rewards.max()) + bonus)
    steps = 1.0 / (1.0 - learner.config.discount)
    return low * steps, high * steps


def collect(
    search: Search[Any], policy: Params | None, generator: torch.Generator
) -> list[Trajectory]:
    """Act in episodes until they have the steps of an iteration together; None: at random."""
    env, config = search.env, search.config
    act = (
        random_actions(env, generator) if policy is None else exploring(search, policy, generator)
    )
    wanted = config.initial_steps if policy is None else config.steps
    gained: list[Trajectory] = []
    while sum(trajectory.steps for trajectory in gained) < wanted:
        gained += env.roll_out(act, generator)
    return gained


def acting_by_means(search: Search[Any], policy: Params) -> Act:
    """Return what acts by tanh(mean) (search_stages.py: Stages.acting)."""
    return _acting(search, policy, None)


def exploring(search: Search[Any], policy: Params, generator: torch.Generator) -> Act:
    """Return what acts by draws of the squashed policy (search_stages.py: Stages.exploring)."""
    return _acting(search, policy, generator)


def _acting(search: Search[Any], policy: Params, generator: torch.Generator | None) -> Act:
    """Return what draws its actions itself, so that a distribution is a point."""
    learner, params = _fresh(search), group(policy, 'params')

    def act(observations: Tensor) -> Distribution:
        drawn = learner.policy.distribution(params, observations)
        chosen = squashed.mode(drawn) if generator is None else squashed.sample(drawn, generator)
        return {'mean': chosen, 'log_std': torch.full((chosen.shape[-1],), NO_NOISE)}

    return act


def squashed_network(search: Search[Any]) -> dict[str, Any]:
    """Return what a bundle says of a squashed policy (bundles/policy.py)."""
    return {
        'observation_size': search.env.observation_size,
        'hidden_sizes': search.config.hidden_sizes,
        'squashed': True,
        'min_std': math.exp(squashed.MIN_LOG_STD),
    }
