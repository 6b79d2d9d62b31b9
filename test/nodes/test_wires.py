# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What spoils a message, message by message."""

import copy
import math

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from wires import TopicRelay, all_of, earlier, frozen, jumping, lost, put, standing

from mbmrl_ros.nodes.common.messages import stamp_ns, to_stamp


def poses(count):
    messages = []
    for step in range(count):
        message = PoseStamped()
        message.header.stamp = to_stamp(step * 100_000_000)
        message.pose.position.x = float(step)
        messages.append(message)
    return messages


def test_a_field_an_element_and_a_joint_can_be_put():
    joints = JointState(name=['one', 'other'], position=[1.0, 2.0])
    put('position[other]', math.nan)(joints)
    assert joints.position[0] == 1.0 and math.isnan(joints.position[1])
    put('name.0', 'nobody')(joints)
    assert joints.name == ['nobody', 'other']
    numbers = Float64MultiArray(data=[1.0, 2.0])
    all_of(put('data.1', 5.0), put('data.0', 4.0))(numbers)
    assert list(numbers.data) == [4.0, 5.0]
    put('data', [])(numbers)
    assert not numbers.data


def test_values_freeze_under_new_stamps_and_stamps_stand_under_new_values():
    frozen_ones, standing_ones = poses(3), poses(3)
    freeze, stand = frozen(), standing()
    for message, other in zip(frozen_ones, standing_ones):
        freeze(message)
        stand(other)
    assert [message.pose.position.x for message in frozen_ones] == [0.0, 0.0, 0.0]
    assert [stamp_ns(m.header.stamp) for m in frozen_ones] == [0, 100_000_000, 200_000_000]
    assert [message.pose.position.x for message in standing_ones] == [0.0, 1.0, 2.0]
    assert [stamp_ns(message.header.stamp) for message in standing_ones] == [0, 0, 0]


def test_a_jumping_sensor_says_the_one_and_the_other_and_a_clock_is_put_back():
    messages = poses(4)
    jump, back = jumping('pose.position.x', (7.0, 8.0)), earlier(0.25)
    for message in messages:
        jump(message)
        back(message)
    assert [message.pose.position.x for message in messages] == [8.0, 7.0, 8.0, 7.0]
    assert stamp_ns(messages[3].header.stamp) == 50_000_000


def test_a_wire_forwards_what_it_is_told_to_and_loses_the_rest(bench):
    wires = TopicRelay(bench.node)
    wires.join(Float64MultiArray, 'here', 'there', depth=10)
    received = bench.listen(Float64MultiArray, 'there')
    publisher = bench.node.create_publisher(Float64MultiArray, 'here', 10)
    sent = Float64MultiArray(data=[1.0])

    def arrives(value):
        publisher.publish(copy.deepcopy(sent))
        return received and received[-1].data[0] == value

    bench.until(lambda: arrives(1.0))
    wires.spoils['there'] = put('data.0', 2.0)
    bench.until(lambda: arrives(2.0))
    wires.spoils['there'] = lost
    sent.data[0] = 3.0
    for _ in range(5):
        publisher.publish(copy.deepcopy(sent))
    wires.join(Float64MultiArray, 'marker', 'marked')
    marked = bench.listen(Float64MultiArray, 'marked')
    marker = bench.node.create_publisher(Float64MultiArray, 'marker', 1)
    bench.until(lambda: marker.publish(sent) or marked)
    assert not any(message.data[0] == 3.0 for message in received)
    wires.spoils.clear()
    bench.until(lambda: arrives(3.0))
