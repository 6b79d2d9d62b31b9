# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Dynamics models by kind: feed-forward, recurrent with cells of a kind, or several as one."""

from __future__ import annotations

import torch

from mbmrl_ros.models.device import INT8_FEATURE, Precision, cpu_features
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.mean import MeanDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import Cell, RecurrentDynamics
from mbmrl_ros.spec.robot import RobotSpec

Network = MLPDynamics | RecurrentDynamics
DynamicsModel = Network | MeanDynamics


def build_model(
    spec: RobotSpec,
    hidden_sizes: tuple[int, ...],
    cell: Cell | None,
    normalizer: Normalizer | None = None,
    precision: Precision = 'float32',
    input_limit: float | None = None,
) -> Network:
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


def network_of(dynamics: DynamicsModel) -> Network:
    """Return what parameters and statistics are of: of an ensemble a member, for all of them."""
    return dynamics.member if isinstance(dynamics, MeanDynamics) else dynamics


def int8_obstacle(dynamics: DynamicsModel, device: torch.device) -> str:
    """Return why plans cannot be computed in int8; empty where they can."""
    if not isinstance(network_of(dynamics), MLPDynamics):
        return 'which is for feed-forward networks'
    if device.type != 'cpu':
        return 'which is for processors'
    missing = INT8_FEATURE not in cpu_features()
    return f'as this processor has no {INT8_FEATURE}' if missing else ''
