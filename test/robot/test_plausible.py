# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rates of change, sensors that stand still, impossible states: as the assembler sees them."""

import math

import numpy as np
import pytest

from mbmrl_ros.robot.state import FAULTS, Assembled, StateAssembler, encode
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('millirobot')
PERIOD = SPEC.period_s
SPEED = 0.3
TURN = 20.0


class Robot:
    """A robot that walks along x at SPEED and turns its left legs at TURN, seen at given times."""

    def __init__(self, spec: RobotSpec = SPEC) -> None:
        self.spec, self.assembler = spec, StateAssembler(spec)

    def values(self, time_s: float) -> dict[str, float]:
        values = dict.fromkeys(self.spec.signals, 0.0)
        # Motion capture never reads the same twice, not even of a robot that rests.
        values['pose:pose.position.y'] = 1e-6 * math.sin(1e4 * time_s)
        values['pose:pose.position.x'] = SPEED * time_s
        values['pose:pose.position.z'] = 0.06
        values['pose:pose.orientation.w'] = 1.0
        values['joint_states:position[left_legs]'] = TURN * time_s
        return values

    def see(self, stamp_s: float, skip: tuple[str, ...] = (), **changes: float) -> Assembled:
        """Send readings of all topics but some, measured at stamp_s, and assemble."""
        values = self.values(stamp_s)
        for name, value in changes.items():
            signals = [signal for signal in values if signal.endswith(name)]
            values[signals[0]] = value
        for topic in self.spec.topics:
            if topic not in skip:
                signals = self.spec.topic_signals(topic)
                reading = Reading(topic, stamp_s, stamp_s, tuple(values[s] for s in signals))
                assert self.assembler.on_reading(reading) is None
        self.assembler.begin_period(stamp_s)
        return self.assembler.assemble(stamp_s)

    def state(self, stamp_s: float, channel: str, **changes: float) -> float:
        assembled = self.see(stamp_s, **changes)
        assert assembled.state is not None, assembled.reason
        return assembled.state[self.spec.channel_index(channel)]


def test_the_first_reading_has_no_rate_and_makes_no_state():
    robot = Robot()
    first = robot.see(5.0)
    assert (first.state, first.fault) == (None, 'no rate')
    assert robot.state(5.1, 'vx') == pytest.approx(SPEED)


def test_rates_are_over_the_measured_time_not_the_nominal_period():
    robot = Robot()
    robot.see(0.0)
    for stamp in (0.06, 0.20, 0.29):
        state = robot.see(stamp).state
        assert state[SPEC.channel_index('vx')] == pytest.approx(SPEED)
        assert state[SPEC.channel_index('left_rate')] == pytest.approx(TURN)


def test_each_topic_has_the_time_of_its_own_stamps():
    robot = Robot()
    robot.see(0.0)
    # The legs are measured 20 ms after the pose: 0.12 s after their last, the pose 0.1 s.
    robot.see(0.1, skip=('joint_states',))
    legs = robot.values(0.12)
    names = SPEC.topic_signals('joint_states')
    values = tuple(legs[name] for name in names)
    robot.assembler.on_reading(Reading('joint_states', 0.12, 0.12, values))
    robot.assembler.begin_period(0.12)
    state = robot.assembler.assemble(0.12).state
    assert state[SPEC.channel_index('left_rate')] == pytest.approx(TURN)
    assert state[SPEC.channel_index('vx')] == pytest.approx(SPEED)


def test_after_a_gap_the_first_reading_has_no_rate_and_the_second_has():
    robot = Robot()
    robot.see(0.0)
    assert robot.see(0.1).state is not None
    after = robot.see(1.0)
    assert (after.state, after.fault) == (None, 'no rate')
    assert robot.state(1.1, 'vx') == pytest.approx(SPEED)


def test_a_reading_that_is_repeated_keeps_the_rate_and_the_next_one_is_right():
    robot = Robot()
    robot.see(0.0)
    robot.see(0.1)
    # Two milliseconds later a difference would be noise over next to nothing.
    assert robot.state(0.102, 'vx') == pytest.approx(SPEED)
    assert robot.state(0.2, 'vx') == pytest.approx(SPEED)


