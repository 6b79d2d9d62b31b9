# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every fault, injected over topics into a loop of controller, gate and simulator that runs."""

import math
import signal
from typing import Any

import numpy as np
import pytest
import yaml
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import BatteryState, JointState, Joy
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger
from wires import TopicRelay, earlier, lost, put, standing

from mbmrl_ros.nodes.common.messages import MESSAGES, command_message, stamp_ns
from mbmrl_ros.spec.robot import load_robot

ERROR, WARN, OK = b'\x02', b'\x01', b'\x00'
CHEETAH = load_robot('half_cheetah')
PLANT = 'plant'
APPLIED = f'{PLANT}/sim_node/applied_command'
LIMIT_S = 0.3


@pytest.fixture
def guarded(tmp_path, make_bundle):
    """The half-cheetah with a battery and an area.

    At 50 Hz, half of its own: all nodes, all wires and who watches them share one interpreter.
    """
    data = CHEETAH.model_dump(mode='json') | {'period_s': 0.02}
    data['simulation']['physics_steps'] = 2
    data['safety'] |= {'limits': {'x': [-100.0, 100.0]}, 'battery': {'minimum_v': 10.0}}
    path = tmp_path / 'guarded.yaml'
    path.write_text(yaml.safe_dump(data))
    make_bundle(tmp_path / 'guarded', spec=load_robot(str(path)))
    return path


def planned(message):
    return any(message.effort)


class Loop:
    """Simulator -> controller -> gate -> simulator; every wire can be spoiled.

    The simulator lies in a namespace of its own, and this forwards its sensors, the commands of
    the controller to the gate, and those of the gate to the actuators.
    """

    def __init__(self, bench: Any, robot: str) -> None:
        self.bench = bench
        wires = TopicRelay(bench.node)
        self.spoils = wires.spoils
        for topic, settings in CHEETAH.topics.items():
            wires.join(MESSAGES[settings.type], f'{PLANT}/{topic}', topic)
        wires.join(JointState, 'wanted_commands', 'spoiled_commands')
        wires.join(JointState, 'joint_commands', f'{PLANT}/joint_commands')
        self.applied = bench.listen(JointState, APPLIED, depth=10_000)
        self.voltage, self.held = 12.0, [True]
        self._battery = bench.node.create_publisher(BatteryState, 'battery_state', 1)
        self._deadman = bench.node.create_publisher(Joy, 'joy', 1)
        bench.node.create_timer(0.05, self._operate)
        bench.sim(PLANT, robot=robot)
        self.gate = bench.gate(
            remap={'wanted_commands': 'spoiled_commands'},
            robot=robot, deadman_topic='joy', deadman_button=1,
        )  # fmt: skip

    def _operate(self) -> None:
        if self.voltage is not None:
            self._battery.publish(BatteryState(voltage=self.voltage))
        for held in self.held:
            self._deadman.publish(Joy(buttons=[0, int(held)]))

    def until_driven(self) -> None:
        """Wait until the actuators get what the controller has planned."""
        start = len(self.applied)
        self.bench.until(
            lambda: len(self.applied) > start + 5 and all(map(planned, self.applied[-5:])),
            'the robot is driven',
        )

    def until_stopped(self) -> float:
        """Wait until the actuators are at the fallback; return after how long [s] they are.

        Their clock counts: a simulated second is a hundred control periods, however busy the
        machine is.
        """
        first = max(0, len(self.applied) - 1)
        self.bench.until(lambda: not any(map(planned, self.applied[-3:])), 'it is at the fallback')
        last = max(i for i, message in enumerate(self.applied) if planned(message))
        times = [stamp_ns(self.applied[i].header.stamp) / 1e9 for i in (first, last)]
        return max(0.0, times[1] - times[0])

    def hold(self) -> None:
        """See that the actuators stay at the fallback."""
        start = len(self.applied)
        self.bench.until(lambda: len(self.applied) > start + 30)
        assert not any(map(planned, self.applied[start:]))


