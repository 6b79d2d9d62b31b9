# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sections of the robot file about what it is driven for: random data, and tasks of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from mbmrl_ros.config import Config, Positive

Pair = tuple[FiniteFloat, FiniteFloat]


def _check_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError('a range is [lowest, highest]')
    return pair


Range = Annotated[Pair, AfterValidator(_check_order)]


class Area(Config):
    """A circle that a robot stays in while it is driven at random (Nagabandi et al. 2017).

    Commands are in the unit of the action; left and right are seen from above, on the spot or in
    a curve.
    """

    radius_m: Positive = Field(description='beyond it the robot is driven back')
    inner_radius_m: Positive = Field(description='within it the robot is driven at random again')
    centre: Pair = Field((0.0, 0.0), description='[m]')
    position: tuple[str, str] = Field(('x', 'y'), description='channels [m]')
    heading: tuple[str, str] = Field(
        ('cos_yaw', 'sin_yaw'), description='channels: cosine and sine of the yaw'
    )
    forward: tuple[FiniteFloat, ...] = Field(description='command that drives ahead')
    left: tuple[FiniteFloat, ...] = Field(description='command that turns left, yaw up')
    right: tuple[FiniteFloat, ...] = Field(description='command that turns right, yaw down')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.inner_radius_m >= self.radius_m:
            raise ValueError('inner_radius_m must be smaller than radius_m')
        return self


class Collection(Config):
    """How a robot is driven at random, to learn from."""

    renamed: ClassVar[dict[str, str]] = {'hold_steps': 'action_repeat'}

    action_repeat: int = Field(1, ge=1, description='control periods that a random command lasts')
    area: Area | None = Field(None, description='where to stay; default: anywhere')


class TermConfig(Config):
    """One line of a task's reward: which term, how heavy, on which channel, towards what."""

    term: str = Field(description='its name (rewards/terms.py)')
    weight: FiniteFloat = Field(1.0, description='what it is multiplied by; a cost is negative')
    channel: str | None = Field(None, description='that it is about, where it needs one')
    target: Annotated[dict[str, FiniteFloat], Field(min_length=1)] | None = Field(
        None, description='by channel: where to be, where it needs one'
    )
    limits: Annotated[dict[str, Range], Field(min_length=1)] | None = Field(
        None, description='by channel: the range that it pays within, where it needs one'
    )
    path: str | tuple[Pair, ...] | None = Field(
        None, description='a shape or way-points [m] (rewards/path.py), where it needs one'
    )
    goal: str | None = Field(
        None, description="the name of one of the task's goals, where it needs one"
    )


class GoalRange(Config):
    """Where a goal is drawn from, uniformly, once per episode or task."""

    range: Pair = Field(description='in training: [lowest, highest]')
    held_out: Pair = Field(description='in tests: [lowest, highest], outside of that range')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        for name, (low, high) in (('range', self.range), ('held_out', self.held_out)):
            if low >= high:
                raise ValueError(f'{name} needs lowest < highest')
        if self.held_out[0] < self.range[1] and self.range[0] < self.held_out[1]:
            raise ValueError('held_out must lie outside of range')
        return self


class OwnTask(Config):
    """A task that stands in the robot file. Disturbances are written `kind:target[:value]`."""

    description: str = Field('', description='what lists and reports say of it')
    reward: tuple[TermConfig, ...] = Field(min_length=1, description='terms, to be summed')
    episode_steps: int = Field(500, ge=1, description='of tests and demonstrations')
    disturbances: tuple[str, ...] = Field(
        (), description='what comes and goes in simulated training'
    )
    held_out: tuple[str, ...] = Field((), description='what happens in tests only')
    goals: dict[str, GoalRange] = Field(
        default={}, description='by name: what the reward takes that is drawn anew per task'
    )
    done: dict[str, Range] = Field(
        default={}, description='by channel: the range outside of which an episode ends'
    )
