# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the controller says of its ticks: ~/stats, a row each, and its entry of /diagnostics."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import Float64MultiArray

from mbmrl_ros.nodes.common.diagnostics import (
    ERROR,
    OK,
    WARN,
    diagnostic_message,
    reasons,
    with_notices,
)
from mbmrl_ros.nodes.common.inputs import Sensors
from mbmrl_ros.nodes.common.messages import labelled_numbers
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.senders import CommandTopic
from mbmrl_ros.nodes.controller.control_loop import ControlLoop
from mbmrl_ros.nodes.controller.reference_path import ReferencePath
from mbmrl_ros.robot.tick import Tick

STATS = (
    'stamp', 'tick_s', 'adapt_s', 'plan_s', 'loss_before', 'loss_after', 'adapted', 'refused',
    'nonfinite', 'expected_return', 'fallback', 'candidates', 'latency_s', 'period_error_s',
    'prediction_loss', 'no_change_loss',
)  # fmt: skip


def stats_message(tick: Tick) -> Float64MultiArray:
    """Return a tick as one row of numbers, in the order of STATS, which label the dimensions."""
    report = tick.diagnostics
    row = (
        tick.command.stamp_s, report.tick_s, report.adapt_s, report.plan_s, report.loss_before,
        report.loss_after, report.adapted, report.adaptation_refused, report.nonfinite_rollouts,
        report.expected_return, tick.command.fallback, report.candidates, report.latency_s,
        report.period_error_s, *report.prediction_error,
    )  # fmt: skip
    return labelled_numbers(dict(zip(STATS, row, strict=True)))


