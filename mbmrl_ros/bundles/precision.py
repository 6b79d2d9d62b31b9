# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In which precision to plan with a bundle: as asked for, or what is fast and near enough."""

from __future__ import annotations

import torch
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle, on_device
from mbmrl_ros.models.device import choose_precision, native_precision
from mbmrl_ros.models.kinds import int8_obstacle, int8_pays, network_of

# What int8 may add to a prediction, as a share of what it predicts to change (root mean squares).
# A model that explains 95 % of the variance is off by 22 %: this adds a twentieth to its square.
ERROR_LIMIT = 0.05
ROWS = 512


def planning_in(
    bundle: Bundle, wanted: str, device: torch.device, candidates: int
) -> tuple[Bundle, str]:
    """Return the bundle on a device, planning in a precision, and a line where int8 is a question.

    auto: bfloat16 where the device multiplies it; else int8 where it multiplies that, the network
    and the number of candidates are large enough to gain, and it is near enough; else float32.
    Nothing is timed, so that a machine always chooses alike (models/device.py). int8 that is asked
    for is taken wherever it can be computed. UserError on an unknown precision.
    """
    if wanted not in ('auto', 'int8'):
        return on_device(bundle, device, choose_precision(wanted, device)), ''
    if wanted == 'int8':
        obstacle = int8_obstacle(bundle.dynamics, device)
        if obstacle:
            line = f'planning in float32: int8 is not possible, {obstacle}'
            return on_device(bundle, device, 'float32'), line
        return on_device(bundle, device, 'int8'), ''
    exact = on_device(bundle, device, native_precision(device))
    if not int8_pays(bundle.dynamics, device, candidates):
        return exact, ''
    rounded = on_device(bundle, device, 'int8')
    error = rounding_error(exact, rounded)
    said = f'off by {error:.1%} of what changes in a step'
    if error <= ERROR_LIMIT:
        return rounded, f'planning in int8, which is {said}'
    return exact, f'planning in float32: int8 would be {said}, more than {ERROR_LIMIT:.0%}'


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