@pytest.fixture
def loop(bench, guarded):
    bench.bundle = guarded.parent / 'guarded'
    loop = Loop(bench, str(guarded))
    bench.controller(robot=str(guarded), gate=True)
    loop.until_driven()
    bench.until_status('gate', lambda message, _: message.startswith('passing commands'))
    return loop


SENSORS, COMMANDS = 'joint_states', 'spoiled_commands'
WIRES = {
    'a sensor that is silent': ('odom', lost, 'odom: '),
    'a sensor that says not a number': (SENSORS, put('position.2', math.nan), 'stale'),
    'a sensor that says infinite': ('odom', put('twist.twist.linear.x', math.inf), 'stale'),
    'a joint of another name': (SENSORS, put('name.0', 'b_thigh'), 'stale'),
    'a sensor that is cut short': (SENSORS, put('velocity', []), 'stale'),
    'no orientation': ('odom', put('pose.pose.orientation.w', 0.0), 'stale'),
    'stamps that stand still': (SENSORS, standing(), 'joint_states: '),
    'a controller that is silent': (COMMANDS, lost, 'command: stale, '),
    'a command that is not a number': (
        COMMANDS, put('effort.3', math.nan), "command of joint 'fthigh' is not finite",
    ),
    'a command that is infinite': (
        COMMANDS, put('effort.0', math.inf), "command of joint 'bthigh' is not finite",
    ),
    'a command for another joint': (
        COMMANDS, put('name.0', 'b_thigh'), "command has no joint 'bthigh'",
    ),
    'a command that is cut short': (COMMANDS, put('effort', [1.0]), '1 efforts for 6'),
}  # fmt: skip


@pytest.mark.timing
def test_every_fault_on_a_wire_stops_the_actuators_in_time_and_they_go_on_when_it_ends(
    loop, record_property
):
    bench = loop.bench
    for name, (topic, spoil, reason) in WIRES.items():
        loop.spoils[topic] = spoil
        took_s = loop.until_stopped()
        record_property(name, took_s)
        assert took_s <= LIMIT_S, name
        bench.until_status('gate', lambda message, _, text=reason: text in message)
        level, message, _ = bench.status('gate')
        assert level == ERROR and message.startswith('fallback: '), name
        loop.hold()
        loop.spoils.clear()
        loop.until_driven()
    values = bench.status('gate')[2]
    assert any(key.startswith('refused: joint_states: no joint') for key in values)
    assert any(key.startswith('refused: command of joint') for key in values)


def test_time_that_goes_back_stops_the_actuators_until_it_has_caught_up(loop):
    bench = loop.bench
    # Less than what counts as a clock that was set anew.
    sim_s = stamp_ns(loop.applied[-1].header.stamp) / 1e9
    bench.until(lambda: stamp_ns(loop.applied[-1].header.stamp) / 1e9 > sim_s + 1.5)
    loop.spoils['odom'] = earlier(1.0)
    assert loop.until_stopped() <= LIMIT_S
    bench.until_status('gate', lambda _, values: values['last_fault'].startswith('odom: '))
    loop.spoils.clear()
    loop.until_driven()


def operator_faults(loop):
    """Name, how it comes about, how it ends, what is said."""
    return [
        ('switch let go', lambda: loop.held.__setitem__(0, False),
         lambda: loop.held.__setitem__(0, True), 'deadman: not held'),
        ('switch silent', lambda: loop.held.clear(),
         lambda: loop.held.append(True), 'deadman: stale, '),
        ('no voltage', lambda: setattr(loop, 'voltage', math.nan),
         lambda: setattr(loop, 'voltage', 12.0), 'battery: no voltage'),
    ]  # fmt: skip


def test_switch_and_battery_stop_the_actuators_and_they_go_on_when_all_is_well(
    loop, record_property
):
    for name, bring_about, end, reason in operator_faults(loop):
        bring_about()
        took_s = loop.until_stopped()
        record_property(name, took_s)
        # The switch and the battery are sent every 50 ms.
        assert took_s <= LIMIT_S + 0.05, name
        loop.bench.until_status('gate', lambda message, _, text=reason: text in message)
        loop.hold()
        end()
        loop.until_driven()


