# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""command_gate: a small lifecycle node between controller and motors (logic: robot/gate.py).

Subscribes to wanted_commands, where a controller with the parameter `gate` publishes, to the
sensor topics of the robot file, to e_stop (true latches), and, where configured, to the battery
and to the deadman's switch. Publishes the command topic of the robot file, and /diagnostics once
a second and at once when something changes. Services (Trigger): ~/e_stop, ~/release.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import BatteryState, Joy
from std_msgs.msg import Bool

from mbmrl_ros.nodes.common.diagnostics import (
    ERROR,
    OK,
    WARN,
    diagnostic_message,
    reasons,
    with_notices,
)
from mbmrl_ros.nodes.common.inputs import (
    SENSORS,
    WANTED_COMMANDS,
    Refusal,
    Sensors,
    offer_e_stop,
)
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.limits import state_bounds
from mbmrl_ros.nodes.common.messages import MESSAGES, command_message
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.senders import CommandTopic, Senders
from mbmrl_ros.nodes.common.settings import GateSettings
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.robot.gate import Gate, GateOutput
from mbmrl_ros.robot.message_fields import message_stamp_ns
from mbmrl_ros.robot.plausible import Fault
from mbmrl_ros.robot.readings import read_command, sensor_reader
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Reading

REPORT_S = 1.0
# Between two reports of changes: a fault may come and go with every message.
AGAIN_S = 0.05
ACKNOWLEDGE_S = 0.2
INACTIVE = Fault('inactive', 'the gate was stopped')


# Commands that wait. With a place for one, of two senders in step, such as two controllers that
# wait for the same reading, the second one would always push the first one out, which would then
# seem silent.
COMMANDS = QoSProfile(depth=4)


