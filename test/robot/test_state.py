# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mbmrl_ros.robot.state import StateAssembler, encode, quaternion_angle, rotation_matrix
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('half_cheetah')


def reading(topic, stamp=0.0, received=0.0, value=0.5):
    return Reading(topic, stamp, received, (value,) * len(SPEC.topic_signals(topic)))


def assembler_with_all(stamp=0.0, received=0.0):
    assembler = StateAssembler(SPEC)
    for topic in SPEC.topics:
        assert assembler.on_reading(reading(topic, stamp, received)) is None
    return assembler


def test_no_state_before_every_topic_came():
    assembler = StateAssembler(SPEC)
    assembler.on_reading(reading('odom'))
    assembled = assembler.assemble(0.0)
    assert assembled.state is None
    assert assembled.reason == 'joint_states: no reading yet'


def test_state_is_in_the_order_of_the_robot_file():
    assembler = StateAssembler(SPEC)
    values = {signal: float(i) for i, signal in enumerate(SPEC.signals)}
    values |= {f'odom:pose.pose.orientation.{p}': q for p, q in zip('wxyz', (0.6, 0, 0.8, 0))}
    for topic in SPEC.topics:
        signals = SPEC.topic_signals(topic)
        assembler.on_reading(Reading(topic, 0.0, 0.0, tuple(values[s] for s in signals)))
    state = assembler.assemble(0.0).state
    assert state[SPEC.channel_index('fshin_rate')] == values['joint_states:velocity[fshin]']
    assert state[SPEC.channel_index('vz')] == values['odom:twist.twist.linear.z']
    # Rotation about y by 2 atan2(0.8, 0.6): sin = 2 * 0.6 * 0.8, cos = 0.6^2 - 0.8^2.
    assert state[SPEC.channel_index('sin_pitch')] == pytest.approx(0.96)
    assert state[SPEC.channel_index('cos_pitch')] == pytest.approx(-0.28)


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_and_the_old_one_stays(bad):
    assembler = assembler_with_all()
    before = assembler.assemble(0.0).state
    assert 'not finite' in assembler.on_reading(reading('odom', 0.01, 0.01, bad))
    assert np.array_equal(assembler.assemble(0.01).state, before)


def test_a_sensor_that_stops_makes_the_state_stale_after_its_time_out():
    assembler = assembler_with_all(received=10.0)
    limit = SPEC.topics['odom'].timeout_s
    assert assembler.assemble(10.0 + 0.99 * limit).state is not None
    stale = assembler.assemble(10.0 + 1.01 * limit)
    assert stale.state is None and 'stale' in stale.reason


def test_time_going_back_a_little_is_refused_and_a_lot_starts_afresh():
    assembler = assembler_with_all(stamp=100.0)
    assert assembler.on_reading(reading('odom', 99.9)) == 'odom: out of order'
    assert assembler.on_reading(reading('odom', 3.0)) is None
    # The other topic's reading is from before the reset and must not be mixed in.
    assert assembler.assemble(0.0).reason == 'joint_states: no reading yet'


def test_a_straggler_from_before_a_reset_is_not_mixed_with_what_came_after():
    assembler = assembler_with_all(stamp=100.0)
    assembler.on_reading(reading('odom', 3.0))
    assembler.on_reading(reading('joint_states', 100.01))
    assembled = assembler.assemble(0.0)
    assert assembled.state is None and 'odom: 97.010 s behind joint_states' in assembled.reason
    assembler.on_reading(reading('joint_states', 3.01))
    assembler.on_reading(reading('odom', 3.01))
    assert assembler.assemble(0.0).stamp_s == 3.01


def test_a_simulator_started_again_within_its_first_second_is_heard():
    assembler = assembler_with_all(stamp=0.5, received=10.0)
    # Not out of order: messages that overtake each other do not do so over seconds.
    for topic in SPEC.topics:
        assert assembler.on_reading(reading(topic, 0.01, 12.0)) is None
    assert assembler.assemble(12.0).stamp_s == 0.01


