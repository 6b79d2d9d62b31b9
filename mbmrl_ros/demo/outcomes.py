# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo's runs come to: numbers per run, and their summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.nodes.read_bag import RecordedRun
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.training.evaluate import PredictionLosses
from mbmrl_ros.types import Array


@dataclass(frozen=True)
class Contender:
    """A way to control: a shipped bundle, and how it adapts."""

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
    """One run, measured. rewards: [T]."""

    contender: Contender
    seed: int
    run: RecordedRun
    rewards: Array
    losses: PredictionLosses

    def numbers(self, task: Task, spec: RobotSpec) -> dict[str, Any]:
        """Return the row of summary.json."""
        failure = task.failure_step(len(self.rewards))
        late = self.losses.moments >= failure
        states = self.run.trajectory.states
        x = spec.channel_index('x')
        ticks = self.run.stats['tick_s'] * 1e3
        return {
            'return': float(self.rewards.sum()),
            'return_before': float(self.rewards[:failure].sum()),
            'return_after': float(self.rewards[failure:].sum()),
            'distance_m': float(states[-1, x] - states[0, x]),
            'loss_before': float(self.losses.before[:, late].mean()),
            'loss_after': float(self.losses.after[:, late].mean()),
            'tick_ms': {
                'median': float(np.median(ticks)),
                'p99': float(np.percentile(ticks, 99)),
            },
        }


def summarise(task: Task, spec: RobotSpec, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the content of summary.json: lists over seeds for every controller."""
    controllers: dict[str, Any] = {}
    for contender in CONTENDERS:
        rows = [o.numbers(task, spec) for o in outcomes if o.contender == contender]
        lists: dict[str, Any] = {
            key: [row[key] for row in rows] for key in rows[0] if key != 'tick_ms'
        }
        lists['tick_ms'] = {
            key: [row['tick_ms'][key] for row in rows] for key in rows[0]['tick_ms']
        }
        controllers[contender.key] = lists
    steps = len(outcomes[0].rewards)
    return {
        'task': task.name,
        'seeds': sorted({outcome.seed for outcome in outcomes}),
        'steps': steps,
        'failure_step': task.failure_step(steps),
        'failure': str(task.test('mid_run')(steps)[0].disturbance),
        'controllers': controllers,
    }


COLUMNS = (
    ('controller', ''),
    ('distance m', 'distance_m'),
    ('return before', 'return_before'),
    ('return after', 'return_after'),
    ('loss before', 'loss_before'),
    ('loss after adapting', 'loss_after'),
    ('tick ms', 'tick_ms'),
)


def table_rows(summary: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row of text per controller; returns before and after the failure."""
    for contender in CONTENDERS:
        numbers = summary['controllers'][contender.key]
        mean = {key: float(np.mean(numbers[key])) for _, key in COLUMNS[1:-1]}
        tick = float(np.mean(numbers['tick_ms']['median']))
        yield [
            contender.label,
            f'{mean["distance_m"]:.1f}',
            f'{mean["return_before"]:.0f}',
            f'{mean["return_after"]:.0f}',
            f'{mean["loss_before"]:.3f}',
            f'{mean["loss_after"]:.3f}',
            f'{tick:.1f}',
        ]
