# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two that command one robot, and two that measure it: one counts, and both are named."""

import functools
import time

import pytest
import rclpy
from nav_msgs.msg import Odometry
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from mbmrl_ros.nodes.common.messages import named_command, sensor_writer
from mbmrl_ros.nodes.controller import controller_node
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
ERROR, WARN = b'\x02', b'\x01'
WANTED, COMMANDS = 'wanted_commands', 'joint_commands'


class Commander:
    """A node that sends the same effort again and again, every period."""

    def __init__(self, bench, name, topic, effort):
        self.effort = effort
        self.node = rclpy.create_node(name, context=bench.context)
        bench.executor.add_node(self.node)
        self._publisher = self.node.create_publisher(JointState, topic, 10)
        self._timer = self.node.create_timer(SPEC.period_s, self._send)

    def _send(self):
        stamp_ns = self.node.get_clock().now().nanoseconds
        command = named_command(SPEC, [self.effort] * SPEC.action_size, stamp_ns)
        self._publisher.publish(command)

    def stop(self):
        self._timer.cancel()

    def go_on(self):
        self._timer.reset()


@pytest.fixture
def commander(bench):
    """Make nodes that command."""
    made = []

    def make(name, topic, effort):
        made.append(Commander(bench, name, topic, effort))
        return made[-1]

    yield make
    for each in made:
        each.node.destroy_node()


def efforts(commands):
    return {message.effort[0] for message in commands}


def test_the_gate_passes_one_of_two_controllers_and_names_both(bench, slow_robot, commander):
    commands = bench.listen(JointState, COMMANDS)
    # On a busy machine nobody may seem silent who is not.
    bench.gate(robot=slow_robot[1]['robot'], timeout_s=2.0)
    first = commander('first', WANTED, 1.0)
    bench.until(lambda: commands and commands[-1].effort[0] == 1.0)
    commander('second', WANTED, 2.0)
    bench.until_status('gate', lambda message, _: '/wanted_commands has 2 senders' in message)
    level, message, values = bench.status('gate')
    assert level >= WARN and '/first counts, not /second (' in message
    assert int(values['second sender: wanted_commands']) > 0
    commands.clear()
    bench.until(lambda: len(commands) > 30)
    assert 2.0 not in efforts(commands)
    # A second one is what follows when the first one has been silent for the time-out.
    first.stop()
    bench.until(lambda: commands[-1].effort[0] == 2.0)
    first.go_on()
    bench.until_status('gate', lambda message, _: '/second counts, not /first (' in message)
    commands.clear()
    bench.until(lambda: len(commands) > 30)
    assert 1.0 not in efforts(commands)


def test_of_two_in_step_the_second_does_not_push_the_first_one_out(bench, slow_robot, commander):
    commands = bench.listen(JointState, COMMANDS)
    bench.gate(robot=slow_robot[1]['robot'])
    first, second = commander('first', WANTED, 1.0), commander('second', WANTED, 2.0)
    second.stop()
    bench.until(lambda: commands and commands[-1].effort[0] == 1.0)
    first.stop()
    commands.clear()
    # For longer than the silence after which the second one may take over, 0.5 s.
    began_s = time.monotonic()
    while time.monotonic() - began_s < 1.0:
        passed = len(commands)
        first._send()
        second._send()
        bench.until(lambda: len(commands) > passed)  # noqa: B023
    assert efforts(commands) == {1.0}


def test_a_controller_that_comes_back_takes_over_whatever_its_name(bench, robot, commander):
    commands = bench.listen(JointState, COMMANDS)
    bench.gate()
    old = commander('planner', WANTED, 1.0)
    bench.until(lambda: commands and commands[-1].effort[0] == 1.0)
    old.stop()
    commander('planner', WANTED, 2.0)
    bench.until(lambda: commands[-1].effort[0] == 2.0)
    old.go_on()
    bench.until_status('gate', lambda message, _: 'has 2 senders' in message)
    # Two of one name are told apart.
    message = bench.status('gate')[1]
    assert message.count('/planner (') == 2