class ControllerReport:
    """Collects ticks, and sums them up once a second."""

    def __init__(
        self,
        resources: NodeResources,
        commands: CommandTopic,
        loop: ControlLoop,
        path: ReferencePath,
        sensors: Sensors,
    ) -> None:
        """commands: its publisher shows whether somebody listens."""
        self._node, self._commands, self._loop = resources.node, commands, loop
        self._path, self._sensors = path, sensors
        self._ticks: deque[Tick] = deque(maxlen=10_000)
        self._last: Tick | None = None
        self._adapted = self._adaptations_refused = 0
        self._before: dict[str, int] = {'periods_missed': 0, 'lost': 0, 'refused': 0}
        self._publisher = resources.publisher(DiagnosticArray, '/diagnostics', 10)

    def add(self, tick: Tick) -> None:
        """Keep a tick for the next report."""
        # Without the plan: a second's worth of candidates is megabytes.
        self._ticks.append(replace(tick, decision=None))

    def publish(self) -> None:
        """Publish what happened since the last time."""
        ticks = [self._ticks.popleft() for _ in range(len(self._ticks))]
        self._last = ticks[-1] if ticks else self._last
        self._adapted += sum(tick.diagnostics.adapted for tick in ticks)
        self._adaptations_refused += sum(tick.diagnostics.adaptation_refused for tick in ticks)
        values = self._totals() | _durations(ticks) | self._pace(ticks) | self._losses()
        values |= self._traffic() | self._refusals() | self._sensors.values()
        level, message = self._judge(ticks, values)
        if values['active']:
            conflicts = [*self._commands.conflicts(), *self._sensors.conflicts()]
            notices = self._sensors.notices()
            level, message = with_notices(level, message, values, conflicts, notices)
        robot = self._loop.controller.spec.name
        self._publisher.publish(
            diagnostic_message(self._node, 'control', robot, level, message, values)
        )
        self._before = {key: values[key] for key in self._before}

    def _totals(self) -> dict[str, Any]:
        """Return what the controller is doing, and its counters since the start."""
        controller, reporter = self._loop.controller, self._loop.reporter
        return {
            'active': self._loop.active,
            'reason': self._reason(),
            'e_stop': controller.stopped,
            **({'path': self._path.text} if self._path.text else {}),
            'listeners': self._commands.listeners,
            'ticks': controller.counters.ticks,
            'commands': controller.counters.commands,
            'fallbacks': controller.counters.fallbacks,
            'late_ticks': controller.counters.overruns,
            'plans_cut': controller.counters.plans_cut,
            'periods_missed': self._loop.periods_missed,
            'reports_failed': reporter.failed,
            'reports_dropped': reporter.dropped,
            'adaptations': self._adapted,
            'adaptations_refused': self._adaptations_refused,
        }

    def _refusals(self) -> dict[str, int]:
        """Return how many readings were refused, and the most frequent reasons."""
        refused = dict(self._loop.controller.counters.refused)
        return {'refused': sum(refused.values())} | reasons('refused_readings', refused)

    def _pace(self, ticks: list[Tick]) -> dict[str, Any]:
        """Return what the ticks made of their period."""
        report = self._last.diagnostics if self._last is not None else None
        period_s = self._loop.controller.spec.period_s
        taken = [tick.diagnostics.tick_s / period_s for tick in ticks]
        errors = [abs(tick.diagnostics.period_error_s) for tick in ticks]
        known = [error for error in errors if not math.isnan(error)]
        late = [tick.diagnostics.sensors_late_s for tick in ticks]
        came = [late_s for late_s in late if not math.isnan(late_s)]
        return {
            'candidates': report.candidates if report else 0,
            'latency_ms': 1e3 * report.latency_s if report else math.nan,
            'period_share.goal': self._loop.controller.goal_s / period_s,
            'period_share.median': statistics.median(taken or [math.nan]),
            'period_error_ms.median': 1e3 * statistics.median(known or [math.nan]),
            'period_error_ms.max': 1e3 * max(known, default=math.nan),
            'sensors_late_ms.median': 1e3 * statistics.median(came or [math.nan]),
            'sensors_late_ms.max': 1e3 * max(came, default=math.nan),
        }

    def _traffic(self) -> dict[str, int]:
        """Return how many messages came, and how many did not where that can be told."""
        queue = self._loop.reading_queue
        counts = {f'received: {topic}': count for topic, count in sorted(queue.received.items())}
        counts |= {f'lost: {topic}': count for topic, count in sorted(queue.lost.items())}
        return counts | {'lost': sum(queue.lost.values())}

    def _reason(self) -> str:
        return '' if self._last is None else self._last.command.reason

    def _losses(self) -> dict[str, Any]:
        report = self._last.diagnostics if self._last is not None else None
        return {
            'loss_before': report.loss_before if report else math.nan,
            'loss_after': report.loss_after if report else math.nan,
            'nonfinite_rollouts': report.nonfinite_rollouts if report else 0,
            'expected_return': report.expected_return if report else math.nan,
        }

    def _judge(self, ticks: list[Tick], values: dict[str, Any]) -> tuple[bytes, str]:
        """Return how bad it is, and the worst of it."""
        if values['e_stop']:
            return ERROR, str(values['e_stop'])
        if not values['active']:
            return OK, 'inactive'
        missed, lost, refused = (values[key] - count for key, count in self._before.items())
        refusals = f'; {refused} readings refused' if refused else ''
        if self._last is not None and self._last.command.fallback:
            return ERROR, f'fallback: {values["reason"]}{refusals}'
        if not values['listeners']:
            return WARN, f'nobody listens on {self._commands.publisher.topic_name}'
        if refused:
            return WARN, refusals.removeprefix('; ')
        if missed:
            period_s = self._loop.controller.spec.period_s
            return WARN, f'{missed} of {missed + len(ticks)} periods of {period_s:g} s missed'
        if lost:
            return WARN, f'{lost} sensor messages lost'
        fallbacks = sum(tick.command.fallback for tick in ticks)
        if fallbacks:
            return WARN, f'{fallbacks} of {len(ticks)} commands were the fallback'
        return OK, self._last.diagnostics.mode if ticks and self._last else 'no tick yet'


def _durations(ticks: list[Tick]) -> dict[str, float]:
    """Return the last, median and largest durations in ms."""
    result = {}
    for name in ('tick_s', 'adapt_s', 'plan_s'):
        values = [1e3 * getattr(tick.diagnostics, name) for tick in ticks] or [math.nan]
        key = name.removesuffix('_s')
        result[f'{key}_ms.last'] = values[-1]
        result[f'{key}_ms.median'] = statistics.median(values)
        result[f'{key}_ms.max'] = max(values)
    return result
