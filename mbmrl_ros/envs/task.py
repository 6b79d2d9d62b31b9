# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a task is: a robot, a reward, what is drawn for it, what happens in it and in its tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.goals import NO_GOALS, Goals
from mbmrl_ros.rewards.reward import TermConfig
from mbmrl_ros.sim.disturbances import Disturbance, Event, Schedule

TrainingSchedule = Callable[[np.random.Generator, int], Schedule]
"""(generator, steps) -> what happens in one training rollout of that many steps."""

TestSchedule = Callable[[int], Schedule]
"""steps -> what happens in a test episode of that many steps."""


@dataclass(frozen=True)
class Task:
    """A task distribution (rho(M) of the thesis) and its held-out tests.

    disturbances: everything that ever happens in it, so that recorded steps can name theirs by
    index. failure_step(steps): when the mid-run test breaks the robot. goals: what the reward or
    the physics take that is drawn once per episode or task. done: by channel, the range outside of
    which an episode ends.
    """

    name: str
    description: str
    robot: str
    reward: tuple[TermConfig, ...]
    episode_steps: int
    disturbances: tuple[Disturbance, ...]
    training: TrainingSchedule
    tests: Mapping[str, TestSchedule]
    goals: Goals = NO_GOALS
    done: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @staticmethod
    def failure_step(steps: int) -> int:
        """Return the step of the mid-run failure: after a third of the episode."""
        return steps // 3

    def test(self, name: str) -> TestSchedule:
        """Return a test setting; UserError names the valid ones."""
        if name not in self.tests:
            raise UserError(f'{self.name} has no test {name!r}; {closest(name, self.tests)}')
        return self.tests[name]


def undisturbed(steps: int) -> Schedule:
    """Return the schedule of a test in which nothing happens."""
    return ()


def nothing_happens(rng: np.random.Generator, steps: int) -> Schedule:
    """Return the schedule of a training in which nothing is ever wrong with a robot."""
    return ()


def from_the_start(*disturbances: Disturbance) -> TestSchedule:
    """Return a test in which something, or several things, are wrong all the time."""
    return lambda steps: tuple(Event(0, disturbance) for disturbance in disturbances)


def mid_run(*disturbances: Disturbance) -> TestSchedule:
    """Return a test in which something, or several things, break after a third of the episode."""
    return lambda steps: tuple(
        Event(Task.failure_step(steps), disturbance) for disturbance in disturbances
    )


def switching_schedule(
    choices: tuple[Disturbance | None, ...], shortest: int, longest: int
) -> TrainingSchedule:
    """Return a distribution of schedules that draw a new disturbance every now and then.

    The thesis draws one disturbance per rollout; then no window of the training data holds a
    switch, and the model never learns what to make of the window just after a failure. Here the
    rollout falls into segments of U(shortest, longest) steps, each with a draw of its own.
    """

    def draw(rng: np.random.Generator, steps: int) -> Schedule:
        events: list[Event] = []
        step, current = 0, None
        while step < steps:
            following = choices[int(rng.integers(len(choices)))]
            if following != current:
                if current is not None:
                    events.append(Event(step, current, on=False))
                if following is not None:
                    events.append(Event(step, following))
            current = following
            step += int(rng.integers(shortest, longest + 1))
        return tuple(events)

    return draw


def once_per_rollout(choices: tuple[Disturbance, ...]) -> TrainingSchedule:
    """Return the distribution of the thesis: one disturbance from the start of each rollout."""

    def draw(rng: np.random.Generator, steps: int) -> Schedule:
        return (Event(0, choices[int(rng.integers(len(choices)))]),)

    return draw
