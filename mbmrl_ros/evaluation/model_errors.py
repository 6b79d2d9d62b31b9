# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the models of a training are off over the horizon, each on its own, and how they differ.

A model begins in a state of a real rollout and is given the actions that were taken there. Errors
and disagreement are in standard deviations of the states of the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.models.ensemble import Ensemble
from mbmrl_ros.networks.params import group
from mbmrl_ros.training.run import read_checkpoint
from mbmrl_ros.training.search.stages import Models

HORIZONS = (1, 2, 5, 10, 20, 50, 100)
# Steps between two starts in a rollout.
STRIDE = 10


class HorizonErrors(NamedTuple):
    """horizons: [h] steps. errors: [h, E], root mean squares over starts and channels of what each
    model is off. disagreement: [h], of how far models are off their mean.
    """

    horizons: list[int]
    errors: Tensor
    disagreement: Tensor

    def summary(self) -> dict[str, Any]:
        """Return what is reported."""
        return {
            'horizons': self.horizons,
            'model_errors': self.errors.T.tolist(),
            'disagreement': self.disagreement.tolist(),
        }


def trained_models(run: Path) -> Models | None:
    """Return the models of a run as they were after its last iteration; None if it has none.

    A policy that learned beside a robot has its models in another folder.
    """
    known = group(read_checkpoint(run)[1], 'models')
    return Models.from_tensors(known) if known else None


@torch.no_grad()
def horizon_errors(ensemble: Ensemble, trajectories: list[Trajectory]) -> HorizonErrors:
    """Predict real rollouts from every tenth of their states on."""
    longest = max(trajectory.steps for trajectory in trajectories)
    horizons = [steps for steps in HORIZONS if steps <= longest]
    dynamics, params = ensemble
    predict, scale = dynamics.packed(params), dynamics.normalizer.state_std
    squared, apart, counts = _Sums(horizons), _Sums(horizons), _Sums(horizons)
    for trajectory in trajectories:
        starts = torch.arange(0, trajectory.steps, STRIDE)
        states = trajectory.states[starts].expand(dynamics.members, -1, -1)
        for step in range(1, min(trajectory.steps, horizons[-1]) + 1):
            inside = starts + step <= trajectory.steps
            starts, states = starts[inside], states[:, inside]
            actions = trajectory.actions[starts + step - 1].expand(dynamics.members, -1, -1)
            states = predict(states.contiguous(), actions.contiguous())
            if step in horizons:
                off = (states - trajectory.states[starts + step]) / scale
                spread = (states - states.mean(0)) / scale
                squared.add(step, off.square().sum((1, 2)))
                apart.add(step, spread.square().sum((1, 2)).mean(0, keepdim=True))
                counts.add(step, torch.tensor([float(off[0].numel())]))
    sizes = counts.rows()
    return HorizonErrors(
        horizons, (squared.rows() / sizes).sqrt(), (apart.rows() / sizes).sqrt()[:, 0]
    )


class _Sums:
    """Sums by horizon."""

    def __init__(self, horizons: list[int]) -> None:
        self._sums: dict[int, Tensor] = {steps: torch.zeros(1) for steps in horizons}

    def add(self, steps: int, values: Tensor) -> None:
        self._sums[steps] = self._sums[steps] + values

    def rows(self) -> Tensor:
        return torch.stack(list(self._sums.values()))
