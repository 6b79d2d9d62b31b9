# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals: what is drawn once per task, and which part of it is kept from training.

A goal is a row of numbers with names. One such as `mass:torso` multiplies a parameter of the
physics (sim/parameters.py); any other one is for the reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mbmrl_ros.config import UserError

Draw = Callable[[torch.Generator, int], Tensor]
"""(generator, n) -> goals [n, G]."""

# The sector of directions that is kept from training: 30 degrees about back left.
SECTOR_MIDDLE, SECTOR_WIDTH = 0.75 * math.pi, math.pi / 6


@dataclass(frozen=True)
class Goals:
    """A distribution of goals.

    names: of the G columns. draw: the training distribution. held_out: goals outside of it.
    """

    names: tuple[str, ...]
    draw: Draw
    held_out: Draw

    def of(self, setting: str) -> Draw:
        """Return the distribution of a setting; UserError names the valid ones."""
        settings = {'training': self.draw, 'held_out': self.held_out}
        if setting not in settings:
            raise UserError(f'goals are drawn for training or held_out, got {setting!r}')
        return settings[setting]


def _nothing(generator: torch.Generator, n: int) -> Tensor:
    return torch.zeros(n, 0)


NO_GOALS = Goals((), _nothing, _nothing)


def uniform(generator: torch.Generator, n: int, low: float, high: float) -> Tensor:
    """Draw [n] from U(low, high)."""
    return low + (high - low) * torch.rand(n, generator=generator)


def interval(name: str, training: tuple[float, float], held_out: tuple[float, float]) -> Goals:
    """Return one number, drawn uniformly."""
    return Goals(
        (name,),
        lambda generator, n: uniform(generator, n, *training)[:, None],
        lambda generator, n: uniform(generator, n, *held_out)[:, None],
    )


def forward_or_backward(name: str = 'direction') -> Goals:
    """Return -1 or 1 with equal probability; held out is 0, to stand still."""

    def draw(generator: torch.Generator, n: int) -> Tensor:
        return 2.0 * torch.randint(2, (n, 1), generator=generator) - 1.0

    return Goals((name,), draw, lambda generator, n: torch.zeros(n, 1))


def _on_circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)


def directions() -> Goals:
    """Return unit vectors of all directions but a sector of 30 degrees, which is held out."""
    begin = SECTOR_MIDDLE + SECTOR_WIDTH / 2
    end = begin + 2 * math.pi - SECTOR_WIDTH
    return Goals(
        ('direction_x', 'direction_y'),
        lambda generator, n: _on_circle(uniform(generator, n, begin, end)),
        lambda generator, n: _on_circle(uniform(generator, n, begin - SECTOR_WIDTH, begin)),
    )


def places_in_disc(radius: float, beyond: float) -> Goals:
    """Return places uniform in a disc [m]; held out are those in the ring around it."""

    def ring(generator: torch.Generator, n: int, inner: float, outer: float) -> Tensor:
        angle = uniform(generator, n, 0.0, 2 * math.pi)
        # Uniform over the area.
        distance = uniform(generator, n, inner**2, outer**2).sqrt()
        return distance[:, None] * _on_circle(angle)

    return Goals(
        ('goal_x', 'goal_y'),
        lambda generator, n: ring(generator, n, 0.0, radius),
        lambda generator, n: ring(generator, n, radius, beyond),
    )


def places_in_square(half_width: float, beyond: float) -> Goals:
    """Return places uniform in a square; held out are those of a larger one that are not in it."""

    def outside(generator: torch.Generator, n: int) -> Tensor:
        places = uniform(generator, 2 * n, -beyond, beyond).view(n, 2)
        # One coordinate, of either sign, is beyond the square.
        far = uniform(generator, n, half_width, beyond)
        far = far * (2.0 * torch.randint(2, (n,), generator=generator) - 1.0)
        axis = torch.randint(2, (n, 1), generator=generator)
        return places.scatter(1, axis, far[:, None])

    return Goals(
        ('goal_x', 'goal_y'),
        lambda generator, n: uniform(generator, 2 * n, -half_width, half_width).view(n, 2),
        outside,
    )


def one_of(names: Sequence[str], training: Sequence[Sequence[float]],
           held_out: Sequence[Sequence[float]]) -> Goals:  # fmt: skip
    """Return goals from a list, each with equal probability."""

    def choose(choices: Sequence[Sequence[float]]) -> Draw:
        listed = torch.tensor(choices, dtype=torch.float32)
        return lambda generator, n: listed[torch.randint(len(listed), (n,), generator=generator)]

    return Goals(tuple(names), choose(training), choose(held_out))


def multipliers(bases: dict[str, float], limit: float, held_out: float) -> Goals:
    """Return factors base^U(-limit, limit) of parameters of the physics, by name.

    Held out: the exponent of the first one is from limit to held_out, up or down.
    """
    logs = torch.tensor(list(bases.values()), dtype=torch.float64).log()

    def exponents(generator: torch.Generator, n: int) -> Tensor:
        return uniform(generator, n * len(bases), -limit, limit).view(n, len(bases)).double()

    def beyond(generator: torch.Generator, n: int) -> Tensor:
        drawn = exponents(generator, n)
        sign = 2.0 * torch.randint(2, (n,), generator=generator) - 1.0
        drawn[:, 0] = sign * uniform(generator, n, limit, held_out)
        return (drawn * logs).exp().float()

    return Goals(
        tuple(bases), lambda generator, n: (exponents(generator, n) * logs).exp().float(), beyond
    )


def together(parts: Sequence[Goals]) -> Goals:
    """Return several goals side by side, each drawn on its own."""

    def join(draws: list[Draw]) -> Draw:
        return lambda generator, n: torch.cat([draw(generator, n) for draw in draws], 1)

    if not parts:
        return NO_GOALS
    names = tuple(name for part in parts for name in part.names)
    return Goals(names, join([p.draw for p in parts]), join([p.held_out for p in parts]))
