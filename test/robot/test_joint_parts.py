# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""JointStates of one topic from several publishers."""

from types import SimpleNamespace

import pytest

from mbmrl_ros.robot.joint_parts import Partial
from mbmrl_ros.robot.readings import sensor_reader
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('half_cheetah')
TOPIC = 'joint_states'
JOINTS = list(SPEC.action.joints)
FRONT, BACK = JOINTS[:2], JOINTS[2:]
TIMEOUT_S = SPEC.topics[TOPIC].timeout_s


def joint_state(names, stamp_ns, offset=0.0):
    stamp = SimpleNamespace(sec=0, nanosec=stamp_ns)
    values = [offset + number for number in range(len(names))]
    header = SimpleNamespace(stamp=stamp)
    return SimpleNamespace(
        name=names, position=values, velocity=values, effort=values, header=header
    )


@pytest.fixture
def read():
    reader = sensor_reader(SPEC, TOPIC)
    return lambda names, stamp_ns, offset=0.0: reader(
        joint_state(names, stamp_ns, offset), stamp_ns / 1e9 + 0.001
    )


def by_joint(reading):
    return dict(zip(SPEC.topic_signals(TOPIC), reading.values))


def test_a_whole_message_is_a_reading_and_one_of_other_joints_another_source(read):
    assert isinstance(read(JOINTS, 0), Reading)
    other = read(['gripper'], 10)
    assert isinstance(other, Partial) and 'another source' in other and 'gripper' in other


def test_parts_are_put_together_by_joint_and_are_as_old_as_the_oldest(read):
    missing = read(FRONT, 0)
    assert isinstance(missing, Partial) and f'no joint {BACK[0]!r}' in missing
    whole = read(BACK, 1_000_000, offset=100.0)
    assert whole.stamp_s == 0.0 and whole.received_s == pytest.approx(0.002)
    values = by_joint(whole)
    assert values[f'{TOPIC}:position[{FRONT[1]}]'] == 1.0
    assert values[f'{TOPIC}:position[{BACK[1]}]'] == 101.0
    # One reading a round, and never one whose parts are of two rounds.
    assert read(FRONT, 20_000_000) is None
    whole = read(BACK, 21_000_000, offset=200.0)
    assert whole.stamp_s == 0.02 and by_joint(whole)[f'{TOPIC}:position[{BACK[0]}]'] == 200.0


def test_of_a_faster_part_the_newest_counts(read):
    read(FRONT, 0)
    read(BACK, 0)
    for number in range(5):
        assert read(FRONT, 10_000_000 + number, offset=float(number)) is None
    whole = read(BACK, 10_000_010)
    assert by_joint(whole)[f'{TOPIC}:position[{FRONT[0]}]'] == 4.0


def test_a_part_that_stays_away_is_named_and_its_old_values_are_not_used(read):
    read(FRONT, 0)
    read(BACK, 0)
    late_ns = round((TIMEOUT_S + 0.01) * 1e9)
    assert f'no joint {BACK[0]!r}' in read(FRONT, late_ns)
    assert isinstance(read(BACK, late_ns + 1_000_000), Reading)


def test_what_is_wrong_with_a_part_is_said(read):
    reader, message = sensor_reader(SPEC, TOPIC), joint_state(FRONT, 0)
    message.velocity = []
    said = reader(message, 0.0)
    assert 'no velocity' in said and not isinstance(said, Partial)
