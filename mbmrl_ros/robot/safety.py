# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The last word on every command: whatever comes in, what goes out is finite and within limits."""

from __future__ import annotations

import math

import numpy as np

from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

# Why a command is not quite the wanted one, where it is as near to it as the limits let it be.
LIMITED = 'limited'


class SafetyFilter:
    """Limits, rate limits, area limits, deadline, and an emergency stop that stays."""

    def __init__(self, spec: RobotSpec) -> None:
        """spec: limits, fallback and deadline of the robot."""
        self._spec = spec
        action = spec.action
        self._lower, self._upper = np.asarray(action.lower), np.asarray(action.upper)
        self._rate = np.asarray(action.rate_limit)
        self._fallback = np.asarray(action.fallback)
        self._last = self._fallback.copy()
        self._limits = [
            (name, spec.channel_index(name), low, high)
            for name, (low, high) in spec.safety.limits.items()
        ]
        self._stopped = ''
        self._fell_back = False

    @property
    def fell_back(self) -> bool:
        """Whether the last command was the fallback instead of a planned one."""
        return self._fell_back

    @property
    def stopped(self) -> str:
        """Why the emergency stop is latched; empty if it is not."""
        return self._stopped

    def e_stop(self, reason: str) -> None:
        """Latch the emergency stop: only the fallback goes out until `release`.

        The reason of a stop that is already latched stays.
        """
        self._stopped = self._stopped or reason or 'emergency stop'

    def went_out(self, values: Array) -> None:
        """Set the command [A] that really went out last: the next one changes from there."""
        self._last = np.clip(values, self._lower, self._upper)

    def release(self) -> str | None:
        """Unlatch, to start from the fallback; return None, or why there was nothing to do."""
        if not self._stopped:
            return 'the emergency stop is not latched'
        self._stopped = ''
        self._last = self._fallback.copy()
        return None

    def filter(
        self,
        wanted: Array | None,
        reason: str,
        state: Array | None,
        elapsed_s: float,
        dt_s: float,
    ) -> tuple[Array, str]:
        """Return the command [A] in units that may go out, and why it is not the wanted one.

        wanted: [A] in units, or None with the reason why there is no plan. state: [S], for the
        area limits. elapsed_s: how long the tick took so far. dt_s: time since the last command.

        The fallback is exempt from the rate limits: it is where the robot must be at once.
        """
        stop = self._stopped or self._no_command(wanted, reason) or self.outside(state)
        self._fell_back = bool(stop)
        if stop or wanted is None:
            return self._send(self._fallback), stop
        if not 0 <= elapsed_s <= self._spec.safety.deadline_s:
            values, reason = self.late(elapsed_s, dt_s)
            return self._send(values), reason
        clipped = np.clip(wanted, self._lower, self._upper)
        # After a pause a jump is no safer than at any other time: two periods' worth at most.
        period_s = self._spec.period_s
        dt_s = period_s if math.isnan(dt_s) else min(max(dt_s, 0.0), 2 * period_s)
        change = self._rate * dt_s
        # A command just within float error of a limit is not worth a message.
        limited = np.clip(clipped, self._last - change, self._last + change)
        moved = np.abs(limited - wanted) > 1e-9 * (self._upper - self._lower)
        return self._send(limited), LIMITED if moved.any() else ''

    def late(self, elapsed_s: float, dt_s: float = math.nan) -> tuple[Array, str]:
        """Return the last command, nearer to the fallback by the time that has passed, and why.

        It changes nothing, so that it may be asked while a tick goes on.
        """
        passed_s = max(t for t in (elapsed_s, dt_s, self._spec.period_s) if not math.isnan(t))
        share = math.exp(-passed_s / self._spec.safety.decay_s)
        reason = f'late: {elapsed_s:.3f} s, limit {self._spec.safety.deadline_s:g} s'
        return np.asarray(self._fallback + share * (self._last - self._fallback)), reason

    def _no_command(self, wanted: Array | None, reason: str) -> str:
        if wanted is None:
            return reason or 'no plan'
        if np.shape(wanted) != self._fallback.shape:
            return f'command has shape {np.shape(wanted)} instead of {self._fallback.shape}'
        return '' if np.isfinite(wanted).all() else 'command is not finite'

    def outside(self, state: Array | None) -> str:
        """Return which limit of the robot file a state [S] is beyond; empty if none."""
        if state is None:
            return 'no state to hold against the limits' if self._limits else ''
        for name, index, low, high in self._limits:
            if not low <= state[index] <= high:
                return f'{name} is {state[index]:.3g}, outside {low:g} to {high:g}'
        return '' if np.isfinite(state).all() else 'state is not finite'

    def _send(self, command: Array) -> Array:
        self._last = np.clip(command, self._lower, self._upper)
        return self._last.copy()
