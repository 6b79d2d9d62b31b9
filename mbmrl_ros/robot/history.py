# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The last transitions of a robot, as the window that its model adapts to.

`History` is a window of transitions; `CommandHistory` fills one while commands take their time to
take effect.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.latency import Latency, Pending
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Transitions


def follows(elapsed_s: float, period_s: float) -> bool:
    """Whether two states so far apart are one control step: half to one and a half periods."""
    return 0.5 <= elapsed_s / period_s <= 1.5


class History:
    """Transitions (state, applied action, next state) that follow each other without a gap."""

    def __init__(self, window: int, period_s: float, state_size: int, action_size: int) -> None:
        """window: M transitions."""
        self.size = window
        self._period_s = period_s
        self.state_size, self.action_size = state_size, action_size
        self._states: deque[Array] = deque(maxlen=window + 1)
        self._actions: deque[Array] = deque(maxlen=window)
        self._stamp_s = float('nan')
        self._pending: Array | None = None

    def observe(self, stamp_s: float, state: Array) -> None:
        """Add the state [S] of a tick, measured at stamp_s.

        It closes a transition if it comes one period after the state before and an action was
        applied in between; otherwise there is a gap, and what was before it is forgotten, since a
        window must not span it.
        """
        if self._pending is not None and follows(stamp_s - self._stamp_s, self._period_s):
            self._actions.append(self._pending)
        else:
            self.clear()
        self._states.append(np.array(state, np.float64))
        self._stamp_s, self._pending = stamp_s, None

    def applied(self, action: Array) -> None:
        """Set the action [A] in -1..1 that really went out after the last state."""
        self._pending = np.array(action, np.float64)

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self._actions.clear()
        self._stamp_s, self._pending = float('nan'), None

    def resized(self, window: int) -> History:
        """Return one of another length that begins with what this one knows."""
        other = History(window, self._period_s, self.state_size, self.action_size)
        other._states.extend(self._states)
        other._actions.extend(self._actions)
        other._stamp_s, other._pending = self._stamp_s, self._pending
        return other

    @property
    def stamp_s(self) -> float:
        """The stamp of the newest state; NaN where there is none."""
        return self._stamp_s

    @property
    def full(self) -> bool:
        """Whether there are M transitions."""
        return len(self._actions) == self.size

    def last(self) -> Transitions | None:
        """Return the last transition [1, 1, .] in float32; None if there is none."""
        if not self._actions:
            return None
        rows = self._states[-2], self._actions[-1], self._states[-1]
        return Transitions(*(torch.from_numpy(row).float()[None, None] for row in rows))

    def window(self) -> Transitions | None:
        """Return the last M transitions [M, .] in float32, oldest first; None if fewer."""
        return self.known() if self.full else None

    def known(self) -> Transitions:
        """Return the last transitions [M, .] in float32, oldest first; NaN before the first."""
        count = len(self._actions)
        states = torch.full((self.size + 1, self.state_size), torch.nan)
        actions = torch.full((self.size, self.action_size), torch.nan)
        if count:
            states[-count - 1 :] = torch.from_numpy(np.stack(self._states)).float()
            actions[-count:] = torch.from_numpy(np.stack(self._actions)).float()
        return Transitions(states[:-1], actions, states[1:])


def stack_windows(histories: Sequence[History]) -> tuple[Transitions, Tensor]:
    """Return what is known as windows [B, M, .], and which rows [B] are whole."""
    windows = [history.known() for history in histories]
    stacked = Transitions(*(torch.stack(tensors) for tensors in zip(*windows)))
    return stacked, torch.tensor([history.full for history in histories])


class CommandHistory:
    """Transitions under the commands that were in effect, and those that are on their way.

    Threads: `applied` from any, everything else from the one that ticks.
    """

    def __init__(self, spec: RobotSpec, window: int, latency: Latency | None) -> None:
        """window: M transitions. latency: None: commands take effect at once (in lockstep).

        in_time: whether the last tick met its deadline.
        """
        self._spec, self.latency = spec, latency
        self.history = History(window, spec.period_s, spec.state_size, spec.action_size)
        self.stamp_s = -math.inf
        self._measured_s = math.nan
        self.in_time = True
        self._lock = threading.Lock()

    def observe(self, state: Array, stamp_s: float, measured_s: float) -> None:
        """Add the state [S] of a tick. measured_s: the time of its stamp on the steady clock."""
        self.stamp_s = stamp_s
        with self._lock:
            if self.latency is not None:
                if measured_s > self._measured_s:
                    self.history.applied(self.latency.mean(self._measured_s, measured_s))
                self._measured_s = measured_s
            self.history.observe(stamp_s, state)

    def record_missed_period(self, state: Array | None, stamp_s: float, measured_s: float) -> None:
        """Add the state [S] of a period in which no tick began.

        There is a gap instead where nobody knows which command was in effect: without latency,
        as the last one went out when a slow tick was done, and not after the state before; past
        a deadline, where commands decay on their own; and where readings came in a burst and
        their clock is not ours, so that it is not known when they were measured.
        """
        elapsed_s = measured_s - self._measured_s
        known = self.latency and self.in_time and follows(elapsed_s, self._spec.period_s)
        if known and state is not None:
            self.observe(state, stamp_s, measured_s)
        else:
            self.clear()

    def pending(self, now_s: float, send_s: float) -> tuple[Pending, float]:
        """Return what the robot does before a command of now counts, and how long that is [s].

        send_s: when the command will be sent, if it is ready by then; on the steady clock.
        """
        if self.latency is None:
            return (), 0.0
        effect_s = self.latency.effect_s(now_s, send_s)
        return self.latency.pending(self._measured_s, effect_s), effect_s - self._measured_s

    def applied(self, at_s: float, values: Array) -> None:
        """Record a command [A] in units that went out at `at_s`, steady clock."""
        action = from_units(self._spec, values)
        with self._lock:
            self.history.applied(action)
        if self.latency is not None:
            self.latency.sent(at_s, action)

    def on_external_command(self, at_s: float, values: Array) -> None:
        """Record a command [A] in units that somebody else sent at `at_s`, steady clock."""
        if self.latency is not None:
            self.latency.sent(at_s, from_units(self._spec, values))

    def clear(self) -> None:
        """Begin anew after a gap."""
        with self._lock:
            self.history.clear()

    def resize(self, window: int) -> None:
        """Keep M transitions from now on, beginning with those that are known."""
        with self._lock:
            self.history = self.history.resized(window)
