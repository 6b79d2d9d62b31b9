# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What may pass from the controller to the motors; runs in a process of its own (gate_node).

The controller checks its own commands; the gate checks them again without trusting planner,
network or controller, and watches what the controller does not: that commands keep coming, that
somebody holds the deadman's switch, that the battery lasts.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from mbmrl_ros.config import UserError
from mbmrl_ros.robot.bounds import Bounds
from mbmrl_ros.robot.plausible import Fault
from mbmrl_ros.robot.safety import SafetyFilter
from mbmrl_ros.robot.state import Assembled, StateAssembler
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading

# Motors are to be at the fallback 0.3 s after a fault; transport and a check take the rest.
LONGEST_SILENCE_S = 0.25


class GateOutput(NamedTuple):
    """What goes to the motors.

    values: [A] in units. kind: '' for the command that came, 'limited' for what limits and rate
    limits left of it, otherwise the kind of the fault for which this is the fallback. reason: in
    words, empty only for ''.
    """

    values: Array
    kind: str
    reason: str

    @property
    def fell_back(self) -> bool:
        """Whether this is the fallback."""
        return self.kind not in ('', 'limited')


Value = TypeVar('Value')


@dataclass
class Heartbeat(Generic[Value]):
    """The newest of something that has to keep coming; times on the steady clock [s]."""

    name: str
    timeout_s: float
    value: Value | None = None
    received_s: float = math.nan

    def take(self, value: Value, now_s: float) -> None:
        """Store what came."""
        self.value, self.received_s = value, now_s

    def timeout_reason(self, now_s: float) -> str:
        """Return for how long nothing came, if that is too long."""
        if math.isnan(self.received_s):
            return f'{self.name}: nothing yet'
        age_s = now_s - self.received_s
        if abs(age_s) <= self.timeout_s:
            return ''
        return f'{self.name}: stale, {age_s:.3f} s old, limit {self.timeout_s:g} s'


