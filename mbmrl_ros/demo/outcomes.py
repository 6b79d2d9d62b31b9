# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo's runs come to: numbers per run, and their summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.evaluation.episodes import interval95
from mbmrl_ros.evaluation.predictions import PredictionLosses
from mbmrl_ros.nodes.episode.read_bag import RecordedRun
from mbmrl_ros.reports.page import Section
from mbmrl_ros.sim.disturbances import Disturbance, Schedule
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

_WORDS = {
    'disabled_joint': 'the motor of {target} is dead',
    'missing_leg': '{target} is missing',
    'stiff_joint': 'the {target} drags',
    'held_payload': '{value:g} kg hang from the {target}',
}


@dataclass(frozen=True)
class Contender:
    """A way to control: a bundle, and how it adapts."""

    key: str
    label: str
    algorithm: str
    adaptation: str


CONTENDERS = (
    Contender('mb', 'MB', 'mb', 'none'),
    Contender('mb_de', 'MB+DE', 'mb', 'dynamic_evaluation'),
    Contender('grbal', 'GrBAL', 'grbal', 'auto'),
)


@dataclass(frozen=True)
class Outcome:
    """One run, measured.

    rewards: [T]. terms: [T] each, what the reward is made of, before its weights. Not a number
    where the robot had no state.
    """

    contender: Contender
    seed: int
    run: RecordedRun
    rewards: Array
    terms: Mapping[str, Array]
    losses: PredictionLosses


class Scene(NamedTuple):
    """All runs of a demo that are there. schedule: what breaks in them, all of it at once."""

    task: Task
    spec: RobotSpec
    outcomes: Sequence[Outcome]
    schedule: Schedule

    @property
    def failure_step(self) -> int:
        """When the robot breaks."""
        return self.schedule[0].step

    @property
    def failure_s(self) -> float:
        """When the robot breaks [s]."""
        return self.failure_step * self.spec.period_s

    @property
    def faults(self) -> list[Disturbance]:
        """What goes wrong."""
        return [event.disturbance for event in self.schedule]

    @property
    def contenders(self) -> list[Contender]:
        """Those that have a run."""
        return [contender for contender in CONTENDERS if self.of(contender)]

    def of(self, contender: Contender) -> list[Outcome]:
        """Return the runs of one contender."""
        return [outcome for outcome in self.outcomes if outcome.contender == contender]


def schedule_of(task: Task, show: Show, steps: int) -> Schedule:
    """Return what breaks in runs of that many steps: in an own task its `mid_run`."""
    return task.test(show.test if show.test in task.tests else 'mid_run')(steps)


def fault_words(faults: Sequence[Disturbance]) -> str:
    """Return what is wrong, for people."""
    return ' and '.join(map(_words, faults))


def _words(fault: Disturbance) -> str:
    kind, target = fault.kind.replace('_', ' '), fault.target.replace('_', ' ')
    words = _WORDS.get(fault.kind, '{kind}: {target} {value:g}')
    return words.format(kind=kind, target=target, value=fault.value)


class Column(NamedTuple):
    """A column of the table: means over seeds of a key of summary.json."""

    header: str
    key: str
    digits: int


@dataclass(frozen=True)
class Show:
    """What the demo of a robot has that others have not.

    task: what is done by default. bundles: the task that the shipped ones were trained on.
    numbers: of a run, with its failure step: `distance_m` and what else belongs into
    summary.json. columns: those of the table after the first. sections: of the page; the first
    figure is kept as overview.png too. live: what the video says of a run at a step.
    headline: the number that the demo is about, and what it is, after the numbers. test: of the
    task, what breaks in it.
    """

    task: str
    bundles: str
    numbers: Callable[[RobotSpec, Outcome, int], dict[str, float]]
    columns: tuple[Column, ...]
    sections: Callable[[Scene], list[Section]]
    live: Callable[[Scene, Outcome, int], str]
    headline: Column
    test: str = 'mid_run'


def summarise(scene: Scene, show: Show) -> dict[str, Any]:
    """Return the content of summary.json: lists over its seeds for every controller."""
    controllers: dict[str, Any] = {}
    for contender in scene.contenders:
        rows = [_numbers(scene, show, outcome) for outcome in scene.of(contender)]
        lists: dict[str, Any] = {
            key: [row[key] for row in rows] for key in rows[0] if key != 'tick_ms'
        }
        lists['seeds'] = [outcome.seed for outcome in scene.of(contender)]
        lists['tick_ms'] = {
            key: [row['tick_ms'][key] for row in rows] for key in rows[0]['tick_ms']
        }
        controllers[contender.key] = lists
    steps = len(scene.outcomes[0].rewards)
    return {
        'task': scene.task.name,
        'seeds': sorted({outcome.seed for outcome in scene.outcomes}),
        'steps': steps,
        'failure_step': scene.failure_step,
        'failure': ', '.join(map(str, scene.faults)),
        'controllers': controllers,
    }


def _numbers(scene: Scene, show: Show, outcome: Outcome) -> dict[str, Any]:
    """Return what summary.json says of a run."""
    failure, rewards = scene.failure_step, outcome.rewards
    late = outcome.losses.start_indices >= failure
    ticks = outcome.run.stats['tick_s'] * 1e3
    return {
        'return': float(np.nansum(rewards)),
        'return_before': float(np.nansum(rewards[:failure])),
        'return_after': float(np.nansum(rewards[failure:])),
        'loss_before': float(outcome.losses.before[:, late].nanmean()),
        'loss_after': float(outcome.losses.after[:, late].nanmean()),
        'steps_without_state': int(np.isnan(rewards).sum()),
        **show.numbers(scene.spec, outcome, failure),
        'tick_ms': {
            'median': float(np.median(ticks)),
            'p99': float(np.percentile(ticks, 99)),
        },
    }


def headline(scene: Scene, show: Show, summary: dict[str, Any]) -> str:
    """Return what came out, in a sentence."""
    means = [
        f'{c.label} {_mean(numbers[show.headline.key], show.headline.digits)}'
        for c in CONTENDERS
        if (numbers := summary['controllers'].get(c.key))
    ]
    runs = len(summary['seeds'])
    spread = ', in brackets the two' if runs == 2 else ', ±: 95 % interval'
    of = 'one run each' if runs == 1 else f'means of {runs} runs each{spread}'
    fault = fault_words(scene.faults)
    return f'When {fault}: {", ".join(means)} {show.headline.header} ({of}).'


def _mean(values: Sequence[float], digits: int) -> str:
    """Return a mean, with its 95 % interval; of two, whose interval says little, the two."""
    mean, half = interval95(values)
    if len(values) == 2:
        return f'{mean:.{digits}f} ({min(values):.{digits}f}, {max(values):.{digits}f})'
    return f'{mean:.{digits}f}' + ('' if math.isnan(half) else f' ± {half:.{digits}f}')


def header(show: Show) -> list[str]:
    """Return the head of the table."""
    return ['controller', *(column.header for column in show.columns), 'tick ms']


def table_rows(show: Show, summary: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row of text per controller that has a run."""
    for contender in CONTENDERS:
        numbers = summary['controllers'].get(contender.key)
        if numbers is None:
            continue
        tick = float(np.mean(numbers['tick_ms']['median']))
        cells = [f'{float(np.mean(numbers[key])):.{digits}f}' for _, key, digits in show.columns]
        yield [contender.label, *cells, f'{tick:.1f}']
