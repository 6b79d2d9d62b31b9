# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows as they might as well have been recorded: elsewhere, or with other errors of sensors.

Half an hour of a real robot shows it heading one way more than another, and at one height of its
markers per session. What is known not to matter need not be learned from so little data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.types import Transitions

See = Callable[[Transitions, torch.Generator], Transitions]
"""(windows [B, M, .], generator) -> windows of the same shape."""


def unchanged(windows: Transitions, generator: torch.Generator) -> Transitions:
    """Return windows as they were recorded."""
    return windows


def make_augmentation(spec: RobotSpec, config: TrainingConfig) -> See:
    """Return what the configuration asks for; UserError if a channel is unknown."""
    pairs = [(spec.channel_index(a), spec.channel_index(b)) for a, b in spec.heading]
    places = [spec.channel_index(name) for name in config.sensor_offsets]
    deviations = torch.tensor(list(config.sensor_offsets.values()))

    def see(windows: Transitions, generator: torch.Generator) -> Transitions:
        if config.turn_about_vertical:
            windows = turned(windows, pairs, generator)
        if places:
            windows = with_offsets(windows, places, deviations, generator)
        return windows

    return see


def turned(
    windows: Transitions, pairs: Sequence[tuple[int, int]], generator: torch.Generator
) -> Transitions:
    """Turn every window [B, M, .] by an angle of its own about the vertical.

    pairs: places of the channels that are the two parts of a vector in the plane, such as x, y or
    the cosine and sine of the heading. On even ground no direction differs from another.
    """
    angle = torch.rand(len(windows.states), 1, generator=generator) * (2 * math.pi)
    cosine, sine = angle.cos(), angle.sin()

    def turn(states: Tensor) -> Tensor:
        result = states.clone()
        for a, b in pairs:
            result[..., a] = cosine * states[..., a] - sine * states[..., b]
            result[..., b] = sine * states[..., a] + cosine * states[..., b]
        return result

    return Transitions(turn(windows.states), windows.actions, turn(windows.next_states))


def with_offsets(
    windows: Transitions, places: Sequence[int], deviations: Tensor, generator: torch.Generator
) -> Transitions:
    """Add a constant to some channels of every window [B, M, .], normal with these deviations.

    So a marker shell that sits higher or tilted, or ground of another height: changes of the
    state stay as they are, and a model that adapts can tell the constant from its window.
    """
    drawn = torch.randn(len(windows.states), 1, len(places), generator=generator) * deviations

    def offset(states: Tensor) -> Tensor:
        result = states.clone()
        result[..., list(places)] += drawn
        return result

    return Transitions(offset(windows.states), windows.actions, offset(windows.next_states))


def seen_together(
    see: See, past: Transitions, future: Transitions, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """Apply the same changes to the past and the future of windows."""
    steps = past.actions.shape[1]
    whole = see(Transitions(*(torch.cat(pair, 1) for pair in zip(past, future))), generator)
    return (
        Transitions(*(tensor[:, :steps] for tensor in whole)),
        Transitions(*(tensor[:, steps:] for tensor in whole)),
    )
