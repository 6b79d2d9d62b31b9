# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What controller and gate take of the messages that come, and from whom."""

from types import SimpleNamespace

import pytest
from sensor_msgs.msg import JointState

from mbmrl_ros.nodes.common import inputs
from mbmrl_ros.nodes.common.inputs import Sensors
from mbmrl_ros.robot.readings import sensor_reader
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('half_cheetah')
TOPIC = 'joint_states'
JOINTS = list(SPEC.action.joints)
FRONT, BACK = JOINTS[:2], JOINTS[2:]
TIMEOUT_S = SPEC.topics[TOPIC].timeout_s


class Graph:
    """A node that knows who publishes, and what time it is."""

    now_s = 100.0

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=int(self.now_s * 1e9)))

    def get_publishers_info_by_topic(self, topic):
        return []

    def resolve_topic_name(self, topic):
        return f'/{topic}'


class Robot:
    """Sends JointStates from several publishers, and keeps what is taken of them."""

    def __init__(self, monkeypatch):
        self.graph, self.taken = Graph(), []
        monkeypatch.setattr(inputs.time, 'monotonic', lambda: self.graph.now_s)
        self.sensors = Sensors(self.graph, SPEC, self.taken.append)
        self._read = sensor_reader(SPEC, TOPIC)

    def send(self, sender, names, value, after_s=0.001):
        self.graph.now_s += after_s
        message = JointState(name=names)
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(round(self.graph.now_s * 1e9), 10**9)
        message.position = message.velocity = message.effort = [value] * len(names)
        info = {'publisher_gid': {'data': sender * 16}}
        self.sensors._on_message(TOPIC, self._read, message, info)

    @property
    def readings(self):
        return [item for item in self.taken if isinstance(item, Reading)]


@pytest.fixture
def robot(monkeypatch):
    return Robot(monkeypatch)


def test_of_parts_of_two_drivers_all_are_taken_whoever_comes_last(robot):
    rounds = 20
    for number in range(rounds):
        order = [(b'a', FRONT), (b'b', BACK)]
        for sender, names in order if number % 3 else order[::-1]:
            robot.send(sender, names, float(number), after_s=0.005)
    assert len(robot.readings) == rounds
    assert not robot.sensors.conflicts() and not robot.sensors.values()


def test_no_value_of_a_sender_that_is_refused_is_in_any_reading(robot):
    for _ in range(20):
        robot.send(b'a', FRONT, 1.0)
        robot.send(b'copy', FRONT, -1.0)
        robot.send(b'b', BACK, 1.0)
        robot.send(b'all', JOINTS, -2.0)
    assert len(robot.readings) == 20
    assert {value for reading in robot.readings for value in reading.values} == {1.0}
    assert robot.sensors.values() == {f'second sender: {TOPIC}': 40}
    assert 'has 4 senders' in robot.sensors.conflicts()[0]


def test_another_driver_takes_over_the_part_of_one_that_is_silent(robot):
    robot.send(b'a', FRONT, 1.0)
    robot.send(b'b', BACK, 1.0)
    robot.send(b'c', FRONT, 2.0)
    robot.send(b'b', BACK, 1.0, after_s=TIMEOUT_S)
    robot.send(b'c', FRONT, 3.0, after_s=0.01)
    assert len(robot.readings) == 2 and 3.0 in robot.readings[-1].values


def test_messages_of_other_joints_are_said_only_as_long_as_nothing_else_comes(robot):
    robot.send(b'gripper', ['finger'], 0.5)
    assert 'another source' in robot.taken[-1].reason
    robot.send(b'a', JOINTS, 1.0)
    robot.send(b'gripper', ['finger'], 0.5)
    assert len(robot.taken) == 2
    robot.send(b'gripper', ['finger'], 0.5, after_s=2 * TIMEOUT_S)
    assert 'another source' in robot.taken[-1].reason


def test_a_sender_of_nothing_but_nonsense_holds_no_topic(robot):
    robot.send(b'bad', [*JOINTS, JOINTS[0]], 9.0)
    assert 'named 2 times' in robot.taken[-1].reason
    robot.send(b'a', JOINTS, 1.0)
    assert len(robot.readings) == 1 and not robot.sensors.conflicts()
