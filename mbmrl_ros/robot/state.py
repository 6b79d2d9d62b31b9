# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From sensor readings to the state vector: the one place where it is put together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mbmrl_ros.robot.bounds import AllZero, Bounds
from mbmrl_ros.robot.kinematics import points_at
from mbmrl_ros.robot.plausible import Fault, Plausibility, Rates, StandStill
from mbmrl_ros.spec.channels import Channel
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array, Reading

# A stamp before the last one means a clock that was reset (a bag that loops, a simulator started
# again) if it lies further back than this, or comes after a silence of this length; otherwise
# messages came out of order.
RESET_S = 1.0

# Largest distance of a quaternion's norm from 1: drivers round, but a quaternion of zeros comes
# from one that has no orientation to tell.
_NORM_TOLERANCE = 0.05

FAULTS = {
    'missing': 'a topic has not come yet',
    'stale': 'a topic is older than its time-out, or stamps stand still',
    'lag': 'topics were measured too far apart',
    'frozen': 'values of a topic stand still to the last digit',
    'no rate': 'first reading after a gap: no rate of change yet',
    'range': 'a channel is outside its plausible range',
    'jump': 'a channel changed by more than the robot can',
    'zeros': 'all joints are at exactly zero',
    'bounds': 'a channel is far beyond its joint or all that the model was trained on',
}


@dataclass(frozen=True)
class Assembled:
    """A state [S], or None and the reason.

    stamp_s: of the oldest reading that went into it, slow topics apart. fault: the kind of the
    reason, one of FAULTS. measured_s: the time of that stamp on the steady clock.
    """

    state: Array | None
    stamp_s: float
    reason: str
    fault: str = ''
    measured_s: float = math.nan


