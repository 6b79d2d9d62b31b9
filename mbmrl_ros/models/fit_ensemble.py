# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One fit of all members of an ensemble, each with a validation part and a stop of its own.

A member that stopped keeps the weights of its best epoch and the moments of its last one, while
the others go on as if it had never been there: no member knows of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.models.ensemble import EnsembleDynamics
from mbmrl_ros.types import Params, Transitions

BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass
class EnsembleState:
    """Parameters [E, ...] and Adam's moments of them, with the updates [E] that were taken."""

    params: Params
    first: Params
    second: Params
    steps: Tensor

    @classmethod
    def of(cls, params: Params) -> EnsembleState:
        """Begin with moments of zero."""
        zeros = {name: torch.zeros_like(value) for name, value in params.items()}
        members = len(next(iter(params.values())))
        return cls(params, zeros, {k: v.clone() for k, v in zeros.items()}, torch.zeros(members))

    @classmethod
    def from_tensors(cls, tensors: Params) -> EnsembleState:
        """Return what `tensors` gave."""
        groups: dict[str, Params] = {'params': {}, 'first': {}, 'second': {}}
        for name, value in tensors.items():
            group, _, rest = name.partition('/')
            if group in groups:
                groups[group][rest] = value.clone()
        return cls(groups['params'], groups['first'], groups['second'], tensors['steps'].clone())

    def tensors(self) -> Params:
        """Return all of it by name, for a file."""
        groups = {'params': self.params, 'first': self.first, 'second': self.second}
        named = {f'{group}/{k}': v for group, each in groups.items() for k, v in each.items()}
        return named | {'steps': self.steps}

    def part(self, rows: Tensor) -> EnsembleState:
        """Return copies of some members' rows."""
        params, first, second = (
            {name: value[rows] for name, value in group.items()}
            for group in (self.params, self.first, self.second)
        )
        return EnsembleState(params, first, second, self.steps[rows])

    def put(self, rows: Tensor, part: EnsembleState) -> None:
        """Write members' rows back."""
        for mine, theirs in (
            (self.params, part.params),
            (self.first, part.first),
            (self.second, part.second),
        ):
            for name, value in mine.items():
                value[rows] = theirs[name].detach()
        self.steps[rows] = part.steps

    @torch.no_grad()
    def descend(self, gradients: Params, learning_rate: float) -> None:
        """Take a step of Adam (Kingma and Ba 2015, algorithm 1), each member by its own count."""
        self.steps += 1
        bias = 1 - torch.tensor(BETAS)[:, None] ** self.steps
        for name, value in self.params.items():
            shape = (-1, *[1] * (value.dim() - 1))
            rate, root = (learning_rate / bias[0]).view(shape), bias[1].sqrt().view(shape)
            gradient, first, second = gradients[name], self.first[name], self.second[name]
            first.lerp_(gradient, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
            value.sub_(first * rate / (second.sqrt().div_(root).add_(EPSILON)))


@dataclass(frozen=True)
class EnsembleSchedule:
    """How long a fit takes; as FitSchedule (models/fit.py), for each member."""

    epochs: int
    batch_size: int
    learning_rate: float
    persistency: float
    patience: int


class EnsembleData(NamedTuple):
    """Transitions [n, .], and which of them each member is stopped by: bool [n, E]."""

    transitions: Transitions
    validation: Tensor


class EnsembleFit(NamedTuple):
    """How a fit went, per member [E]: validation errors before and at its best, epochs taken."""

    before: Tensor
    best: Tensor
    epochs: Tensor


OnEpoch = Callable[[int, Tensor], None]
"""(epoch, validation errors [E])."""


def fit_ensemble(
    dynamics: EnsembleDynamics,
    state: EnsembleState,
    data: EnsembleData,
    schedule: EnsembleSchedule,
    generator: torch.Generator,
    on_epoch: OnEpoch = lambda epoch, errors: None,
) -> EnsembleFit:
    """Fit in place and leave every member at its best validation error.

    An error that is not finite counts as none: the member goes back to its best, without moments.
    """
    training, held = (_rows(mask) for mask in (~data.validation, data.validation))
    before = _errors(dynamics, state.params, data.transitions, held)
    best = torch.where(before.isfinite(), before, torch.inf)
    rolling, lowest, epochs = best.clone(), best.clone(), torch.zeros(len(best))
    kept = {name: value.clone() for name, value in state.params.items()}
    waited = torch.zeros(len(best))
    for epoch in range(1, schedule.epochs + 1):
        active = (waited < schedule.patience).nonzero()[:, 0]
        if not len(active):
            break
        part = state.part(active)
        orders = [rows[torch.randperm(len(rows), generator=generator)] for rows in training]
        _epoch(dynamics, part, data.transitions, torch.stack(orders)[active], schedule)
        errors = _errors(dynamics, part.params, data.transitions, held[active])
        state.put(active, part)
        epochs[active] = epoch
        broken = active[~(errors.isfinite() & _finite(part))]
        _put_back(state, kept, broken)
        errors = torch.full_like(best, torch.inf).index_put((active,), errors)
        errors = torch.where(errors.isfinite(), errors, torch.inf)
        better = active[errors[active] < best[active]]
        best[better] = errors[better]
        for name, value in kept.items():
            value[better] = state.params[name][better]
        p = schedule.persistency
        followed = torch.where(rolling.isfinite(), p * rolling + (1 - p) * errors, errors)
        rolling = torch.where(errors.isfinite(), followed, rolling)
        waited[active] = torch.where(rolling < lowest, 0.0, waited + 1)[active]
        lowest = torch.minimum(lowest, rolling)
        on_epoch(epoch, errors)
    for name, value in state.params.items():
        value.copy_(kept[name])
    return EnsembleFit(before, best, epochs)


def _rows(mask: Tensor) -> Tensor:
    """Return as many rows for every member as each of them has: [E, n]."""
    rows = [column.nonzero()[:, 0] for column in mask.T]
    count = min(map(len, rows))
    if not count:
        raise ValueError('a member has nothing to learn from, or nothing to be stopped by')
    return torch.stack([each[:count] for each in rows])


def _take(transitions: Transitions, rows: Tensor) -> Transitions:
    return Transitions(*(tensor[rows] for tensor in transitions))


def _epoch(
    dynamics: EnsembleDynamics,
    state: EnsembleState,
    transitions: Transitions,
    orders: Tensor,
    schedule: EnsembleSchedule,
) -> None:
    size = min(schedule.batch_size, orders.shape[1])
    for first in range(0, orders.shape[1] - size + 1, size):
        leaves = {name: value.requires_grad_() for name, value in state.params.items()}
        batch = _take(transitions, orders[:, first : first + size])
        loss = dynamics.losses(leaves, batch).sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        state.descend(dict(zip(leaves, gradients)), schedule.learning_rate)


@torch.no_grad()
def _errors(
    dynamics: EnsembleDynamics, params: Params, transitions: Transitions, rows: Tensor
) -> Tensor:
    return dynamics.errors(params, _take(transitions, rows))


def _finite(state: EnsembleState) -> Tensor:
    """Return which members' parameters and moments are finite [E]."""
    groups = (state.params, state.first, state.second)
    each = [v.isfinite().flatten(1).all(1) for group in groups for v in group.values()]
    return torch.stack(each).all(0)


def _put_back(state: EnsembleState, kept: Params, rows: Tensor) -> None:
    for name, value in state.params.items():
        value[rows] = kept[name][rows]
        state.first[name][rows] = 0.0
        state.second[name][rows] = 0.0
    state.steps[rows] = 0.0
