# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An ensemble of dynamics models: every parameter has a leading dimension of members.

A layer of all members is one batched product. A member predicts normalised changes of the state,
by their mean alone (ME-TRPO, MB-MPO: mean squared error) or by a Gaussian whose variance depends
on the input (MAAC, MBPO: negative log-likelihood; PETS, Chua et al. 2018, appendix A.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, silu, softplus

from mbmrl_ros.models.normalizer import Inputs, Normalizer
from mbmrl_ros.models.packed import PackedMLP
from mbmrl_ros.networks.mlp import Activation, init_mlp, mlp
from mbmrl_ros.types import Params, Transitions

ActivationName = Literal['relu', 'tanh', 'swish']
ACTIVATIONS: dict[ActivationName, Activation] = {'relu': relu, 'tanh': torch.tanh, 'swish': silu}
# Where the learned bounds of a log-variance begin, and how hard they are pulled together.
MAX_LOG_VAR, MIN_LOG_VAR, BOUND_WEIGHT = 0.5, -10.0, 0.01
# Standard deviations of the data beyond which nothing is believed to change in a step: where a
# model extrapolates, one path in a thousand would else decide on the mean return of all.
CHANGE_LIMIT = 10.0

NextState = Callable[[Tensor, Tensor], Tensor]
"""(states [E, K, S], actions [E, K, A]) -> next states [E, K, S]."""


class Prediction(NamedTuple):
    """Normalised changes [E, K, S]: their mean, and their log-variance if there is one."""

    mean: Tensor
    log_var: Tensor | None


@dataclass(frozen=True)
class EnsembleDynamics:
    """E models as functions of their parameters; statistics are fixed members.

    input_indices: channels that feed the networks. weight_norm: every weight is a direction times
    a length (Salimans and Kingma 2016). probabilistic: whether a member predicts a variance.
    """

    members: int
    state_size: int
    action_size: int
    input_indices: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    normalizer: Normalizer
    activation: ActivationName = 'relu'
    probabilistic: bool = False
    weight_norm: bool = False
    input_limit: float | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of a network from input to output."""
        outputs = self.state_size * (2 if self.probabilistic else 1)
        return (len(self.input_indices) + self.action_size, *self.hidden_sizes, outputs)

    @cached_property
    def inputs(self) -> Inputs:
        """(states [..., S], actions [..., A]) -> the networks' inputs [..., I + A]."""
        return Inputs(self.normalizer, self.input_indices, self.input_limit)

    def init(self, generator: torch.Generator) -> Params:
        """Draw the members one after the other; every tensor has a leading E."""
        drawn = [init_mlp(self.sizes, generator) for _ in range(self.members)]
        params = {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}
        if self.weight_norm:
            for layer in range(len(self.sizes) - 1):
                params[f'length{layer}'] = params[f'weight{layer}'].norm(dim=-1)
        if self.probabilistic:
            shape = self.members, self.state_size
            params['max_log_var'] = torch.full(shape, MAX_LOG_VAR)
            params['min_log_var'] = torch.full(shape, MIN_LOG_VAR)
        return params

    def weights(self, params: Params) -> Params:
        """Return weight{l} [E, out, in] and bias{l} [E, out], with lengths multiplied in."""
        plain = {k: v for k, v in params.items() if k.startswith(('weight', 'bias'))}
        for layer in range(len(self.sizes) - 1) if self.weight_norm else ():
            weight, length = params[f'weight{layer}'], params[f'length{layer}']
            plain[f'weight{layer}'] = weight * (length / weight.norm(dim=-1))[..., None]
        return plain

    def changes(self, params: Params, states: Tensor, actions: Tensor) -> Prediction:
        """Return normalised changes for states [E, K, S] and actions [E, K, A]."""
        inputs = self.inputs(states, actions)
        activation = ACTIVATIONS[self.activation]
        outputs = mlp(self.weights(params), inputs, activation=activation)
        if not self.probabilistic:
            return Prediction(outputs, None)
        mean, log_var = outputs.chunk(2, -1)
        high, low = params['max_log_var'][:, None], params['min_log_var'][:, None]
        log_var = high - softplus(high - log_var)
        return Prediction(mean, low + softplus(log_var - low))

    def predict(
        self,
        params: Params,
        states: Tensor,
        actions: Tensor,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return next states [E, K, S], differentiable; with a generator, drawn from a Gaussian.

        Without one, or without a variance, they are the mean.
        """
        change, log_var = self.changes(params, states, actions)
        change = change.clamp(-CHANGE_LIMIT, CHANGE_LIMIT)
        if log_var is not None and generator is not None:
            noise = torch.randn(change.shape, generator=generator, dtype=change.dtype)
            change = torch.addcmul(change, noise, (0.5 * log_var).exp())
        normalizer = self.normalizer
        return states + torch.addcmul(normalizer.delta_mean, change, normalizer.delta_std)

    def packed(self, params: Params, generator: torch.Generator | None = None) -> NextState:
        """Return `predict` for many calls with the same parameters, without gradients."""
        weights = {name: value.detach() for name, value in self.weights(params).items()}
        if self.probabilistic or self.activation != 'relu':
            fixed = {name: value.detach() for name, value in params.items()} | weights
            plain = replace(self, weight_norm=False)
            return lambda states, actions: plain.predict(fixed, states, actions, generator)
        network = PackedMLP(
            self.normalizer, self.input_indices, weights['bias0'].dtype, self.input_limit
        ).pack(weights)
        reach = CHANGE_LIMIT * self.normalizer.delta_std
        low, high = self.normalizer.delta_mean - reach, self.normalizer.delta_mean + reach

        def step(states: Tensor, actions: Tensor) -> Tensor:
            reached = network(None, states, actions)[1]
            return torch.clamp(reached, states + low, states + high, out=reached)

        return step

    def errors(self, params: Params, transitions: Transitions) -> Tensor:
        """Return the mean squared error of normalised changes [E] on transitions [E, K, .]."""
        mean = self.changes(params, transitions.states, transitions.actions).mean
        return (mean - self.normalizer.delta(transitions)).square().mean((-2, -1))

    def losses(self, params: Params, transitions: Transitions) -> Tensor:
        """Return what each member descends [E] on transitions [E, K, .]."""
        mean, log_var = self.changes(params, transitions.states, transitions.actions)
        squared = (mean - self.normalizer.delta(transitions)).square()
        if log_var is None:
            return squared.mean((-2, -1))
        likelihood = (squared * (-log_var).exp() + log_var).mean((-2, -1))
        apart = params['max_log_var'].sum(-1) - params['min_log_var'].sum(-1)
        return likelihood + BOUND_WEIGHT * apart


class Ensemble(NamedTuple):
    """Models and their parameters: what imagined rollouts are made with."""

    dynamics: EnsembleDynamics
    params: Params

    def member(self, index: int) -> Ensemble:
        """Return one member as an ensemble of its own."""
        return self.only([index])

    def only(self, indices: list[int]) -> Ensemble:
        """Return some of the members."""
        rows = torch.tensor(indices)
        params = {name: value[rows] for name, value in self.params.items()}
        return Ensemble(replace(self.dynamics, members=len(indices)), params)
