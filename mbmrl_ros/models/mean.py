# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An ensemble whose members adapt: one model that predicts what they predict on average.

Members are networks of equal sizes that were trained on their own, with statistics of their own.
Parameters have a leading dimension of rows, E as trained, and E x B after adaptation to what B
robots did, all robots of the first member first. So a layer of all members is one batched product,
and every function of one model (models/dynamics.py, adaptation/) serves for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mbmrl_ros.models.device import PlanningPrecision
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.mlp import mlp, per_row
from mbmrl_ros.types import Carry, LayerRecord, Params, StepFn, Transitions


@dataclass(frozen=True)
class MeanDynamics:
    """The mean of E members (types.Dynamics).

    member: a member as functions, with the statistics [E, S] of all. uncertainty_penalty: lambda
    of MOPO (Yu et al. 2020), what a plan's return loses per step and standard deviation of
    disagreement; there the uncertainty is the largest predicted deviation, here it is how much the
    members' means differ, as in MOReL (Kidambi et al. 2020) and plan2explore.
    """

    member: MLPDynamics
    uncertainty_penalty: float = 0.0

    @property
    def members(self) -> int:
        """E."""
        return len(self.member.normalizer.delta_std)

    @property
    def precision(self) -> PlanningPrecision:
        """Of the planner's rollouts."""
        return self.member.precision

    @cached_property
    def normalizer(self) -> Normalizer:
        """The mean of the members' statistics [S]: by which errors of all are measured."""
        return Normalizer(**{k: v.mean(0) for k, v in vars(self.member.normalizer).items()})

    def of_rows(self, rows: int) -> MLPDynamics:
        """Return what moves E x B rows, each by its own member: a network like any other."""
        batch = rows // self.members
        if batch == 1:
            return self.member
        return replace(self.member, normalizer=Normalizer(**by_robot(self._statistics, batch)))

    @property
    def _statistics(self) -> Params:
        return vars(self.member.normalizer)

    def step(
        self, params: Params, carry: Carry, state: Tensor, action: Tensor
    ) -> tuple[Carry, Tensor]:
        """Predict the next state [B, K, S] in units; what is remembered stays as it is."""
        rows = len(params['bias0'])
        dealt = (self._deal(rows, tensor) for tensor in (state, action))
        _, reached = self.of_rows(rows).step(params, None, *dealt)
        return carry, reached.view(self.members, *state.shape).mean(0)

    def errors(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the squared errors of the mean prediction, [B, M, S]; carry does not matter."""
        states, actions, following = transitions
        rows = len(params['bias0'])
        model = self.of_rows(rows)
        inputs = model.inputs(self._deal(rows, states), self._deal(rows, actions))
        mean, std = per_row(model.normalizer.delta_mean), per_row(model.normalizer.delta_std)
        changes = torch.addcmul(mean, std, mlp(params, inputs, records))
        error = changes.view(self.members, *states.shape).mean(0) - (following - states)
        return (error / self.normalizer.delta_std).square()

    def loss(
        self,
        params: Params,
        transitions: Transitions,
        records: list[LayerRecord] | None = None,
        carry: Carry = None,
    ) -> Tensor:
        """Return the mean squared error of the mean prediction [B]."""
        return self.errors(params, transitions, records).mean((-2, -1))

    def planning_step(self, params: Params, reuse: StepFn | None = None) -> StepFn:
        """Return `step` with packed parameters, which remembers what `penalty` asks for."""
        return (reuse if isinstance(reuse, MeanStep) else MeanStep(self)).pack(params)

    def penalty(self, carry: Carry) -> Tensor:
        """Return what uncertainty on the way takes off returns [B, K] (types.PenaltyFn)."""
        disagreement: Tensor = carry
        return self.uncertainty_penalty * disagreement

    def _deal(self, rows: int, tensor: Tensor) -> Tensor:
        """Return [B, K, .] for every member, as rows of parameters expect it."""
        everyone = tensor.expand(self.members, *tensor.shape)
        return everyone.reshape(rows, -1, tensor.shape[-1])


class MeanStep:
    """A StepFn. The carry is the disagreement so far [B, K], where it costs anything.

    Of a step that is the standard deviation of the members' predictions, in those of the changes
    in training, and its mean over channels.
    """

    def __init__(self, dynamics: MeanDynamics) -> None:
        """dynamics: of which parameters will be packed."""
        self._dynamics, self._rows = dynamics, 0
        self._members: StepFn | None = None

    def pack(self, params: Params) -> MeanStep:
        """Take parameters of E or E x B rows, into the memory of those before."""
        rows = len(params['bias0'])
        model = self._dynamics.of_rows(rows)
        # Another number of rows has other statistics.
        reuse = self._members if rows == self._rows else None
        self._members, self._rows = model.planning_step(params, reuse), rows
        return self

    def __call__(self, carry: Carry, state: Tensor, action: Tensor) -> tuple[Carry, Tensor]:
        """Predict the next states [B, K, S] in units."""
        assert self._members is not None, 'no parameters were packed'
        members = self._dynamics.members
        dealt = (tensor.expand(members, *tensor.shape) for tensor in (state, action))
        _, reached = self._members(None, *dealt)
        if not self._dynamics.uncertainty_penalty:
            return carry, reached.mean(0)
        std, mean = torch.std_mean(reached, 0, correction=0)
        apart = (std / self._dynamics.normalizer.delta_std).mean(-1)
        return apart if carry is None else carry + apart, mean


def by_robot(values: Params, batch: int) -> Params:
    """Return values of members [E, ...] as those of E x B rows."""
    if batch == 1:
        return values
    return {name: value.repeat_interleave(batch, 0) for name, value in values.items()}