def test_a_clock_that_starts_again_starts_the_rates_afresh():
    robot = Robot()
    robot.see(100.0)
    assert robot.see(100.1).state is not None
    for stamp in (3.0, 3.1):
        for topic in SPEC.topics:
            values = robot.values(stamp)
            signals = SPEC.topic_signals(topic)
            reading = Reading(topic, stamp, 97.2 + stamp, tuple(values[s] for s in signals))
            robot.assembler.on_reading(reading)
        robot.assembler.begin_period(97.2 + stamp)
        assembled = robot.assembler.assemble(97.2 + stamp)
        assert (assembled.state is None) == (stamp == 3.0)
    assert assembled.state[SPEC.channel_index('vx')] == pytest.approx(SPEED)


def test_motion_capture_that_repeats_its_last_pose_makes_no_state_and_no_false_speed():
    robot = Robot()
    robot.see(0.0)
    robot.see(0.1)
    values = robot.values(0.1)
    lost = {name.split(':')[1]: values[name] for name in SPEC.topic_signals('pose')}
    for stamp in (0.2, 0.3, 0.4):
        assert robot.see(stamp, **lost).fault == 'frozen'
    # The markers are found again 0.12 m further on, which was not walked within a period.
    assert robot.see(0.5).fault == 'no rate'
    assert robot.state(0.6, 'vx') == pytest.approx(SPEED)


def test_legs_may_stand_still():
    robot = Robot()
    robot.see(0.0, **{'position[left_legs]': 1.0})
    for stamp in (0.1, 0.2, 0.3, 0.4):
        assert robot.state(stamp, 'left_rate', **{'position[left_legs]': 1.0}) == 0.0


@pytest.mark.parametrize('place', [0.013, 0.85])
def test_a_state_outside_its_plausible_range_is_refused(place):
    robot = Robot()
    robot.see(0.0)
    bad = robot.see(0.1, **{'position.z': place})
    assert bad.fault == 'range' and bad.reason == f'z: {place:g} outside 0.02..0.2'


def test_a_jump_is_refused_there_and_back_and_nothing_after_it():
    robot = Robot()
    robot.see(0.0)
    robot.see(0.1)
    jumped = robot.see(0.2, **{'position.x': 1.0})
    assert jumped.fault == 'jump' and jumped.reason.startswith('x: changed by 0.97')
    assert robot.see(0.3).fault == 'jump'
    assert robot.state(0.4, 'vx') == pytest.approx(SPEED)


