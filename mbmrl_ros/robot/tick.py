# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What comes out of a control tick: the command, and how it went."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace

from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.prediction_monitor import PredictionError
from mbmrl_ros.types import Array


@dataclass(frozen=True)
class Diagnostics:
    """How a tick went.

    Durations in seconds. loss_before, loss_after: on the past window, NaN without one.
    reason: why the command is not what was planned; empty if it is. mode: what the robot is
    driven for. latency_s: from the state to the effect of the command, as predicted.
    period_error_s: how far the time since the command before was from a whole number of periods,
    NaN if there was none. sensors_late_s: how long after the begin of the period all readings had
    come, negative where they were there before, NaN where one did not come. prediction_error:
    in shadow mode.
    """

    tick_s: float = 0.0
    adapt_s: float = 0.0
    plan_s: float = 0.0
    loss_before: float = math.nan
    loss_after: float = math.nan
    adapted: bool = False
    adaptation_refused: bool = False
    nonfinite_rollouts: int = 0
    expected_return: float = math.nan
    candidates: int = 0
    latency_s: float = 0.0
    period_error_s: float = math.nan
    sensors_late_s: float = math.nan
    prediction_error: PredictionError = field(default_factory=PredictionError)
    reason: str = ''
    mode: str = ''


@dataclass(frozen=True)
class Tick:
    """The outcome of one tick.

    decision: for plots, None where nothing was planned. trace: of what planning raised, if it did.
    """

    command: Command
    diagnostics: Diagnostics
    state: Array | None = None
    decision: Decision | None = None
    trace: str = ''


@dataclass
class Counters:
    """Totals since the start.

    commands: that went out, by ticks and without (stops, and what stands in for a late tick).
    fallbacks: of the commands. overruns: ticks past the deadline. plans_cut: plans whose time was
    up before their last step.
    refused: readings, by reason. beginnings: times that all was forgotten, for a robot that was
    put somewhere else.
    """

    ticks: int = 0
    commands: int = 0
    fallbacks: int = 0
    overruns: int = 0
    plans_cut: int = 0
    beginnings: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def diagnose(decision: Decision) -> Diagnostics:
    """Return how adapting and planning went."""
    adapted, plan = decision.adapted, decision.plan
    report = Diagnostics(adapt_s=decision.adapt_s, plan_s=decision.plan_s, mode=decision.mode)
    if adapted is not None:
        report = replace(
            report,
            loss_before=float(adapted.loss_before[0]),
            loss_after=float(adapted.loss_after[0]),
            adapted=bool(adapted.accepted[0]),
            adaptation_refused=bool(adapted.refused[0]),
        )
    if plan is not None:
        report = replace(
            report,
            nonfinite_rollouts=int(plan.nonfinite[0]),
            expected_return=float(plan.expected_return[0]),
            candidates=plan.candidates.shape[1],
        )
    return report
