# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The dynamics model: an MLP on normalised inputs that predicts normalised changes of the state.

Gaussian with fixed variance, so that its negative log-likelihood is the mean squared error up to
a constant (thesis, appendix E; equation 23).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mbmrl_ros.models.device import PlanningPrecision
from mbmrl_ros.models.normalizer import Inputs, Normalizer
from mbmrl_ros.models.packed import PackedMLP
from mbmrl_ros.networks.mlp import init_mlp, mlp, per_row
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Carry, LayerRecord, Params, StepFn, Transitions


@dataclass(frozen=True)
class MLPDynamics:
    """Feed-forward dynamics; parameters are arguments, statistics are fixed members.

    input_indices: channels that feed the network (absolute position does not, though it is
    predicted). precision: of the planner's rollouts only; training and adaptation use float32.
    input_limit: standard deviations beyond which a channel does not count any further. A network
    extrapolates without bounds: a battery 20 % below all that training saw was 38 deviations off,
    and the prediction of every channel with it.
    """

    state_size: int
    action_size: int
    input_indices: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    normalizer: Normalizer
    precision: PlanningPrecision = 'float32'
    input_limit: float | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the network from input to output."""
        return (len(self.input_indices) + self.action_size, *self.hidden_sizes, self.state_size)

    def init(self, generator: torch.Generator) -> Params:
        """Draw parameters.

        The network's inputs pass a scale of their own, one number per input, at first 1. It adds
        nothing to what the network can represent, but to what one gradient step can change: a
        motor that answers half, or not at all, is one number there, whichever motor it is, and
        a different change of every layer without it.
        """
        return {'scale': torch.ones(self.sizes[0])} | init_mlp(self.sizes, generator)

    @cached_property
    def inputs(self) -> Inputs:
        """(state [..., S], action [..., A]) -> the network's input [..., I + A]."""
        return Inputs(self.normalizer, self.input_indices, self.input_limit)

    def step(
        self, params: Params, carry: Carry, state: Tensor, action: Tensor
    ) -> tuple[Carry, Tensor]:
        """Predict the next state [..., S] in units."""
        delta = mlp(params, self.inputs(state, action))
        mean, std = per_row(self.normalizer.delta_mean), per_row(self.normalizer.delta_std)
        return carry, state + mean + std * delta

    def errors(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the squared errors of the normalised changes, [..., S]; carry does not matter."""
        predicted = mlp(params, self.inputs(transitions.states, transitions.actions), records)
        return (predicted - self.normalizer.delta(transitions)).square()

    def loss(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the mean squared error over window and channels, [B] (thesis, equation 23)."""
        return self.errors(params, transitions, records).mean((-2, -1))

    def planning_step(self, params: Params, reuse: StepFn | None = None) -> StepFn:
        """Return `step` with the parameters packed in the planner's precision.

        reuse: what an earlier call returned; its memory then holds the new parameters.
        """
        if not isinstance(reuse, PackedMLP):
            dtype = getattr(torch, self.precision)
            reuse = PackedMLP(self.normalizer, self.input_indices, dtype, self.input_limit)
        return reuse.pack(params)


def build_dynamics(
    spec: RobotSpec,
    hidden_sizes: tuple[int, ...],
    normalizer: Normalizer | None = None,
    precision: PlanningPrecision = 'float32',
    input_limit: float | None = None,
) -> MLPDynamics:
    """Build the model of a robot."""
    return MLPDynamics(
        spec.state_size,
        spec.action_size,
        spec.input_indices,
        hidden_sizes,
        normalizer or Normalizer.identity(spec.state_size),
        precision,
        input_limit,
    )
