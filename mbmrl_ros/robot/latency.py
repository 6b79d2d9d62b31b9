# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Latency: what moves the robot between the state and the command that answers it.

A state is measured at t. The command that answers it takes effect at t + D, after transport,
adapting, planning, sending and the actuators' own delay; until then the robot moves under commands
that were sent before. So the plan starts from the state predicted for t + D. (On the paper's robot
D was one period: every candidate began with the command in effect, and its second action was
sent.) D need not be a whole number of periods: the model's change over a period is taken in the
share that a command is in effect, exact to first order in the period.
"""

from __future__ import annotations

import math
import statistics
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.robot.command import from_units
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Carry, Dynamics, Params

Pending = Sequence[tuple[Tensor, float]]
"""Actions [B, A] in -1..1 on their way, oldest first, and for how many periods (at most one) each
is in effect."""

# Commands to look back on, and ticks that the next one is expected to be like.
REMEMBERED = 256
TYPICAL = 9
# Times are sums of periods: what is left of one beyond their float error counts.
ROUNDING = 1e-6


def predict_forward(
    dynamics: Dynamics, params: Params, carry: Carry, state: Tensor, pending: Pending
) -> tuple[Carry, Tensor]:
    """Return carry and state [B, S] after the pending actions; without any, the very same.

    The carry [B, 1, .] goes along as the state does, for this plan only: what a model remembers
    of the robot is left as it is.
    """
    ahead = state[:, None]
    for action, periods in pending:
        carry_after, next_state = dynamics.step(params, carry, ahead, action[:, None])
        if periods != 1.0:
            next_state = torch.lerp(ahead, next_state, periods)
            carry_after = None if carry is None else torch.lerp(carry, carry_after, periods)
        carry, ahead = carry_after, next_state
    return carry, ahead[:, 0]


def transport_s(
    stamp_s: float, arrived_s: float, limit_s: float, fixed_s: float | None = None
) -> float:
    """Return how long a message was on its way, by the clock of its stamps [s].

    0 where that is less than nothing, or more than the limit: sensor and controller then have
    clocks of their own. Below the limit, nobody can tell a clock that lags from a long way:
    fixed_s is what the robot file says in place of all that.
    """
    if fixed_s is not None:
        return fixed_s
    elapsed_s = arrived_s - stamp_s
    return elapsed_s if 0 <= elapsed_s <= limit_s else 0.0


class Latency:
    """When which command is in effect. All times are on the steady clock [s].

    `sent` may be called from any thread: an emergency stop waits for nobody.
    """

    def __init__(self, spec: RobotSpec) -> None:
        """spec: `latency_s` is what the controller cannot measure, sensors and actuators."""
        self._period_s = spec.period_s
        self._outside_s = spec.latency_s
        self._longest_tick_s = spec.safety.deadline_s
        fallback = from_units(spec, np.asarray(spec.action.fallback))
        self._sent: deque[tuple[float, Array]] = deque([(-math.inf, fallback)], REMEMBERED)
        self._ticks: deque[float] = deque(maxlen=TYPICAL)
        self._lock = threading.Lock()

    def sent(self, at_s: float, action: Array) -> None:
        """Record a command [A] in -1..1 that goes out at `at_s`."""
        with self._lock:
            self._sent.append((at_s + self._outside_s, np.array(action, np.float64)))

    def record_duration(self, tick_s: float) -> None:
        """Record how long a tick with a plan took."""
        self._ticks.append(tick_s)

    def effect_s(self, now_s: float, send_s: float) -> float:
        """Return when the command of a tick that begins now will take effect.

        send_s: not before; a tick takes as long as the median of the last ones.
        """
        tick_s = min(statistics.median(self._ticks or [0.0]), self._longest_tick_s)
        return max(now_s + tick_s, send_s) + self._outside_s

    def in_effect(self, from_s: float, to_s: float) -> list[tuple[Array, float]]:
        """Return the commands [A] in effect between two times and for how long [s] each is.

        Before the first one it is the fallback, at which the robot waits for it.
        """
        pieces: list[tuple[Array, float]] = []
        with self._lock:
            for begin_s, action in reversed(self._sent):
                seconds = to_s - max(begin_s, from_s)
                if seconds > 0:
                    pieces.append((action, seconds))
                    to_s -= seconds
                if begin_s <= from_s:
                    break
        return pieces[::-1]

    def pending(self, state_s: float, effect_s: float) -> list[tuple[Tensor, float]]:
        """Return what is in effect between a state and a new command, for `predict_forward`."""
        steps: list[tuple[Tensor, float]] = []
        for action, seconds in self.in_effect(state_s, effect_s):
            periods = seconds / self._period_s
            whole = int(periods + ROUNDING)
            row = torch.from_numpy(action).float()[None]
            steps += [(row, 1.0)] * whole
            if periods - whole > ROUNDING:
                steps.append((row, periods - whole))
        return steps

    def mean(self, from_s: float, to_s: float) -> Array:
        """Return the mean command [A] in effect between two states, the first one earlier.

        That is the action of their transition: the models take one action per period.
        """
        pieces = self.in_effect(from_s, to_s)
        if len(pieces) == 1:
            return pieces[0][0]
        actions, seconds = zip(*pieces)
        return np.asarray(np.average(actions, axis=0, weights=seconds))