def test_a_gate_that_is_bypassed_falls_back_and_says_by_whom(bench, robot, commander):
    bench.listen(JointState, COMMANDS)
    bench.gate()
    commander('planner', WANTED, 1.0)
    bench.until_status('gate', lambda message, _: message.startswith('passing commands'))
    bypass = commander('joystick', COMMANDS, 3.0)
    bench.until_status('gate', lambda message, _: '/joystick sends commands too' in message)
    assert bench.status('gate')[0] == ERROR and bench.status('gate')[2]['fault'] == 'bypass'
    bypass.stop()
    bench.until_status('gate', lambda message, _: message.startswith('passing commands'))


@pytest.fixture
def commands(bench, robot):
    """Commands of a controller that drives."""
    received = bench.listen(JointState, COMMANDS)
    bench.controller()
    bench.until(lambda: received and any(received[-1].effort))
    return received


def test_a_controller_falls_back_while_somebody_else_commands_its_robot(
    bench, commands, commander, record_property
):
    other = commander('other', COMMANDS, 3.0)
    began_s = time.monotonic()
    commands.clear()
    bench.until(lambda: any(not any(message.effort) for message in commands))
    record_property('seconds', time.monotonic() - began_s)
    bench.until_status('control', lambda message, _: '/other sends commands too' in message)
    level, message, _ = bench.status('control')
    assert level == ERROR and message.startswith('fallback: ')
    commands.clear()
    bench.until(lambda: len(commands) > 30)
    assert efforts(commands) == {0.0, 3.0}
    other.stop()
    bench.until(lambda: commands[-1].effort[0] not in (0.0, 3.0))


def test_a_controller_does_not_start_where_somebody_commands_the_robot(bench, robot, commander):
    commander('other', COMMANDS, 3.0)
    node = controller_node.make_node(
        context=bench.context,
        parameter_overrides=[
            Parameter('bundle', value=str(bench.bundle)),
            Parameter('threads', value=1),
        ],
    )
    bench.executor.add_node(node)
    try:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        bench.until(lambda: node._topics._topic.others)
        assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
        assert '/other commands this robot already, on /joint_commands: stop it' in node.problem
    finally:
        node.close()
        node.destroy_node()


def test_somebody_who_could_command_but_does_not_is_no_matter(bench, commands, commander):
    commander('idle', COMMANDS, 3.0).stop()
    bench.until_status('control', lambda _, values: values['listeners'] == '1')
    commands.clear()
    bench.until(lambda: len(commands) > 30)
    assert any(any(message.effort) for message in commands)
    assert 'commands' not in bench.status('control')[1]


def test_behind_a_gate_a_second_controller_is_said_and_goes_on(bench, robot, commander):
    wanted = bench.listen(JointState, WANTED)
    bench.controller(gate=True)
    bench.until(lambda: wanted and any(wanted[-1].effort))
    commander('other', WANTED, 0.5)
    bench.until_status('control', lambda message, _: '/other sends commands too' in message)
    assert bench.status('control')[0] >= WARN
    wanted.clear()
    bench.until(lambda: any(message.effort[0] not in (0.0, 0.5) for message in wanted))


def test_a_shadow_does_not_mind_who_drives(bench, robot, commander):
    shadow = bench.listen(JointState, 'controller_node/shadow_commands')
    commander('other', COMMANDS, 3.0)
    bench.controller(shadow=True)
    bench.until(lambda: shadow and any(shadow[-1].effort))
    bench.until_status('control', lambda _, values: values['active'] == 'true')
    assert 'other' not in bench.status('control')[1]


def test_a_simulated_robot_takes_the_commands_of_one_and_names_both(bench, commander):
    applied = bench.listen(JointState, 'sim_node/applied_command')
    bench.sim()
    commander('first', COMMANDS, 1.0)
    bench.until(lambda: applied and applied[-1].effort[0] == 1.0)
    commander('second', COMMANDS, 2.0)
    bench.until_status('simulation', lambda message, _: '/first counts, not /second' in message)
    assert bench.status('simulation')[0] >= WARN
    assert 2.0 not in efforts(applied)


