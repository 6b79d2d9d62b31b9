# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In which precision to plan with a bundle, and how far int8 is off."""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle, on_device
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.models.kinds import int8_obstacle, network_of

ROWS = 512


def planning_in(bundle: Bundle, wanted: str, device: torch.device) -> tuple[Bundle, str]:
    """Return the bundle on a device, planning in a precision, and what to say of int8.

    int8 is only taken where it is asked for: how near it is to float32 depends on the network.
    Where it cannot be computed float32 is taken. UserError on an unknown precision.
    """
    if wanted != 'int8':
        return on_device(bundle, device, choose_precision(wanted, device)), ''
    obstacle = int8_obstacle(bundle.dynamics, device)
    exact = on_device(bundle, device, 'float32')
    if obstacle:
        return exact, f'planning in float32: int8 is not possible, {obstacle}'
    rounded = on_device(bundle, device, 'int8')
    error = rounding_error(exact, rounded)
    return rounded, f'planning in int8, which is off by {error:.1%} of what changes in a step'


def rounding_error(exact: Bundle, rounded: Bundle) -> float:
    """Return how far predictions are apart, as a share of the changes that are predicted.

    On states that are drawn as the training's statistics say, and actions from their whole range.
    """
    normalizer = exact.dynamics.normalizer
    generator = torch.Generator().manual_seed(0)
    network = network_of(exact.dynamics)
    noise = torch.randn(1, ROWS, network.state_size, generator=generator)
    states = torch.addcmul(normalizer.state_mean, noise, normalizer.state_std)
    actions = torch.rand(1, ROWS, network.action_size, generator=generator) * 2.0 - 1.0

    def predicted(bundle: Bundle) -> Tensor:
        reached = bundle.dynamics.planning_step(bundle.params)(None, states, actions)[1]
        return (reached - states) / normalizer.delta_std

    with torch.no_grad():
        change = predicted(exact)
        return float((predicted(rounded) - change).norm() / change.norm())