def test_topics_measured_too_far_apart_make_no_state():
    assembler = assembler_with_all(stamp=1.0)
    limit = SPEC.topics['odom'].timeout_s
    assembler.on_reading(reading('joint_states', 1.0 + 0.9 * limit))
    assert assembler.assemble(0.0).stamp_s == 1.0
    assembler.on_reading(reading('joint_states', 1.0 + 1.1 * limit))
    assert 'odom: 0.110 s behind joint_states' in assembler.assemble(0.0).reason


@pytest.mark.parametrize('frozen', [('odom',), ('joint_states',), ('odom', 'joint_states')])
def test_a_driver_that_repeats_its_last_measurement_is_found_out(frozen):
    assembler, limit = StateAssembler(SPEC), SPEC.topics['odom'].timeout_s

    def state_after(now, stuck):
        for topic in SPEC.topics:
            assembler.on_reading(reading(topic, 1.0 if topic in stuck else 1.0 + now, now))
        assembler.begin_period(now)
        return assembler.assemble(now).state

    seen = [state_after(now, frozen) is not None for now in np.arange(0.0, 0.3, 0.01)]
    fresh = round(limit / 0.01)
    assert all(seen[:fresh]) and not any(seen[fresh + 2 :])
    assert state_after(0.3, ()) is not None


def test_a_state_that_is_sent_again_because_a_part_was_lost_is_good():
    assembler = StateAssembler(SPEC)
    assembler.on_reading(reading('odom', 1.0, received=0.0))
    assert assembler.assemble(0.0).state is None
    for topic in SPEC.topics:
        assert assembler.on_reading(reading(topic, 1.0, received=0.2)) is None
    assert assembler.complete_stamp() == 1.0 and assembler.assemble(0.2).stamp_s == 1.0


@pytest.mark.parametrize('now', [math.nan, math.inf, -math.inf, -1.0])
def test_clocks_that_got_mixed_up_make_no_state(now):
    assert assembler_with_all(received=10.0).assemble(now).state is None


@pytest.mark.parametrize('times', [(math.nan, 0.0), (math.inf, 0.0), (0.0, math.nan)])
def test_times_that_are_not_finite_are_refused(times):
    assembler = StateAssembler(SPEC)
    assert assembler.on_reading(reading('odom', *times)) == 'odom: time is not finite'


@pytest.mark.parametrize(
    ('norm', 'taken'), [(0.0, False), (0.9, False), (1.01, True), (1e308, False)]
)
def test_an_orientation_that_is_none_is_refused(norm, taken):
    values = dict.fromkeys(SPEC.topic_signals('odom'), 0.0)
    values |= {f'odom:pose.pose.orientation.{part}': norm for part in 'w'}
    refusal = StateAssembler(SPEC).on_reading(Reading('odom', 0.0, 0.0, tuple(values.values())))
    assert refusal == (None if taken else 'odom: quaternion is not of norm 1')


def test_whatever_readings_come_in_a_state_is_finite_or_comes_with_a_reason():
    rng = np.random.default_rng(0)
    assembler, odd = StateAssembler(SPEC), [math.nan, math.inf, -math.inf, 1e308, -5.0, 0.0]
    outcomes = set()
    for step in range(3000):
        now = step * 0.01
        for topic in [*SPEC.topics, 'camera']:
            good = reading(topic, now, now)
            values = list(good.values)
            if values and rng.random() < 0.1:
                values[rng.integers(len(values))] = odd[rng.integers(len(odd))]
            if rng.random() < 0.1:
                values = values[: rng.integers(len(values) + 1)]
            times = [odd[rng.integers(len(odd))] if rng.random() < 0.05 else now for _ in range(2)]
            if rng.random() < 0.9:
                assembler.on_reading(Reading(topic, *times, tuple(values)))
        assembled = assembler.assemble(now)
        outcomes.add(assembled.state is not None)
        if assembled.state is None:
            assert assembled.reason
        else:
            assert np.isfinite(assembled.state).all() and math.isfinite(assembled.stamp_s)
    assert outcomes == {True, False}


def test_wrong_length_and_unknown_topic_are_refused():
    assembler = StateAssembler(SPEC)
    assert 'values instead of' in assembler.on_reading(Reading('odom', 0.0, 0.0, (1.0,)))
    assert 'unknown topic' in assembler.on_reading(Reading('camera', 0.0, 0.0, ()))