class GateTopics:
    """Everything of the gate that exists from configure to cleanup; one thread does it all."""

    def __init__(self, node: Node, settings: GateSettings) -> None:
        """Load the robot; UserError if anything is wrong."""
        self._node, self._settings = node, settings
        self._spec = spec = load_robot(settings.robot)
        readers = {topic: sensor_reader(spec, topic) for topic in spec.topics}
        deadman_timeout_s = settings.deadman_timeout_s if settings.deadman_topic else None
        self.gate = Gate(spec, settings.timeout_s, deadman_timeout_s)
        self.gate.use_bounds(
            state_bounds(spec, settings.joint_margin, warn=node.get_logger().warning)
        )
        self._active = False
        self._counts: Counter[str] = Counter()
        self._last_fault, self._reported_s = '', 0.0
        self._last = self.gate.fall_back(Fault('inactive', 'not started yet'))
        self._resources = resources = NodeResources(node)
        command = MESSAGES[spec.action.type]
        timeout_s = spec.action.timeout_s
        self._bypass = ''
        self._topic = CommandTopic(
            resources, command, spec.action.topic, timeout_s, self._on_bypass
        )
        self._commands = self._topic.publisher
        self._senders = Senders(node, {WANTED_COMMANDS: min(timeout_s, settings.timeout_s)})
        self._sensors = Sensors(node, spec, self._on_reading)
        self._diagnostics = resources.publisher(DiagnosticArray, '/diagnostics', 10)
        resources.subscription(command, WANTED_COMMANDS, self._on_command, COMMANDS, open_qos=True)
        self._sensors.subscribe(resources, readers, SENSORS)
        self._subscribe_to_operator()
        offer_e_stop(resources, self._stop_for_good, lambda: self.gate.release(time.monotonic()))
        resources.timer(settings.check_s, self._on_check)
        resources.timer(REPORT_S, self._report)

    def start(self) -> None:
        """Let commands pass from now on; UserError if somebody else commands the motors."""
        self._topic.check()
        self._active = True

    def stop(self) -> None:
        """Send the fallback, and wait a moment until it has arrived."""
        if self._active:
            self._active = False
            self._send(self.gate.fall_back(INACTIVE))
            self._commands.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))

    def close(self) -> None:
        """Send the fallback if that has not been done; remove all topics and services."""
        self.stop()
        self._resources.close()

    def check(self, settings: GateSettings) -> None:
        """Nothing to check: no parameter changes at run time."""

    def use(self, settings: GateSettings) -> None:
        """Nothing to apply: no parameter changes at run time."""

    def _subscribe_to_operator(self) -> None:
        resources, settings = self._resources, self._settings
        if self._spec.safety.battery is not None:
            topic = self._spec.safety.battery.topic
            resources.subscription(BatteryState, topic, self._on_battery, SENSORS)
        if settings.deadman_topic:
            kind = Bool if settings.deadman_button < 0 else Joy
            resources.subscription(kind, settings.deadman_topic, self._on_deadman, SENSORS)

    def _on_command(self, message: Any, info: Any) -> None:
        now_s = time.monotonic()
        if not self._active or not self._senders.take(WANTED_COMMANDS, info, now_s):
            return
        passed = self.gate.process_command(read_command(self._spec, message), now_s)
        if self._bypass and not passed.fell_back:
            passed = self.gate.fall_back(Fault('bypass', self._bypass))
        self._send(passed, message_stamp_ns(message))

    def _on_check(self) -> None:
        if not self._active:
            return
        passed = self.gate.watch(time.monotonic())
        if passed is None and self._bypass:
            passed = self.gate.fall_back(Fault('bypass', self._bypass))
        if passed is not None:
            self._send(passed)

    def _on_bypass(self, reason: str) -> None:
        """Fall back where motors get commands that do not come from here."""
        before, self._bypass = self._bypass, reason
        if reason and not before:
            self._on_check()

    def _on_reading(self, reading: Reading | Refusal) -> None:
        if isinstance(reading, Refusal):
            self.gate.refused[reading.reason] += 1
        else:
            self.gate.on_reading(reading)

    def _on_battery(self, message: BatteryState) -> None:
        self.gate.on_battery(message.voltage, time.monotonic())
        self._on_check()

    def _on_deadman(self, message: Any) -> None:
        button = self._settings.deadman_button
        pressed = [message.data] if button < 0 else list(message.buttons)[button:]
        self.gate.on_deadman(bool(pressed and pressed[0]), time.monotonic())
        self._on_check()

    def _stop_for_good(self, reason: str) -> None:
        self.gate.e_stop(reason)
        self._on_check()

    def _send(self, passed: GateOutput, stamp_ns: int | None = None) -> None:
        """Publish; stamp_ns: of the command that it answers, now if there is none."""
        label = stamp_ns is not None
        if stamp_ns is None:
            stamp_ns = self._node.get_clock().now().nanoseconds
        self._commands.publish(command_message(self._spec, passed.values, stamp_ns, label))
        before, self._last = self._last, passed
        self._counts[passed.kind or 'unchanged'] += 1
        if passed.fell_back:
            self._last_fault = passed.reason
        if passed.fell_back != before.fell_back or (
            passed.fell_back and passed.kind != before.kind
        ):
            self._on_change()

    def _on_change(self) -> None:
        """Report at once what has changed; not more often than anybody can follow."""
        if time.monotonic() - self._reported_s < AGAIN_S:
            return
        self._report()
        if self._active and self._last.fell_back:
            self._node.get_logger().warning(f'fallback: {self._last.reason}')

    def _report(self) -> None:
        self._reported_s = time.monotonic()
        last, gate = self._last, self.gate
        values = {
            'active': self._active,
            'fault': last.kind if last.fell_back else '',
            'reason': last.reason,
            'last_fault': self._last_fault,
            'stopped': gate.stopped,
            'listeners': self._topic.listeners,
            **{f'commands: {kind}': count for kind, count in sorted(self._counts.items())},
            **reasons('refused', gate.refused),
            **self._senders.values(),
            **self._sensors.values(),
        }
        level, message = OK, 'passing commands'
        if not self._active:
            message = 'inactive'
        elif last.fell_back:
            level, message = ERROR, f'fallback: {last.reason}'
        elif not values['listeners']:
            level, message = WARN, f'nobody listens on {self._commands.topic_name}'
        elif last.kind:
            level, message = WARN, 'passing commands, limited'
        if self._active:
            conflicts = [*self._senders.conflicts(), *self._sensors.conflicts()]
            notices = self._sensors.notices()
            level, message = with_notices(level, message, values, conflicts, notices)
        self._diagnostics.publish(
            diagnostic_message(self._node, 'gate', self._spec.name, level, message, values)
        )


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode('command_gate', GateSettings, GateTopics, frozenset(), **options)


def main(arguments: list[str] | None = None) -> int:
    """Run the gate until it is stopped; exit code 2 for wrong input."""
    return run(make_node, GateSettings, 'command_gate', arguments)


if __name__ == '__main__':
    sys.exit(main())
