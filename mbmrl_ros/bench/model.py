# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of tick and meta-gradient run on: S = 20, A = 6, three hidden layers."""

from __future__ import annotations

from typing import NamedTuple

import torch

from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.models.device import PlanningPrecision
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Params, Transitions

LAYERS = 3
# Small enough for the loss on the window to fall, so that the step is taken.
STEP_SIZE = 0.01


class Model(NamedTuple):
    """Dynamics with parameters, all layers of which adapt at the same rate."""

    dynamics: MLPDynamics
    params: Params
    step_sizes: Params


def bench_robot() -> RobotSpec:
    """Return the half-cheetah with a twentieth channel."""
    spec = load_robot('half_cheetah')
    channel = spec.state[-1].model_copy(update={'name': 'twentieth'})
    return spec.model_copy(update={'state': (*spec.state, channel)})


def make_model(
    width: int, device: torch.device, precision: PlanningPrecision = 'float32'
) -> Model:
    """Draw a network of three hidden layers of `width`."""
    spec = bench_robot()
    identity = Normalizer.identity(spec.state_size)
    normalizer = Normalizer(**{name: value.to(device) for name, value in vars(identity).items()})
    dynamics = build_dynamics(spec, (width,) * LAYERS, normalizer, precision)
    params = dynamics.init(torch.Generator().manual_seed(0))
    step_sizes = uniform_step_sizes(params, STEP_SIZE)
    return Model(dynamics, _to(params, device), _to(step_sizes, device))


def draw_windows(rows: int, steps: int, seed: int, device: torch.device) -> Transitions:
    """Draw windows [rows, steps, .] whose states and changes have unit variance."""
    spec = bench_robot()
    generator = torch.Generator().manual_seed(seed)
    sizes = (spec.state_size, spec.action_size, spec.state_size)
    states, actions, changes = (
        torch.randn(rows, steps, size, generator=generator) for size in sizes
    )
    return Transitions(states, actions.clamp(-1.0, 1.0), states + changes).to(device)


def _to(params: Params, device: torch.device) -> Params:
    return {name: value.to(device) for name, value in params.items()}