class StateAssembler:
    """Keeps the newest reading of every topic and puts the state together from them.

    `on_reading` stores, `begin_period` compares with what was before, and `assemble` only looks:
    however often it is asked, nothing changes.
    """

    def __init__(self, spec: RobotSpec) -> None:
        """spec: whose topics are expected; UserError if its kinematics cannot be used."""
        self._spec = spec
        points_at(spec, np.zeros(spec.action_size))
        self._newest: dict[str, Reading] = {}
        self._sizes = {topic: len(spec.topic_signals(topic)) for topic in spec.topics}
        order = {signal: i for i, signal in enumerate(spec.signals)}
        self._places = {
            topic: [order[signal] for signal in spec.topic_signals(topic)] for topic in spec.topics
        }
        self._quaternions = {topic: _quaternion_places(spec, topic) for topic in spec.topics}
        self._stamp_s, self._first_s = math.nan, math.nan
        self._rates, self._still = Rates(spec), StandStill(spec)
        self._plausible = Plausibility(spec)
        self._zeros, self.bounds = AllZero(spec), Bounds()

    def on_reading(self, reading: Reading) -> str | None:
        """Store a reading; return None, or why it was refused (the one before it stays)."""
        fault = self._fault(reading)
        if fault:
            return fault
        newest = self._newest.get(reading.topic)
        if newest is not None and reading.stamp_s < newest.stamp_s:
            silence_s = reading.received_s - newest.received_s
            if newest.stamp_s - reading.stamp_s <= RESET_S and silence_s <= RESET_S:
                return f'{reading.topic}: out of order'
            # All topics start afresh, or states would mix readings from before and after.
            self._newest.clear()
            self._rates.clear()
            self._plausible.clear()
        self._newest[reading.topic] = reading
        self._still.add(reading)
        self._zeros.add(reading)
        return None

    def _fault(self, reading: Reading) -> str:
        """Return what is wrong with a reading by itself; constant texts, to be counted by."""
        if reading.topic not in self._sizes:
            return f'unknown topic {reading.topic}'
        if len(reading.values) != self._sizes[reading.topic]:
            size = self._sizes[reading.topic]
            return f'{reading.topic}: {len(reading.values)} values instead of {size}'
        if not all(map(math.isfinite, reading.values)):
            return f'{reading.topic}: value is not finite'
        if not (math.isfinite(reading.stamp_s) and math.isfinite(reading.received_s)):
            return f'{reading.topic}: time is not finite'
        for places in self._quaternions[reading.topic]:
            norm = math.hypot(*(reading.values[place] for place in places))
            if abs(norm - 1.0) > _NORM_TOLERANCE:
                return f'{reading.topic}: quaternion is not of norm 1'
        return ''

    def begin_period(self, now_s: float) -> None:
        """Compare the newest readings, as those of a period, with the ones before.

        That gives rates of change, stamps that stand still, and jumps. With the same readings
        again, nothing changes. now_s: steady clock, as in `assemble`.
        """
        if self._absent(now_s):
            return
        still = self._still.faults(self._newest)
        for topic in still:
            self._rates.forget(topic)
        if self._lags():
            return
        stamp_s = self._oldest().stamp_s
        if stamp_s != self._stamp_s:
            self._stamp_s, self._first_s = stamp_s, now_s
        if still:
            return
        self._rates.update(self._newest)
        fresh = self._plausible.fresh(self._newest)
        if fresh and not self._rates.missing:
            self._plausible.add(self._state(), fresh)

    def assemble(self, now_s: float) -> Assembled:
        """Return the state if every topic is there and none is older than its time-out.

        Nor may a topic lag behind another by more than that, or a state come back for longer: a
        driver that repeats its last measurement must not keep the robot moving.

        now_s: steady clock, as in `Reading.received_s` [s].
        """
        fault = self._absent(now_s) or self._lags() or self._stopped(now_s)
        fault = fault or next(iter(self._still.faults(self._newest).values()), None)
        fault = fault or self._zeros.fault() or self._rates.missing
        if fault:
            return Assembled(None, math.nan, fault.text, fault.kind)
        state = self._state()
        fault = self._plausible.fault(state) or self.bounds.fault(state)
        if fault:
            return Assembled(None, math.nan, fault.text, fault.kind)
        oldest = self._oldest()
        measured_s = oldest.received_s - oldest.transport_s
        return Assembled(state, oldest.stamp_s, '', measured_s=measured_s)

    def _oldest(self) -> Reading:
        """Return the reading that dates the state."""
        dating = (r for r in self._newest.values() if not self._spec.topics[r.topic].slow)
        return min(dating, key=lambda reading: reading.stamp_s)

    def _state(self) -> Array:
        signals = np.empty(len(self._spec.signals))
        for topic, places in self._places.items():
            signals[places] = self._newest[topic].values
        return encode(self._spec, signals, self._rates.values)

    def _absent(self, now_s: float) -> Fault | None:
        """Return the fault of a topic that has not come, or not for too long."""
        for topic, settings in self._spec.topics.items():
            reading = self._newest.get(topic)
            if reading is None:
                return Fault('missing', f'{topic}: no reading yet')
            age_s = now_s - reading.received_s
            # The absolute value: a reading from the future tells that clocks got mixed up, and
            # would never go stale.
            if not abs(age_s) <= settings.timeout_s:
                limit_s = settings.timeout_s
                return Fault('stale', f'{topic}: stale, {age_s:.3f} s old, limit {limit_s:g} s')
        return None

    def _lags(self) -> Fault | None:
        """Return the fault of a reading that is too old beside the newest one."""
        newest = max(self._newest.values(), key=lambda reading: reading.stamp_s)
        for topic, reading in self._newest.items():
            lag_s, limit_s = newest.stamp_s - reading.stamp_s, self._spec.topics[topic].timeout_s
            if lag_s > limit_s:
                text = f'{topic}: {lag_s:.3f} s behind {newest.topic}, limit {limit_s:g} s'
                return Fault('lag', text)
        return None

    def _stopped(self, now_s: float) -> Fault | None:
        """Return the fault of a stamp that has been used for too long."""
        oldest = self._oldest()
        if oldest.stamp_s != self._stamp_s:
            return None
        held_s, limit_s = now_s - self._first_s, self._spec.topics[oldest.topic].timeout_s
        if abs(held_s) <= limit_s:
            return None
        text = f'{oldest.topic}: stamp has stood still for {held_s:.3f} s, limit {limit_s:g} s'
        return Fault('stale', text)

    def complete_stamp(self) -> float | None:
        """Return the stamp that the newest readings of all topics share, or None."""
        stamps = {reading.stamp_s for reading in self._newest.values()}
        whole = len(self._newest) == len(self._sizes) and len(stamps) == 1
        return stamps.pop() if whole else None


