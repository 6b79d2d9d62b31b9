# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prediction held against what came: whether a controller knows its robot before it drives it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from mbmrl_ros.models.kinds import DynamicsModel
from mbmrl_ros.types import Carry, Params, Transitions


class PredictionError(NamedTuple):
    """How far off the last period was: mean squared errors of normalised changes.

    adapted: with the parameters that had been adapted just before. no_change: of the prediction
    that nothing changes. NaN where there was no transition.
    """

    adapted: float = math.nan
    no_change: float = math.nan


class PredictionMonitor:
    """Remembers the parameters of a tick, and scores them on the transition that follows."""

    def __init__(self, dynamics: DynamicsModel) -> None:
        """dynamics: of the bundle that plans."""
        self._dynamics = dynamics
        self._params: Params | None = None
        self._carry: Carry = None

    def remember(self, params: Params, carry: Carry = None) -> None:
        """Keep the parameters that a tick has adapted to, and what the model remembers."""
        self._params, self._carry = params, carry

    def forget(self) -> None:
        """Score nothing on what comes next."""
        self._params = None

    @torch.no_grad()
    def score(self, last: Transitions | None) -> PredictionError:
        """Score the parameters of the tick before on what has happened since: [1, 1, .]."""
        if last is None or self._params is None:
            return PredictionError()
        normalizer = self._dynamics.normalizer
        last = last.to(normalizer.delta_std.device)
        change = (last.next_states - last.states) / normalizer.delta_std
        adapted = self._dynamics.loss(self._params, last, carry=self._carry)
        return PredictionError(float(adapted.mean()), float(change.square().mean()))
