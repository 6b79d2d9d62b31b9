# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics of states and of their changes, refitted on all training data before every fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.networks.mlp import per_row
from mbmrl_ros.types import Transitions

# Relative to the largest value of a channel. What changes by less is how float32 rounds: a value
# that wavers between two neighbours is off by one resolution (1.2e-7), a difference of two by two.
RESOLUTION = 8 * torch.finfo(torch.float32).eps


class Moments(NamedTuple):
    """What statistics need of n pieces of data, in float64: steps [n, 1], everything else [n, S].

    squares: summed, about the mean. largest: magnitude of a state.
    """

    steps: Tensor
    state_mean: Tensor
    state_squares: Tensor
    largest: Tensor
    delta_mean: Tensor
    delta_squares: Tensor

    @classmethod
    def of(cls, transitions: Transitions) -> Moments:
        """Return those of one piece, of transitions [T, .], T > 0."""
        states = transitions.states.double()
        deltas = transitions.next_states.double() - states
        means = states.mean(0, keepdim=True), deltas.mean(0, keepdim=True)
        squares = [
            (values - mean).square().sum(0, keepdim=True)
            for values, mean in zip((states, deltas), means)
        ]
        steps = states.new_full((1, 1), len(states))
        largest = states.abs().amax(0, keepdim=True)
        return cls(steps, means[0], squares[0], largest, means[1], squares[1])


@dataclass(frozen=True)
class Normalizer:
    """Means and standard deviations, each [S], in the units of the robot file.

    Or [B, S], one set per row, where members of an ensemble have each their own (models/mean.py).

    Actions are not in here: they are scaled to -1..1 by their limits. The published code
    normalises every iteration's data with that iteration's statistics and mixes them in one
    dataset; here data is stored raw and all of it normalised alike.
    """

    state_mean: Tensor
    state_std: Tensor
    delta_mean: Tensor
    delta_std: Tensor

    @classmethod
    def identity(cls, state_size: int) -> Normalizer:
        """Return statistics that change nothing."""
        zeros, ones = torch.zeros(state_size), torch.ones(state_size)
        return cls(zeros, ones, zeros, ones)

    @classmethod
    def fit(cls, transitions: Transitions) -> Normalizer:
        """Fit to transitions [.., S].

        A channel that never changes by more than float32 rounds it gets a deviation of 1, and so
        does a change that is no more than the rounding of the states that it is between.
        """
        states = transitions.states.flatten(0, -2).double()
        deltas = transitions.next_states.flatten(0, -2).double() - states
        rounding = RESOLUTION * (1 + states.abs().amax(0))
        return cls(
            states.mean(0).float(),
            _deviation(states.std(0), rounding),
            deltas.mean(0).float(),
            _deviation(deltas.std(0), rounding),
        )

    @classmethod
    def merged(cls, pieces: Moments) -> Normalizer:
        """Return what `fit` gives of all pieces together, but for how float64 rounds.

        Pairwise, by Chan, Golub and LeVeque (1979): what was seen before need not be seen again.
        """
        rounding = RESOLUTION * (1 + pieces.largest.amax(0))
        return cls(
            *_merged(pieces.steps, pieces.state_mean, pieces.state_squares, rounding),
            *_merged(pieces.steps, pieces.delta_mean, pieces.delta_squares, rounding),
        )

    def delta(self, transitions: Transitions) -> Tensor:
        """Return the normalised change [..., S] that the network has to predict."""
        change = transitions.next_states - transitions.states
        return (change - per_row(self.delta_mean)) / per_row(self.delta_std)


class Inputs:
    """What a network sees: some channels of the state, normalised, and the action."""

    def __init__(
        self, normalizer: Normalizer, indices: tuple[int, ...], limit: float | None
    ) -> None:
        """limit: standard deviations beyond which a channel does not count any further."""
        self._columns = torch.tensor(indices, device=normalizer.state_mean.device)
        self._mean = per_row(normalizer.state_mean[..., self._columns])
        self._std = per_row(normalizer.state_std[..., self._columns])
        self._limit = limit

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the network's input [..., I + A]."""
        channels = (state.index_select(-1, self._columns) - self._mean) / self._std
        if self._limit is not None:
            channels = channels.clamp(-self._limit, self._limit)
        return torch.cat([channels, action], -1)


def _merged(
    steps: Tensor, means: Tensor, squares: Tensor, rounding: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [S] of pieces [n, S]."""
    total = steps.sum()
    mean = (steps * means).sum(0) / total
    about = (squares + steps * (means - mean).square()).sum(0)
    return mean.float(), _deviation((about / (total - 1)).sqrt(), rounding)


def _deviation(deviation: Tensor, rounding: Tensor) -> Tensor:
    """Return standard deviations [S]; 1 where they are no more than rounding."""
    return torch.where(deviation <= rounding, 1.0, deviation).float()