def jumps(rate: float, asked: int, phase: float = 0.0, jitter: float = 0.0) -> list[float]:
    """Return at which stamps there is a jump, in periods after one of 5 m; sensors rate x as fast.

    asked: how often per reading. phase: of the readings, in periods.
    """
    robot, rng = Robot(), np.random.default_rng(0)
    count, faults = round(6 * rate) + 3, []
    stamps = phase * PERIOD + PERIOD / rate * (
        np.arange(count) + jitter * rng.uniform(-0.5, 0.5, count)
    )
    jumped_s = stamps[count // 2]
    for stamp in stamps:
        x = 5.0 * (stamp >= jumped_s)
        assembled = robot.see(stamp, **{'position.x': x})
        for _ in range(asked):
            assert robot.assembler.assemble(stamp).fault == assembled.fault
        if assembled.fault == 'jump':
            faults.append((stamp - jumped_s) / PERIOD)
        elif stamp - stamps[0] > PERIOD:
            assert assembled.state is not None
    return faults


@pytest.mark.parametrize('asked', [0, 3])
@pytest.mark.parametrize('phase', [0.0, 0.37])
@pytest.mark.parametrize('rate', [0.7, 1.0, 1.9, 3.0, 10.0, 100.0])
def test_a_jump_is_seen_by_sensors_at_any_rate_for_a_period_however_often_asked(
    rate, phase, asked
):
    faults = jumps(rate, asked, phase)
    # From the reading that jumped to the last one of the period that begins with it.
    assert faults[0] == 0.0 and 1 - 1 / rate - 1e-6 < faults[-1] + 1e-6 < 1.0
    assert len(faults) == max(1, math.ceil(rate - 1e-6))


@pytest.mark.parametrize('rate', [1.0, 3.0, 10.0])
def test_a_jump_is_seen_however_readings_jitter(rate):
    faults = jumps(rate, 1, jitter=0.6)
    assert faults[0] == 0.0 and faults[-1] < 1.0


@pytest.mark.parametrize('rate', [0.7, 1.0, 3.0, 10.0, 100.0])
def test_the_fastest_walk_is_no_jump_at_any_rate(rate):
    robot = Robot()
    for step in range(round(4 * rate) + 4):
        stamp = step * PERIOD / rate
        x = 0.99 * SPEC.plausible['x'].step * stamp / PERIOD
        assert robot.see(stamp, **{'position.x': x}).fault in ('', 'no rate')


def test_a_slow_topic_may_change_by_what_its_own_time_allows():
    data = SPEC.model_dump()
    data['topics']['telemetry'] |= {'slow': True, 'timeout_s': 5.0}
    channel = next(c.name for c in SPEC.state if c.topic == 'telemetry')
    data['plausible'][channel] = {'step': 1.0}
    robot = Robot(RobotSpec.model_validate(data))
    place = next(s for s in SPEC.topic_signals('telemetry')).split(':')[1]
    for step, expected in ((0, ''), (10, ''), (20, 'jump')):
        for between in range(10):
            skip = ('telemetry',) if between else ()
            # Nine in ten periods, then twenty in as many.
            value = {0: 0.0, 10: 9.0, 20: 29.0}[step]
            seen = robot.see(0.1 * (step + between), skip, **{place: value})
            assert seen.fault == (expected or ('no rate' if step + between == 0 else ''))


def test_asking_changes_nothing():
    robot, other = Robot(), Robot()
    for step in range(8):
        stamp, odd = 0.1 * step, {'position.x': 1.0} if step == 5 else {}
        robot.see(stamp, **odd)
        other.see(stamp, **odd)
        for later_s in (0.0, 0.02, 10.0, 0.05):
            other.assembler.assemble(stamp + later_s)
        one, two = robot.assembler.assemble(stamp), other.assembler.assemble(stamp)
        assert (one.fault, one.reason, one.stamp_s) == (two.fault, two.reason, two.stamp_s) or (
            one.fault == two.fault != ''
        )
        assert np.array_equal(one.state, two.state) or one.state is two.state is None


def test_a_turn_over_the_seam_of_the_angle_is_no_jump():
    robot = Robot()
    for step, degrees in enumerate((170, 178, 186, 194)):
        half = math.radians(degrees) / 2
        # A driver may send either of the two quaternions that mean the same.
        sign = (-1) ** step
        turn = {'orientation.w': sign * math.cos(half), 'orientation.z': sign * math.sin(half)}
        assembled = robot.see(0.1 * step, **turn)
        assert (assembled.state is not None) == (step > 0), assembled.reason


def test_a_slow_topic_neither_dates_the_state_nor_ends_it():
    data = SPEC.model_dump()
    data['topics']['telemetry'] |= {'slow': True, 'timeout_s': 5.0}
    robot = Robot(RobotSpec.model_validate(data))
    robot.see(0.0)
    stamps = [0.1 * step for step in range(1, 40)]
    seen = [robot.see(stamp, skip=('telemetry',)) for stamp in stamps]
    assert [assembled.stamp_s for assembled in seen] == stamps


def test_every_reason_is_of_a_known_kind():
    rng, robot, kinds = np.random.default_rng(0), Robot(), set()
    time_s = 0.0
    for _ in range(2000):
        time_s += rng.choice([0.0, 0.1, 0.1, 0.1, 0.1, 0.2, 1.0])
        skip = tuple(topic for topic in SPEC.topics if rng.random() < 0.05)
        odd = {'position.z': 0.5} if rng.random() < 0.05 else {}
        odd |= {'position.x': 9.0} if rng.random() < 0.05 else {}
        assembled = robot.see(time_s, skip, **odd)
        assert (assembled.state is None) == bool(assembled.reason) == bool(assembled.fault)
        kinds.add(assembled.fault)
    assert kinds <= {'', *FAULTS} and {'no rate', 'range', 'jump', 'stale'} <= kinds


def test_a_robot_with_rates_cannot_be_encoded_without_them():
    with pytest.raises(ValueError, match='channel vx needs rates'):
        encode(SPEC, np.zeros(len(SPEC.signals)))