LATCHING = {
    'emergency stop by topic': (None, 'emergency stop by topic'),
    'emergency stop by service': (None, 'emergency stop by service'),
    'low battery': (None, 'battery: 9 V, minimum 10 V'),
    'outside of the area': (put('pose.pose.position.x', 200.0), 'x is 200, outside -100 to 100'),
}


@pytest.mark.parametrize('name', LATCHING)
def test_what_must_not_end_by_itself_is_released_by_the_service(loop, record_property, name):
    bench, (spoil, reason) = loop.bench, LATCHING[name]
    stop = bench.node.create_publisher(Bool, 'e_stop', 1)
    bench.until(lambda: stop.get_subscription_count() >= 2)
    if name == 'emergency stop by service':
        assert bench.call(Trigger, 'command_gate/e_stop').success
    if name == 'emergency stop by topic':
        stop.publish(Bool(data=True))
    if name == 'low battery':
        loop.voltage = 9.0
    if spoil:
        loop.spoils['odom'] = spoil
    took_s = loop.until_stopped()
    record_property(name, took_s)
    assert took_s <= LIMIT_S + 0.05
    bench.until_status('gate', lambda message, values: values['stopped'] == reason)
    assert bench.status('gate')[:2] == (ERROR, f'fallback: {reason}')
    if name in ('low battery', 'outside of the area'):
        early = bench.call(Trigger, 'command_gate/release')
        assert not early.success and early.message == reason
    loop.voltage = 12.0
    loop.spoils.clear()
    stop.publish(Bool(data=False))
    loop.hold()
    # The controller has heard the emergency stop by topic as well.
    bench.call(Trigger, 'controller_node/release')
    bench.until(lambda: bench.call(Trigger, 'command_gate/release').success)
    loop.until_driven()


def test_a_command_out_of_limits_is_clamped(loop):
    gate = loop.bench.listen(JointState, 'joint_commands')
    loop.spoils[COMMANDS] = put('effort.0', 1e6)
    loop.bench.until(lambda: gate and gate[-1].effort[0] == 120.0)
    loop.bench.until_status('gate', lambda message, _: message == 'passing commands, limited')
    assert loop.bench.status('gate')[0] == WARN


def test_what_passes_keeps_the_stamp_of_the_state_it_answers(loop):
    wanted = loop.bench.listen(JointState, 'wanted_commands')
    sent = loop.bench.listen(JointState, 'joint_commands')
    loop.bench.until(lambda: len(wanted) > 20 and len(sent) > 20)
    answers = {stamp_ns(message.header.stamp): list(message.effort) for message in wanted}
    same = [m for m in sent if answers.get(stamp_ns(m.header.stamp)) == list(m.effort)]
    assert len(same) > 10


@pytest.fixture
def driven(bench, guarded):
    """Simulator and gate here, the controller in a process of its own."""
    bench.bundle = guarded.parent / 'guarded'
    loop = Loop(bench, str(guarded))
    process = bench.process(
        'controller_node', robot=str(guarded), bundle=str(bench.bundle), threads=1, gate=True
    )
    loop.until_driven()
    return loop, process


def test_killing_the_controller_stops_the_actuators_until_another_one_comes(driven, guarded):
    loop, process = driven
    process.kill()
    assert loop.until_stopped() <= LIMIT_S
    loop.bench.until_status('gate', lambda message, _: 'command: stale, ' in message)
    loop.hold()
    loop.bench.controller(robot=str(guarded), gate=True)
    loop.until_driven()


@pytest.fixture
def gated(bench, robot):
    """Sensors and a controller here, the gate in a process: its commands."""
    commands = bench.listen(JointState, 'joint_commands')
    bench.controller(gate=True)
    process = bench.process('command_gate')
    bench.until(lambda: commands and planned(commands[-1]))
    return process, commands


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_last_command_of_a_gate_that_is_stopped_is_the_fallback(bench, gated, number):
    process, commands = gated
    process.send_signal(number)
    bench.until(lambda: process.poll() is not None)
    assert process.returncode == 0 and 'Traceback' not in bench.output()
    bench.until(lambda: not planned(commands[-1]))
    assert len(commands[-1].effort) == 6