def test_stamps_are_complete_only_when_all_topics_share_one():
    assembler = assembler_with_all(stamp=1.0)
    assert assembler.complete_stamp() == 1.0
    assembler.on_reading(reading('odom', 1.01))
    assert assembler.complete_stamp() is None


def test_encoding_is_vectorised_and_ignores_the_sign_of_the_quaternion():
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(4, 3, len(SPEC.signals)))
    quaternion = [i for i, signal in enumerate(SPEC.signals) if 'orientation' in signal]
    one_by_one = [[encode(SPEC, row) for row in rows] for rows in signals]
    assert np.allclose(encode(SPEC, signals), one_by_one)
    flipped = signals.copy()
    flipped[..., quaternion] *= -1
    assert np.allclose(encode(SPEC, flipped), encode(SPEC, signals))


@pytest.mark.parametrize(
    ('angle', 'quaternion', 'expected'),
    [
        # A turn by 40 degrees about one axis: (cos 20, sin 20 * axis).
        ('roll', (math.cos(math.radians(20)), math.sin(math.radians(20)), 0, 0), 40),
        ('pitch', (math.cos(math.radians(20)), 0, math.sin(math.radians(20)), 0), 40),
        ('yaw', (math.cos(math.radians(20)), 0, 0, math.sin(math.radians(20))), 40),
        # A planar robot on its back: pitch stops at 90 degrees, the rotation about y does not.
        ('rotation_y', (math.cos(math.radians(80)), 0, math.sin(math.radians(80)), 0), 160),
        ('pitch', (math.cos(math.radians(80)), 0, math.sin(math.radians(80)), 0), 20),
    ],
)
def test_angles_of_quaternions(angle, quaternion, expected):
    parts = [np.float64(part) for part in quaternion]
    assert math.degrees(quaternion_angle(angle, *parts)) == pytest.approx(expected)


@pytest.mark.parametrize('scale', [1.0, -1.0, 1.03])
def test_angles_are_those_of_the_rotation_matrix_whatever_the_norm_and_sign(scale):
    rng = np.random.default_rng(0)
    for _ in range(50):
        yaw, pitch, roll = rng.uniform([-3.1, -1.5, -3.1], [3.1, 1.5, 3.1])
        # Intrinsic z-y'-x'': the product of the three turns, each (cos half, sin half * axis).
        quaternion = np.array([1.0, 0, 0, 0])
        for axis, angle in ((3, yaw), (2, pitch), (1, roll)):
            turn = np.zeros(4)
            turn[0], turn[axis] = math.cos(angle / 2), math.sin(angle / 2)
            quaternion = product(quaternion, turn)
        parts = [np.float64(part) for part in scale * quaternion]
        for name, angle in (('yaw', yaw), ('pitch', pitch), ('roll', roll)):
            assert quaternion_angle(name, *parts) == pytest.approx(angle, abs=1e-9)


def product(a, b):
    scalar = a[0] * b[0] - a[1:] @ b[1:]
    return np.array([scalar, *(a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:]))])


def test_cells_of_a_rotation_matrix_turn_vectors_as_the_quaternion_does():
    rng = np.random.default_rng(0)
    # Of any norm and sign, (w, x, y, z).
    quaternions = rng.normal(size=(4, 50))
    matrix = rotation_matrix(quaternions)
    w, x, y, z = quaternions
    expected = Rotation.from_quat(np.stack([x, y, z, w], -1)).as_matrix()
    np.testing.assert_allclose(np.moveaxis(matrix, -1, 0), expected, atol=1e-12)
    np.testing.assert_array_equal(rotation_matrix(-quaternions[:, 0]), matrix[..., 0])


def test_the_ant_knows_its_orientation_as_a_rotation_matrix():
    ant = load_robot('ant')
    signals = np.zeros(len(ant.signals))
    # A quarter turn about z: x looks along y, y along -x.
    for part, value in (('w', math.sqrt(0.5)), ('z', math.sqrt(0.5))):
        signals[ant.signals.index(f'odom:pose.pose.orientation.{part}')] = value
    state = dict(zip((channel.name for channel in ant.state), encode(ant, signals)))
    shown = [[state[f'r_{row}{column}'] for column in 'xyz'] for row in 'xyz']
    np.testing.assert_allclose(shown, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