class Gate:
    """Limits, time-outs, and a stop that stays; nothing here raises after construction."""

    def __init__(
        self,
        spec: RobotSpec,
        timeout_s: float = LONGEST_SILENCE_S,
        deadman_timeout_s: float | None = None,
    ) -> None:
        """timeout_s: the longest silence of controller and sensors (slow topics apart), where the
        robot file has no shorter one; UserError if that is less than two control periods.
        deadman_timeout_s: of the deadman's switch, None where there is none.
        """
        if timeout_s < 2 * spec.period_s:
            raise UserError(
                f'timeout_s is {timeout_s:g}; {spec.name} has a period of {spec.period_s:g} s, '
                'and one late command is no fault: at least two periods'
            )
        spec = _with_shorter_timeouts(spec, timeout_s)
        self.spec = spec
        self.refused: Counter[str] = Counter()
        self._safety = SafetyFilter(spec)
        self._assembler = StateAssembler(spec)
        self._command = Heartbeat[Array | str]('command', min(timeout_s, spec.action.timeout_s))
        self._deadman = (
            None if deadman_timeout_s is None else Heartbeat[bool]('deadman', deadman_timeout_s)
        )
        battery = spec.safety.battery
        self._battery = None if battery is None else Heartbeat[float]('battery', battery.timeout_s)
        self._minimum_v = -math.inf if battery is None else battery.minimum_v
        self._last_s, self._unused_s = math.nan, 0.0
        self._sent = np.asarray(spec.action.fallback, np.float64)

    def use_bounds(self, bounds: Bounds) -> None:
        """Hold states against bounds that the robot file does not tell."""
        self._assembler.bounds = bounds

    def on_reading(self, reading: Reading) -> None:
        """Store a sensor reading; one that is refused is counted."""
        reason = self._assembler.on_reading(reading)
        if reason is not None:
            self.refused[reason] += 1
        else:
            self._assembler.begin_period(reading.received_s)

    def on_deadman(self, held: bool, now_s: float) -> None:
        """Store the state of the deadman's switch."""
        if self._deadman is not None:
            self._deadman.take(held, now_s)

    def on_battery(self, voltage: float, now_s: float) -> None:
        """Store the voltage of the battery [V]."""
        if self._battery is not None:
            self._battery.take(voltage, now_s)

    def e_stop(self, reason: str) -> None:
        """Latch the stop: only the fallback goes out until `release`."""
        self._safety.e_stop(reason)

    def release(self, now_s: float) -> str | None:
        """Unlatch; return None, or why there was nothing to release or what latches it again."""
        reason = self._safety.release()
        if reason is None:
            self._latch(self._assembler.assemble(now_s))
            return self._safety.stopped or None
        return reason

    @property
    def stopped(self) -> str:
        """Why the stop is latched; empty if it is not."""
        return self._safety.stopped

    def process_command(self, command: Array | str, now_s: float) -> GateOutput:
        """Return what goes out for a command [A] in units, or for the reason why it is none."""
        if isinstance(command, str):
            self.refused[command] += 1
        self._command.take(command, now_s)
        state, fault = self._check(now_s)
        wanted = None if fault is not None or isinstance(command, str) else command
        reason = '' if fault is None else fault.text
        before, usable_s = self._sent, self._usable(now_s)
        self._sent, reason = self._safety.filter(wanted, reason, state, 0.0, usable_s)
        if fault is None and self._safety.fell_back:
            fault = Fault('command', reason)
        if fault is None:
            used_s = np.abs(self._sent - before) / self.spec.action.rate_limit
            self._unused_s -= min(float(used_s.max()), usable_s)
        return GateOutput(self._sent, fault.kind if fault else reason, reason)

    def watch(self, now_s: float) -> GateOutput | None:
        """Return the fallback if there is a fault; None while the last command may stand."""
        _, fault = self._check(now_s)
        return None if fault is None else self.fall_back(fault)

    def fall_back(self, fault: Fault) -> GateOutput:
        """Return the fallback."""
        self._sent, _ = self._safety.filter(None, fault.text, None, 0.0, 0.0)
        return GateOutput(self._sent, fault.kind, fault.text)

    def _check(self, now_s: float) -> tuple[Array | None, Fault | None]:
        """Return the state [S] and what speaks against moving, the gravest first."""
        assembled = self._assembler.assemble(now_s)
        self._latch(assembled)
        fault = None
        if self._safety.stopped:
            fault = Fault('stopped', self._safety.stopped)
        elif reason := self._released(now_s):
            fault = Fault('deadman', reason)
        elif reason := self._no_voltage(now_s):
            fault = Fault('battery', reason)
        elif assembled.state is None:
            fault = Fault(assembled.fault, assembled.reason)
        elif reason := self._no_command(now_s):
            fault = Fault('command', reason)
        return assembled.state, fault

    def _latch(self, assembled: Assembled) -> None:
        """Stop for good where going on by itself would be a prediction_error.

        A robot that is carried back into its area must not start in somebody's hands, and a
        battery recovers as soon as the motors rest.
        """
        voltage = None if self._battery is None else self._battery.value
        if voltage is not None and voltage < self._minimum_v:
            self.e_stop(f'battery: {voltage:g} V, minimum {self._minimum_v:g} V')
        if assembled.state is not None and (outside := self._safety.outside(assembled.state)):
            self.e_stop(outside)

    def _released(self, now_s: float) -> str:
        if self._deadman is None:
            return ''
        return self._deadman.timeout_reason(now_s) or (
            '' if self._deadman.value else 'deadman: not held'
        )

    def _no_voltage(self, now_s: float) -> str:
        if self._battery is None:
            return ''
        measured = self._battery.value is not None and math.isfinite(self._battery.value)
        return self._battery.timeout_reason(now_s) or ('' if measured else 'battery: no voltage')

    def _no_command(self, now_s: float) -> str:
        command = self._command.value
        return command if isinstance(command, str) else self._command.timeout_reason(now_s)

    def _usable(self, now_s: float) -> float:
        """Return the time within which a command may change, for the rate limits [s].

        Commands that are a period apart on average may change by a period's worth each, however
        they jitter; and however many come, in a time t they change by no more than is allowed in
        t and two periods.
        """
        period_s = self.spec.period_s
        elapsed_s = period_s if math.isnan(self._last_s) else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        self._unused_s = min(self._unused_s + elapsed_s, 2 * period_s)
        return min(self._unused_s, max(elapsed_s, period_s))


def _with_shorter_timeouts(spec: RobotSpec, timeout_s: float) -> RobotSpec:
    """Return the robot with no longer time-outs than this on topics that are not slow."""
    topics = {
        name: topic
        if topic.slow
        else topic.model_copy(update={'timeout_s': min(topic.timeout_s, timeout_s)})
        for name, topic in spec.topics.items()
    }
    return spec.model_copy(update={'topics': topics})
