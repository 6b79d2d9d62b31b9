# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A tick as a row of numbers: ~/stats."""

from __future__ import annotations

from array import array

from std_msgs.msg import Float64MultiArray, MultiArrayDimension

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
    message = Float64MultiArray(data=array('d', row))
    message.layout.dim = [MultiArrayDimension(label=name, size=1, stride=1) for name in STATS]
    return message
