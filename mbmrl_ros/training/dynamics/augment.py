# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Windows as they might as well have been recorded: elsewhere, or with other errors of sensors.

Half an hour of a real robot shows it heading one way more than another, and at one height of its
markers per session. What is known not to matter need not be learned from so little data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.training.dynamics.settings import ActuatorConfig, AugmentationConfig
from mbmrl_ros.types import Transitions

Augmentation = Callable[[Transitions, torch.Generator], Transitions]
"""(windows [B, M, .], generator) -> windows of the same shape."""


def unchanged(windows: Transitions, generator: torch.Generator) -> Transitions:
    """Return windows as they were recorded."""
    return windows


def make_augmentation(spec: RobotSpec, config: AugmentationConfig) -> Augmentation:
    """Return what the configuration asks for; UserError if a channel is unknown."""
    pairs = [(spec.channel_index(a), spec.channel_index(b)) for a, b in spec.heading]
    places = [spec.channel_index(name) for name in config.sensor_bias_std]
    deviations = torch.tensor(list(config.sensor_bias_std.values()))

    rates = [(spec.channel_index(name), rate) for name, rate in config.yaw_rate_bias.items()]
    moving = _moving(spec)

    def augment(windows: Transitions, generator: torch.Generator) -> Transitions:
        if config.yaw_augmentation:
            windows = turned(windows, pairs, generator)
        for channel, rate in rates:
            windows = turning(windows, moving, channel, rate, spec.period_s, generator)
        if config.velocity_bias:
            windows = drifting(windows, moving, config.velocity_bias, spec.period_s, generator)
        if places:
            windows = with_offsets(windows, places, deviations, generator)
        return windows

    return augment


class Moving(NamedTuple):
    """Pairs of channels, the two parts of a vector in the plane: places, velocities, headings."""

    places: list[tuple[int, int]]
    velocities: list[tuple[int, int]]
    headings: list[tuple[int, int]]


def _moving(spec: RobotSpec) -> Moving:
    moving = Moving([], [], [])
    for names in spec.heading:
        first, second = (spec.channel_index(name) for name in names)
        channel = spec.state[first]
        kind = 1 if channel.encoding == 'rate' else 2 if channel.input else 0
        moving[kind].append((first, second))
    return moving


def turning(
    windows: Transitions,
    moving: Moving,
    channel: int,
    spread: float,
    period_s: float,
    generator: torch.Generator,
) -> Transitions:
    """Return windows [B, M, .], half of which are as if the robot turned to one side on its own.

    So a robot with lame legs on one side. channel: that measures the rate of turning, which is
    U(-spread, spread) in its unit, rad/s, and the same all through a window.
    """
    rates = _in_half(len(windows.states), 1, spread, generator)
    steps = torch.arange(windows.states.shape[1], dtype=rates.dtype)
    before = rates * period_s * steps
    states, following = windows.states.clone(), windows.next_states.clone()
    for pair in (*moving.velocities, *moving.headings):
        _rotate(states, pair, before)
        _rotate(following, pair, before + rates * period_s)
    for pair in moving.places:
        way = windows.next_states - windows.states
        _rotate(way, pair, before + rates * period_s)
        following[..., list(pair)] = states[..., list(pair)] + way[..., list(pair)]
    states[..., channel] += rates
    following[..., channel] += rates
    return Transitions(states, windows.actions, following)


def drifting(
    windows: Transitions,
    moving: Moving,
    spread: float,
    period_s: float,
    generator: torch.Generator,
) -> Transitions:
    """Return windows [B, M, .], half of which are as if the ground slid away under the robot.

    So a robot on a slope, which comes forward less uphill than downhill. Both parts of the
    velocity are U(-spread, spread) [m/s], the same all through a window.
    """
    velocity = _in_half(len(windows.states), 2, spread, generator)[:, None]
    states, following = windows.states.clone(), windows.next_states.clone()
    for pair in moving.velocities:
        states[..., list(pair)] += velocity
        following[..., list(pair)] += velocity
    for pair in moving.places:
        following[..., list(pair)] += velocity * period_s
    return Transitions(states, windows.actions, following)


def _in_half(rows: int, size: int, spread: float, generator: torch.Generator) -> Tensor:
    """Draw [B, size] uniformly from -spread to spread in half of the rows; 0 in the others."""
    drawn = (torch.rand(rows, size, generator=generator) * 2 - 1) * spread
    return torch.where(torch.rand(rows, 1, generator=generator) < 0.5, drawn, 0.0)


def _rotate(states: Tensor, pair: tuple[int, int], angle: Tensor) -> None:
    """Turn the vector that a pair of channels is, in place, by angles [B, M]."""
    first, second = (states[..., place].clone() for place in pair)
    states[..., pair[0]] = angle.cos() * first - angle.sin() * second
    states[..., pair[1]] = angle.sin() * first + angle.cos() * second


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


def augment_pair(
    augment: Augmentation, past: Transitions, future: Transitions, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """Apply the same changes to the past and the future of windows."""
    steps = past.actions.shape[1]
    whole = augment(Transitions(*(torch.cat(pair, 1) for pair in zip(past, future))), generator)
    return (
        Transitions(*(tensor[:, :steps] for tensor in whole)),
        Transitions(*(tensor[:, steps:] for tensor in whole)),
    )


def with_actuator_gains(
    past: Transitions, future: Transitions, spread: float, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """Return windows as if every actuator had a gain of its own, in past and future.

    A motor of gain g that is told a / g does what a motor of gain 1 does when told a: so windows
    of weak and strong motors come from those at hand, exactly, and without a failure. In half of
    the rows a motor's gain is exp(U(-spread, spread)), in the others 1.
    """
    shape = (len(past.actions), 1, past.actions.shape[-1])
    gains = ((torch.rand(shape, generator=generator) * 2 - 1) * spread).exp()
    changed = torch.rand(shape, generator=generator) < 0.5
    gains = torch.where(changed, gains, 1.0)
    return (
        past._replace(actions=past.actions / gains),
        future._replace(actions=future.actions / gains),
    )


def with_actuator_biases(
    past: Transitions, future: Transitions, spread: float, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """Return windows as if a constant were added to every actuator, in past and future.

    A motor that adds c to what it is told and is told a - c does what one that adds nothing does
    when told a: so come windows of weights that hang on a joint, and of miscalibrated motors, in
    units of the action in -1..1. In half of the rows c is U(-spread, spread), in the others 0.
    """
    shape = (len(past.actions), 1, past.actions.shape[-1])
    offsets = (torch.rand(shape, generator=generator) * 2 - 1) * spread
    changed = torch.rand(shape[:1], generator=generator) < 0.5
    offsets = torch.where(changed[:, None, None], offsets, 0.0)
    return (
        past._replace(actions=past.actions - offsets),
        future._replace(actions=future.actions - offsets),
    )


def with_other_actuators(
    past: Transitions, future: Transitions, config: ActuatorConfig, generator: torch.Generator
) -> tuple[Transitions, Transitions]:
    """Return windows with the gains and the constants that a configuration asks for."""
    if config.actuator_gain_range:
        past, future = with_actuator_gains(past, future, config.actuator_gain_range, generator)
    if config.actuator_bias_range:
        past, future = with_actuator_biases(past, future, config.actuator_bias_range, generator)
    return past, future
