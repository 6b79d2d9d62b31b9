# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dynamics models by kind: feed-forward, or recurrent with cells of a kind."""

from __future__ import annotations

from mbmrl_ros.models.device import Precision
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import Cell, RecurrentDynamics
from mbmrl_ros.spec.robot import RobotSpec

DynamicsModel = MLPDynamics | RecurrentDynamics


def build_model(
    spec: RobotSpec,
    hidden_sizes: tuple[int, ...],
    cell: Cell | None,
    normalizer: Normalizer | None = None,
    precision: Precision = 'float32',
    input_limit: float | None = None,
) -> DynamicsModel:
    """Build the model of a robot; cell: None for a feed-forward network."""
    if cell is None:
        return build_dynamics(spec, hidden_sizes, normalizer, precision, input_limit)
    return RecurrentDynamics(
        spec.state_size,
        spec.action_size,
        spec.input_indices,
        hidden_sizes,
        normalizer or Normalizer.identity(spec.state_size),
        precision,
        input_limit,
        cell,
    )