def test_killing_the_gate_leaves_the_actuators_at_the_fallback_by_their_own_time_out(bench):
    applied = bench.listen(JointState, 'sim_node/applied_command')
    bench.sim()
    bench.controller(gate=True)
    process = bench.process('command_gate')
    bench.until(lambda: applied and planned(applied[-1]))
    process.kill()
    bench.until(lambda: applied[-1].header.frame_id.startswith('fallback: command is '))
    count = len(applied)
    bench.until(lambda: len(applied) > count + 20)
    assert not any(map(planned, applied[count:]))


def test_killing_the_simulator_makes_the_gate_send_the_fallback(bench):
    commands = bench.listen(JointState, 'joint_commands')
    bench.gate(use_sim_time=True)
    bench.controller(gate=True, use_sim_time=True)
    process = bench.process('sim_node')
    bench.until(lambda: commands and planned(commands[-1]))
    process.kill()
    # With the simulator its /clock stops: the gate's time-outs are on the steady clock.
    bench.until(lambda: not planned(commands[-1]))
    bench.until_status('gate', lambda message, _: 'stale' in message)


def test_an_emergency_stop_from_before_the_start_is_heard(bench, robot):
    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.node.create_publisher(Bool, 'e_stop', profile).publish(Bool(data=True))
    bench.gate()
    bench.until_status('gate', lambda _, values: values['stopped'] == 'emergency stop by topic')


def test_deactivating_sends_the_fallback_last_and_activating_goes_on(bench, robot):
    commands = bench.listen(JointState, 'joint_commands')
    bench.controller(gate=True)
    node = bench.gate()
    bench.until(lambda: commands and planned(commands[-1]))
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    bench.until(lambda: not planned(commands[-1]))
    count = len(commands)
    bench.until_status('gate', lambda message, _: message == 'inactive')
    assert len(commands) == count, 'nothing after the fallback'
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.until(lambda: planned(commands[-1]))


@pytest.mark.parametrize('kind', ['Bool', 'Joy'])
def test_a_switch_is_a_bool_or_a_button(bench, robot, kind):
    commands = bench.listen(JointState, 'joint_commands')
    button = {'Bool': -1, 'Joy': 0}[kind]
    bench.gate(deadman_topic='switch', deadman_button=button)
    bench.controller(gate=True)
    message = {'Bool': Bool, 'Joy': Joy}[kind]
    publisher = bench.node.create_publisher(message, 'switch', 1)
    held = [message(data=True) if kind == 'Bool' else Joy(buttons=[1])]
    bench.node.create_timer(0.05, lambda: publisher.publish(held[-1]))
    bench.until(lambda: commands and planned(commands[-1]))
    # A Joy without buttons holds none.
    held.append(message())
    bench.until(lambda: not planned(commands[-1]))
    bench.until_status('gate', lambda text, _: text == 'fallback: deadman: not held')


def test_commands_without_names_pass_by_their_order(bench, robot, tmp_path):
    data = CHEETAH.model_dump(mode='json')
    data['action'] |= {'type': 'std_msgs/msg/Float64MultiArray', 'topic': 'forward/commands'}
    path = tmp_path / 'forward.yaml'
    path.write_text(yaml.safe_dump(data))
    spec = load_robot(str(path))
    sent = bench.listen(Float64MultiArray, 'forward/commands')
    bench.gate(robot=str(path))
    publisher = bench.node.create_publisher(Float64MultiArray, 'wanted_commands', 1)
    push = [np.array([20.0, -20, 10, 5, -5, 1])]
    bench.node.create_timer(0.01, lambda: publisher.publish(command_message(spec, push[-1], 0)))
    bench.until(lambda: sent and list(sent[-1].data) == [20.0, -20, 10, 5, -5, 1])
    push.append(np.zeros(5))
    bench.until(lambda: list(sent[-1].data) == [0.0] * 6)
    bench.until_status('gate', lambda message, _: 'command has 5 values instead of 6' in message)
