# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and its critics beside a model: what a planner is proposed, and what comes later.

A plan of H steps of a model earns sum_t r_t + w V(s_H), with V(s) = min_c Q_c(s, pi(s)) and
pi(s) = tanh(mean(s)) (Lowrey et al. 2019, POLO; Clavera et al. 2020, MAAC; TD-MPC).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from pydantic import Field
from torch import Tensor

from mbmrl_ros.bundles.files import misfit
from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Config, UserError
from mbmrl_ros.networks.critic import Critic
from mbmrl_ros.networks.params import group
from mbmrl_ros.policies.squashed import SquashedPolicy, mode
from mbmrl_ros.types import Params


class ActorInfo(Config):
    """What builds a policy and its critics, and where they are from."""

    algorithm: str = Field(description='that trained the policy')
    task: str = Field(description='that the policy was trained for')
    hidden_sizes: tuple[int, ...] = Field(
        description='units of each hidden layer, of all networks'
    )
    whole_state: bool = Field(
        False, description='whether they are shown channels with `input: false` too'
    )
    critics: int = Field(0, ge=0, description='how many; 0: the policy alone')
    value_weight: float = Field(1.0, ge=0, description='of what critics say of the last state')


@dataclass(frozen=True)
class Actor:
    """A squashed policy with its critics, as functions of whole states.

    observed: which of a state they are shown. tensors: actor/NAME, critic/NAME.
    """

    info: ActorInfo
    observed: Tensor
    action_size: int
    tensors: Params

    def propose(self, states: Tensor) -> Tensor:
        """Return the policy's action [..., A] in states [..., S] (types.ProposalFn)."""
        return self._act(self._observe(states))

    def value(self, states: Tensor) -> Tensor:
        """Return the weighted value [...] of states [..., S] (types.ValueFn)."""
        seen = self._observe(states).flatten(0, -2)
        worth = self._critic.smallest(self._critics, seen, self._act(seen))
        return self.info.value_weight * worth.view(states.shape[:-1])

    @property
    def has_value(self) -> bool:
        """Whether there are critics, and they count."""
        return bool(self.info.critics and self.info.value_weight)

    def to(self, device: torch.device) -> Actor:
        """Return it on a device."""
        tensors = {name: value.to(device) for name, value in self.tensors.items()}
        return Actor(self.info, self.observed.to(device), self.action_size, tensors)

    def _observe(self, states: Tensor) -> Tensor:
        return states.index_select(-1, self.observed)

    def _act(self, seen: Tensor) -> Tensor:
        return mode(self._policy.distribution(self._params, seen))

    @cached_property
    def _params(self) -> Params:
        return group(self.tensors, 'actor')

    @cached_property
    def _critics(self) -> Params:
        return group(self.tensors, 'critic')

    @cached_property
    def _policy(self) -> SquashedPolicy:
        return SquashedPolicy(len(self.observed), self.action_size, self.info.hidden_sizes)

    @cached_property
    def _critic(self) -> Critic:
        sizes = len(self.observed), self.action_size, self.info.hidden_sizes
        return Critic(*sizes, max(1, self.info.critics))

    def check(self, name: str) -> Actor:
        """Return it, or raise UserError where its tensors are of other networks."""
        drawn = {f'actor/{k}': v for k, v in self._policy.init(torch.Generator()).items()}
        if self.info.critics:
            critics = self._critic.init(torch.Generator())
            drawn |= {f'critic/{k}': v for k, v in critics.items()}
        wrong = misfit(drawn, self.tensors)
        if wrong is not None:
            raise UserError(
                f'{name} is damaged: {wrong.name} of its policy should be {wrong.wanted}, it is '
                f'{wrong.found}'
            )
        return self


def make_actor(
    policy: PolicyBundle, critics: Params, observed: tuple[int, ...], value_weight: float = 1.0
) -> Actor:
    """Return a policy of a bundle with its critics. observed: what it is shown of a state.

    UserError where a planner cannot ask it, as its actions depend on more than the state.
    """
    info = policy.info
    if not info.squashed or any(name.startswith('normalizer/') for name in policy.tensors):
        raise UserError(
            f'a policy of {info.algorithm} cannot propose to a planner: it needs one whose '
            'actions a tanh bounds, of observations as they are (maac, sac)'
        )
    if len(observed) != info.observation_size:
        raise UserError(
            f'the policy is damaged: it has {info.observation_size} inputs, its robot shows it '
            f'{len(observed)}'
        )
    about = ActorInfo(
        algorithm=info.algorithm,
        task=info.task,
        hidden_sizes=info.hidden_sizes,
        whole_state=info.whole_state,
        critics=len(critics['bias0']) if critics else 0,
        value_weight=value_weight,
    )
    tensors = {f'actor/{name}': value for name, value in policy.params.items()}
    tensors |= {f'critic/{name}': value for name, value in critics.items()}
    shown = torch.tensor(observed)
    return Actor(about, shown, info.action_size, tensors).check('the policy')