def _quaternion_places(spec: RobotSpec, topic: str) -> set[tuple[int, ...]]:
    """Return where in a topic's readings quaternions are."""
    signals = spec.topic_signals(topic)
    return {
        tuple(signals.index(signal) for signal in channel.signals)
        for channel in spec.state
        if channel.topic == topic and channel.of_quaternion
    }


def encode(spec: RobotSpec, signals: Array, rates: Array | None = None) -> Array:
    """Compute states [..., S] from raw signals [..., R] in the order of spec.signals.

    rates: [..., R] change per second of the signals, for channels of that encoding.
    """
    order = spec.signal_places
    points = _points(spec, signals, order)
    states = np.empty((*signals.shape[:-1], spec.state_size))
    # Most channels are a signal as it is: all of them at once take the time of one.
    copies, sources = spec.copied_channels
    states[..., copies] = signals[..., sources]
    # Sine and cosine are of one angle, mostly, and nine cells of one matrix.
    derived: dict[tuple[str | None, tuple[str, ...]], Array] = {}
    for column, channel in spec.computed_channels:
        if channel.point is not None:
            states[..., column] = points[channel.point][..., 'xyz'.index(channel.field)]
            continue
        if channel.encoding == 'rate':
            if rates is None:
                raise ValueError(f'{spec.name}: channel {channel.name} needs rates')
            states[..., column] = rates[..., order[channel.signals[0]]]
            continue
        of = (channel.angle, channel.signals)
        if of not in derived:
            raw = [signals[..., order[signal]] for signal in channel.signals]
            derived[of] = _derived(channel, raw)
        if channel.cell is not None:
            states[..., column] = derived[of][channel.cell]
            continue
        turn = np.sin if channel.encoding.startswith('sin') else np.cos
        states[..., column] = turn(derived[of])
    return states


def _derived(channel: Channel, raw: list[Array]) -> Array:
    """Return what a channel is a cell, or the sine or cosine, of: a matrix or an angle."""
    if channel.cell is not None:
        return rotation_matrix(np.stack(raw))
    return raw[0] if channel.angle is None else quaternion_angle(channel.angle, *raw)


def _points(spec: RobotSpec, signals: Array, order: dict[str, int]) -> dict[str, Array]:
    if spec.kinematics is None:
        return {}
    places = [order[signal] for signal in spec.kinematics.signals(spec.action.joints)]
    return points_at(spec, signals[..., places])


def quaternion_angle(angle: str, w: Array, x: Array, y: Array, z: Array) -> Array:
    """Return an angle [rad] of a quaternion of any norm; q and -q give the same modulo 2 pi.

    rotation_y: of a planar robot, which only turns about y, over the whole circle; roll, pitch,
    yaw: intrinsic z-y'-x'', REP-103.
    """
    if angle == 'rotation_y':
        return 2 * np.arctan2(y, w)
    if angle == 'roll':
        return np.arctan2(2 * (w * x + y * z), w * w - x * x - y * y + z * z)
    if angle == 'pitch':
        squared_norm = w * w + x * x + y * y + z * z
        return np.arcsin(np.clip(2 * (w * y - z * x) / squared_norm, -1.0, 1.0))
    return np.arctan2(2 * (w * z + x * y), w * w + x * x - y * y - z * z)


def rotation_matrix(quaternion: Array) -> Array:
    """Return the rotation matrices [3, 3, ...] of quaternions [4, ...] (w first) of any norm.

    They are the same for q and -q and smooth everywhere, also where a robot lies on its side,
    which no three angles are.
    """
    v, (x, y, z) = quaternion[1:], quaternion[0] * quaternion[1:]
    norm = (quaternion * quaternion).sum(0)
    matrix = v[:, None] * v
    matrix[0, 1] -= z
    matrix[1, 0] += z
    matrix[0, 2] += y
    matrix[2, 0] -= y
    matrix[1, 2] -= x
    matrix[2, 1] += x
    matrix = 2 * matrix / norm
    matrix[range(3), range(3)] = 1 - 2 * ((v * v).sum(0) - v * v) / norm
    return np.asarray(matrix)
