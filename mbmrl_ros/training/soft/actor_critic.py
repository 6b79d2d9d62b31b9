# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A soft actor-critic's parts: a squashed policy, two critics with slow copies, a temperature.

Haarnoja et al. 2018 (SAC), with the temperature learned for a target entropy of -|A|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.config import Config, Positive, Width
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.critic import Critic
from mbmrl_ros.networks.params import group
from mbmrl_ros.policies.squashed import SquashedPolicy
from mbmrl_ros.training.run import optimiser_tensors, restore_optimiser
from mbmrl_ros.types import Params

MOST = 10.0
"""How many times larger or smaller the deviation of an input becomes, and is the same input."""


class ActorCriticConfig(Config):
    """Settings of a soft actor-critic (MAAC, appendix: 256-256, 3e-4, 0.99, 0.005)."""

    hidden_sizes: tuple[Width, ...] = Field((256, 256), description='relu layers of all networks')
    learning_rate: Positive = Field(3e-4, description='Adam, of policy, critics and temperature')
    discount: float = Field(0.99, ge=0, lt=1, description='gamma')
    tau: float = Field(0.005, gt=0, le=1, description='how far slow critics follow per update')
    update_batch_size: int = Field(256, ge=2, description='states per update')
    init_temperature: Positive = Field(0.1, description='weight of the entropy at the start')
    target_entropy: float | None = Field(None, description='default: minus the actions, -|A|')


@dataclass
class ActorCritic:
    """What is trained, with its optimiser.

    trained: params/NAME of the policy, critic/NAME, log_temperature. slow: target/NAME, the slow
    critics.
    """

    policy: SquashedPolicy
    critic: Critic
    config: ActorCriticConfig
    trained: Params
    optimiser: torch.optim.Optimizer
    slow: Params

    @property
    def params(self) -> Params:
        """Those of the policy."""
        return group(self.trained, 'params')

    @property
    def critics(self) -> Params:
        """Those of the critics."""
        return group(self.trained, 'critic')

    @property
    def slow_critics(self) -> Params:
        """Those of the critics' slow copies."""
        return group(self.slow, 'target')

    @property
    def temperature(self) -> Tensor:
        """The weight of the entropy, a constant."""
        return self.trained['log_temperature'].detach().exp()

    @property
    def target_entropy(self) -> float:
        """Which entropy the temperature is learned for."""
        chosen = self.config.target_entropy
        return -float(self.policy.action_size) if chosen is None else chosen


def init_actor_critic(
    observation_size: int, action_size: int, config: ActorCriticConfig, seed: int
) -> ActorCritic:
    """Draw policy and critics, and make the Adam that trains them."""
    generator = torch.Generator().manual_seed(seed)
    policy = SquashedPolicy(observation_size, action_size, config.hidden_sizes)
    critic = Critic(observation_size, action_size, config.hidden_sizes)
    drawn = {'params': policy.init(generator), 'critic': critic.init(generator)}
    trained = {f'{part}/{k}': v for part, each in drawn.items() for k, v in each.items()}
    trained['log_temperature'] = torch.tensor(math.log(config.init_temperature))
    leaves = [value.requires_grad_() for name, value in trained.items() if _learned(name)]
    optimiser = torch.optim.Adam(leaves, lr=config.learning_rate, fused=True)
    slow = {f'target/{name}': value.detach().clone() for name, value in drawn['critic'].items()}
    return ActorCritic(policy, critic, config, trained, optimiser, slow)


def tensors(learner: ActorCritic) -> Params:
    """Return all that it needs to go on, by name."""
    kept = {name: value.detach().clone() for name, value in learner.trained.items()}
    return kept | learner.slow | optimiser_tensors(learner.optimiser)


@torch.no_grad()
def restore(learner: ActorCritic, known: Params) -> None:
    """Put back what `tensors` returned."""
    for name, value in (*learner.trained.items(), *learner.slow.items()):
        value.copy_(known[name])
    restore_optimiser(learner.optimiser, known)


def _learned(name: str) -> bool:
    """Whether a tensor is learned: what inputs are scaled by is measured."""
    return not name.endswith(('/scale', '/shift'))


@torch.no_grad()
def scale_inputs(learner: ActorCritic, statistics: Normalizer, observed: Tensor) -> None:
    """Let all networks see observations less their mean and over their standard deviation.

    What they say of an observation stays as it is: their first layers take the change back (as
    PopArt does at the other end: van Hasselt et al. 2016). Only before they have learned anything
    their weights count as drawn for inputs of mean 0 and deviation 1, and so do those of a channel
    whose deviation is another one by more than MOST: of it next to nothing was learned.
    """
    scale = 1.0 / statistics.state_std[observed]
    shift = -statistics.state_mean[observed] * scale
    for network in (learner.params, learner.critics, learner.slow_critics):
        if 'scale' not in network:
            continue
        old_scale, old_shift = network['scale'][: len(scale)], network['shift'][: len(scale)]
        ratio = old_scale / scale
        alike = (ratio < MOST) & (ratio > 1.0 / MOST)
        if learner.optimiser.state:
            columns = network['weight0'][..., : len(scale)]
            network['bias0'] += columns @ torch.where(alike, old_shift - shift * ratio, 0.0)
            columns *= torch.where(alike, ratio, 1.0)
        old_scale.copy_(scale)
        old_shift.copy_(shift)


def descend(learner: ActorCritic, loss: Tensor, *parts: str) -> None:
    """Take a step of Adam down a loss with some parts alone: params, critic, log_temperature."""
    named = learner.trained.items()
    leaves = [value for name, value in named if name.startswith(parts) and value.requires_grad]
    for leaf, slope in zip(leaves, torch.autograd.grad(loss, leaves)):
        # A fused Adam goes through memory in order: a gradient that is stored otherwise, as those
        # of batched products are, would move the wrong weights.
        leaf.grad = slope.contiguous()
    learner.optimiser.step()
    learner.optimiser.zero_grad()


@torch.no_grad()
def follow(learner: ActorCritic) -> None:
    """Let the slow critics follow by tau."""
    names = [name for name in learner.critics if name not in ('scale', 'shift')]
    slow = [learner.slow[f'target/{name}'] for name in names]
    quick = [learner.trained[f'critic/{name}'] for name in names]
    torch._foreach_lerp_(slow, quick, learner.config.tau)
