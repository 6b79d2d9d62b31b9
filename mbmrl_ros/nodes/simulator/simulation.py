# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the simulator does and when, without ROS: time, commands, their time-outs, disturbances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from mbmrl_ros.nodes.common.messages import to_nanoseconds
from mbmrl_ros.sim.disturbances import Disturbance, Schedule, active, check
from mbmrl_ros.sim.rates import lockstep_rates, real_time_rates
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array


@dataclass(frozen=True)
class Applied:
    """The command [A] in units that the actuators got at a stamp; reason: why the fallback."""

    stamp_ns: int
    values: Array
    reason: str


class Simulation:
    """A world, and the actuators' own watchdog over the commands that reach it.

    Real time: `due` at every step, which is as long as the shortest period of a sensor; the last
    command is held until it is too old, and counts from the step on that begins after it came, as
    no motor acts on a command before it is there. Lockstep: a step is due as soon as the command
    that answers the present state is there; if none comes for `lockstep_timeout_s` (after the
    first one), the simulation goes on in real time with the fallback, until commands come again.

    Stamps are simulated time. They start at one period, since zero means no time in ROS, and a
    reset takes two periods, so that nobody takes what was before it and after it for a transition.
    """

    def __init__(
        self,
        spec: RobotSpec,
        schedule: Schedule,
        seed: int,
        lockstep: bool,
        command_timeout_s: float,
        lockstep_timeout_s: float,
    ) -> None:
        """command_timeout_s, lockstep_timeout_s: on the steady clock."""
        self.spec = spec
        self.rates = lockstep_rates(spec) if lockstep else real_time_rates(spec)
        self.world = World(spec, physics_steps=self.rates.physics_steps)
        self.lockstep = lockstep
        self.command_timeout_s = command_timeout_s
        self.refused: Counter[str] = Counter()
        self.clamped = 0
        self.step_count = 0
        self.paused = False
        self._schedule = schedule
        for event in schedule:
            check(spec, event.disturbance)
        self._by_hand: list[Disturbance] = []
        self._lockstep_timeout_s = lockstep_timeout_s
        self._fallback = np.asarray(spec.action.fallback, np.float64)
        self._lower, self._upper = np.asarray(spec.action.lower), np.asarray(spec.action.upper)
        self._period_ns = to_nanoseconds(spec.period_s)
        self._offset_ns = self._period_ns
        self._command: Array | None = None
        self._command_s = 0.0
        self._held: tuple[Array, str] = (self._fallback, 'no command yet')
        self._refusal = ''
        self._answered = False
        self._waiting_since_s = float('nan')
        self._degraded_since_ns: int | None = None
        self._ever_commanded = False
        self.last = Applied(0, self._fallback, 'no command yet')
        self.seed(seed)
        self.world.reset(self._rng)

    @property
    def stamp_ns(self) -> int:
        """Simulated time of the present state."""
        return to_nanoseconds(self.world.time_s) + self._offset_ns

    @property
    def mode(self) -> str:
        """What it is doing, for people."""
        if not self.world.healthy:
            return 'stopped: physics are not finite, reset it'
        if self.paused:
            return 'paused'
        if not self.lockstep:
            return 'real time'
        if self._degraded_since_ns is not None:
            return 'lockstep, no command: in real time at the fallback'
        return 'lockstep' if self._ever_commanded else 'lockstep, waiting for the first command'

    def seed(self, seed: int) -> None:
        """Start the stream of start states afresh."""
        self._rng = np.random.default_rng(seed)

    def reset(self, now_s: float, schedule: Schedule | None = None) -> None:
        """Draw a start state; schedule and disturbances start afresh, time goes on.

        schedule: in place of the one before.
        """
        if schedule is not None:
            self._schedule = schedule
        self._by_hand.clear()
        self.step_count = 0
        self.world.set_disturbances(())
        self.world.reset(self._rng)
        self._offset_ns += 2 * self._period_ns
        self._expect(now_s)

    def disturb(self, disturbance: Disturbance, on: bool) -> None:
        """Switch a disturbance by hand, from the next step on; UserError if it cannot be."""
        check(self.spec, disturbance)
        self._by_hand = [d for d in self._by_hand if d != disturbance]
        if on:
            self._by_hand.append(disturbance)

    def undisturb(self) -> None:
        """Switch off all that was switched on by hand."""
        self._by_hand.clear()

    @property
    def disturbances(self) -> tuple[Disturbance, ...]:
        """What is wrong with the robot at the coming step."""
        return tuple(dict.fromkeys([*active(self._schedule, self.period_count), *self._by_hand]))

    @property
    def period_count(self) -> int:
        """Control periods since the last reset, by which schedules count."""
        return self.step_count // self.rates.steps

    def offer(self, command: Array | str, stamp_ns: int | None, now_s: float) -> bool:
        """Store a command, or the reason why it is none; return whether a step is due now."""
        answers = stamp_ns == self.stamp_ns
        if self.lockstep and stamp_ns is None:
            self.refused['lockstep needs commands with a stamp'] += 1
            return False
        if isinstance(command, str):
            self.refused[command] += 1
            if not self.lockstep or not answers:
                return False
        if self.lockstep:
            return self._offer_in_lockstep(command, stamp_ns, answers, now_s)
        if not isinstance(command, str):
            self._take(command, now_s)
        return False

    def due(self, now_s: float) -> bool:
        """Whether a step is due at a tick of the steady clock."""
        if self.paused or not self.world.healthy:
            return False
        if not self.lockstep or self._degraded_since_ns is not None:
            return True
        if self._answered:
            return True
        if self._ever_commanded and self.waiting_s(now_s) > self._lockstep_timeout_s:
            self._degraded_since_ns = self.stamp_ns
            return True
        return False

    @property
    def waiting(self) -> bool:
        """Whether the present state needs an answer before time goes on."""
        stopped = self.paused or not self.world.healthy
        return self.lockstep and not self._answered and not stopped

    def resume(self, now_s: float) -> None:
        """Go on after a pause: what went by in it counts for no time-out in lockstep."""
        self._waiting_since_s = now_s
        self._held = self._choose(now_s)

    def waiting_s(self, now_s: float) -> float:
        """Return for how long the present state has gone without an answer."""
        return now_s - self._waiting_since_s

    def step(self, now_s: float) -> Applied:
        """Advance by one step under the command that counts."""
        values, reason = self._choose(now_s) if self.lockstep else self._held
        self.last = Applied(self.stamp_ns, values, reason)
        if self.world.disturbances != self.disturbances:
            self.world.set_disturbances(self.disturbances)
        self.world.step(values)
        self.step_count += 1
        self._held = self._choose(now_s)
        self._expect(now_s)
        return self.last

    def command_age_s(self, now_s: float) -> float:
        """Return how old the newest command is; NaN before the first."""
        return now_s - self._command_s if self._ever_commanded else float('nan')

    def _offer_in_lockstep(
        self, command: Array | str, stamp_ns: int | None, answers: bool, now_s: float
    ) -> bool:
        if self._degraded_since_ns is not None:
            if stamp_ns is None or stamp_ns < self._degraded_since_ns:
                return False
            # The controller is alive: wait for its answer to the present state again.
            self._degraded_since_ns = None
            self._waiting_since_s = now_s
        if not answers or self._answered:
            return False
        self._answered = True
        if isinstance(command, str):
            self._refusal = command
        else:
            self._take(command, now_s)
        return not self.paused and self.world.healthy

    def _take(self, command: Array, now_s: float) -> None:
        clipped = np.clip(command, self._lower, self._upper)
        self.clamped += bool((clipped != command).any())
        self._command, self._command_s, self._ever_commanded = clipped, now_s, True

    def _choose(self, now_s: float) -> tuple[Array, str]:
        if self.lockstep:
            if self._answered:
                return (self._fallback, self._refusal) if self._refusal else (self._newest(), '')
            return self._fallback, f'no command for {self.waiting_s(now_s):.1f} s'
        if self._command is None:
            return self._fallback, 'no command yet'
        age_s = now_s - self._command_s
        if age_s > self.command_timeout_s:
            limit = f'limit {self.command_timeout_s:g} s'
            return self._fallback, f'command is {age_s:.3f} s old, {limit}'
        return self._command, ''

    def _newest(self) -> Array:
        return self._fallback if self._command is None else self._command

    def _expect(self, now_s: float) -> None:
        self._answered, self._refusal = False, ''
        self._waiting_since_s = now_s