def test_of_two_that_measure_one_counts_and_both_are_named(bench, robot, commands):
    other = rclpy.create_node('estimator', context=bench.context)
    bench.executor.add_node(other)
    publisher = other.create_publisher(Odometry, 'odom', 10)
    write = sensor_writer(SPEC, 'odom')

    def send():
        signals = [0.0] * len(SPEC.signals)
        signals[SPEC.signals.index('odom:pose.pose.orientation.w')] = 1.0
        # Of another clock: to a reader of both, time goes back at every message.
        publisher.publish(write(signals, robot.stamp_ns + 10**12))

    other.create_timer(SPEC.period_s, send)
    bench.until_status('control', lambda message, _: '/odom has 2 senders' in message)
    level, message, values = bench.status('control')
    assert level >= WARN and '/bench counts, not /estimator (' in message
    assert int(values['second sender: odom']) > 0
    commands.clear()
    bench.until(lambda: any(any(message.effort) for message in commands))
    assert 'out of order' not in ''.join(values)
    other.destroy_node()


def test_two_simulators_of_one_robot_say_so(bench):
    bench.sim()
    process = bench.process('sim_node', '-r', '__node:=sim_two')
    bench.until_status('simulation', lambda message, _: '/odom has 2 senders' in message)
    assert '/sim_node' in bench.status('simulation')[1]
    assert '/sim_two' in bench.status('simulation')[1]
    process.kill()


class Parts:
    """Drivers of which each publishes some joints of `joint_states`, at a rate of its own."""

    def __init__(self, bench, robot, drivers):
        self._robot = robot
        self._write, self._count = sensor_writer(SPEC, 'joint_states'), 0
        robot.silent.add('joint_states')
        for name, joints, period_s in drivers:
            node = rclpy.create_node(name, context=bench.context)
            bench.executor.add_node(node)
            publisher = node.create_publisher(JointState, 'joint_states', 10)
            node.create_timer(period_s, functools.partial(self._send, publisher, joints))

    def _send(self, publisher, joints):
        # No measurement repeats to the last digit.
        self._count += 1
        signals = [1e-6 * self._count] * len(SPEC.signals)
        whole = self._write(signals, self._robot.stamp_ns)
        places = [whole.name.index(joint) for joint in joints]
        part = JointState(header=whole.header, name=joints)
        for field in ('position', 'velocity', 'effort'):
            values = getattr(whole, field)
            setattr(part, field, [values[place] for place in places] if values else [])
        publisher.publish(part)


JOINTS = list(SPEC.action.joints)


def test_two_drivers_with_joints_of_their_own_are_one_robot(bench, robot):
    # Their phases drift, so that now the one and now the other completes the whole.
    period_s = 0.4 * SPEC.period_s
    Parts(bench, robot, [('arm', JOINTS[:2], period_s), ('hand', JOINTS[2:], 1.1 * period_s)])
    received = bench.listen(JointState, COMMANDS)
    bench.controller()
    bench.until(lambda: received and any(received[-1].effort))
    bench.until_status('control', lambda _, values: int(values['ticks']) > 150)
    _, message, values = bench.status('control')
    assert 'senders' not in message and 'second sender: joint_states' not in values


def test_a_whole_publisher_beside_two_drivers_is_refused_and_named(bench, robot):
    period_s = SPEC.period_s
    Parts(bench, robot, [('arm', JOINTS[:2], period_s), ('hand', JOINTS[2:], period_s)])
    received = bench.listen(JointState, COMMANDS)
    bench.controller()
    bench.until(lambda: received and any(received[-1].effort))
    Parts(bench, robot, [('copy', JOINTS, period_s)])
    bench.until_status('control', lambda message, _: '/joint_states has 3 senders' in message)
    message = bench.status('control')[1]
    assert '/arm' in message and '/hand' in message and 'not /copy (' in message
