# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulator, controller and gate as processes of their own, in real time, and who watches them."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import BatteryState, JointState, Joy
from std_msgs.msg import Float64MultiArray
from wires import TopicRelay

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.messages import MESSAGES
from mbmrl_ros.nodes.common.priority import raise_process
from mbmrl_ros.nodes.episode.processes import ending_in_order, last_words, node_process
from mbmrl_ros.robot.message_fields import NUMBER_ARRAY
from mbmrl_ros.spec.robot import load_robot

NAMESPACE, PLANT = 'long_run', 'plant'
SPOILED_COMMANDS = 'spoiled_commands'
OPERATOR_S = 0.05
MEMORY_S = 1.0
START_S = 60.0
# So long without exception, and the robot is driven or stopped.
DRIVEN_S, STOPPED_S = 0.5, 0.25


class Applied(NamedTuple):
    """What the actuators did in a step of the simulator, and when it was told."""

    arrived_s: float
    at_fallback: bool


class NodeBench:
    """The nodes; with `wired`, every wire between them runs through this process.

    Then the simulator lies in a namespace of its own, `wires.spoils` says what happens to the
    messages, and an operator holds the switch of the gate and tells the voltage of the battery.
    """

    def __init__(
        self,
        stack: ExitStack,
        robot: Path,
        controller: dict[str, Any],
        common: dict[str, Any],
        log: Path,
        gate: bool,
        wired: bool,
    ) -> None:
        """controller: its parameters; common: of all nodes. stack: ends what is started here.

        This process takes part in the traffic, and so has the priority of the nodes.
        """
        refused = raise_process(common.get('realtime_priority', 0))
        if refused:
            raise UserError(refused)
        common = common | {'robot': robot}
        self.spec, self.log, self.wired = load_robot(str(robot)), log, wired
        stack.enter_context(ending_in_order())
        stack.enter_context(rclpy.init())
        self.node = rclpy.create_node('rig', namespace=NAMESPACE)
        stack.callback(self.node.destroy_node)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.voltage: float | None = 12.0
        self.held: bool | None = True
        self.wires = TopicRelay(self.node)
        self.clients: dict[str, Any] = {}
        plant = PLANT if wired else NAMESPACE
        if wired:
            self._join_wires()
            self.node.create_timer(OPERATOR_S, self._operate)
            self._battery = self.node.create_publisher(BatteryState, 'battery_state', 1)
            self._switch = self.node.create_publisher(Joy, 'joy', 1)
        self.applied: list[Applied] = []
        self.node.create_subscription(
            JointState, f'/{plant}/sim_node/applied_command', self._on_applied, 100
        )
        switch = {'deadman_topic': 'joy', 'deadman_button': 0} if wired else {}
        remap = {'wanted_commands': SPOILED_COMMANDS} if wired else {}
        # Messages without a stamp are dated by their arrival, and the others have to go with them.
        unstamped = any(topic.type == NUMBER_ARRAY for topic in self.spec.topics.values())
        self._settings = {
            'controller_node': (common | controller | {'gate': gate}, NAMESPACE, {}),
            'command_gate': (common | switch, NAMESPACE, remap),
            'sim_node': (common | {'seed': 1, 'wall_time': unstamped}, plant, {}),
        }
        if not gate:
            del self._settings['command_gate']
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ends = {name: stack.enter_context(ExitStack()) for name in self._settings}
        for name in self._settings:
            self.start(name)

    def _join_wires(self) -> None:
        for topic, settings in self.spec.topics.items():
            self.wires.join(MESSAGES[settings.type], f'/{PLANT}/{topic}', topic, depth=10)
        command, topic = MESSAGES[self.spec.action.type], self.spec.action.topic
        self.wires.join(command, 'wanted_commands', SPOILED_COMMANDS)
        self.wires.join(command, topic, f'/{PLANT}/{topic}')

    def _operate(self) -> None:
        if self.voltage is not None:
            self._battery.publish(BatteryState(voltage=self.voltage))
        if self.held is not None:
            self._switch.publish(Joy(buttons=[int(self.held)]))

    def _on_applied(self, message: JointState) -> None:
        values = getattr(message, self.spec.action.field)
        at_fallback = np.array_equal(values, self.spec.action.fallback)
        self.applied.append(Applied(time.monotonic(), at_fallback))

    def start(self, name: str) -> None:
        """Start a node, again after it has ended."""
        self._ends[name].close()
        parameters, namespace, remap = self._settings[name]
        self.processes[name] = self._ends[name].enter_context(
            node_process(name, parameters, namespace, self.log, remap)
        )

    def until(self, condition: Callable[[], Any], patience_s: float) -> bool:
        """Spin until something is so; return whether it is."""
        end_s = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > end_s:
                return False
            self._executor.spin_once(timeout_sec=0.02)
        return True

    def spin(self, seconds: float) -> None:
        """Let time pass."""
        self.until(lambda: False, seconds)

    def spin_well(self, seconds: float, every_s: float, look: Callable[[], object]) -> None:
        """Let time pass in which no node may end; look at something now and then."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            look()
            self.spin(min(every_s, max(0.0, end_s - time.monotonic())))
            if any(process.poll() is not None for process in self.processes.values()):
                raise UserError(f'a node ended early: {last_words(self.log)}')

    def driven(self, since_s: float = -np.inf) -> bool:
        """Whether the actuators have got planned commands for a while, all after a moment."""
        return not any(a.at_fallback for a in self._lately(since_s, DRIVEN_S))

    def stopped(self, since_s: float) -> bool:
        """Whether they have been at the fallback for a while, all after a moment."""
        return all(a.at_fallback for a in self._lately(since_s, STOPPED_S))

    def _lately(self, since_s: float, seconds: float) -> list[Applied]:
        begin_s = time.monotonic() - seconds
        if begin_s < since_s or not self.applied or self.applied[0].arrived_s > begin_s:
            return [Applied(begin_s, True), Applied(begin_s, False)]
        lately = itertools.takewhile(lambda a: a.arrived_s >= begin_s, reversed(self.applied))
        return list(lately) or [Applied(begin_s, True), Applied(begin_s, False)]


class Watch:
    """What the nodes say: commands, rows of statistics, diagnostics, memory."""

    def __init__(self, rig: NodeBench) -> None:
        """rig: whose topics are listened to."""
        self.sent_ns: list[int] = []
        self.rows: list[dict[str, float]] = []
        self.status: dict[str, dict[str, str]] = {}
        self.said: list[tuple[str, str]] = []
        self.counts: list[dict[str, int]] = []
        self.memory_mb: dict[str, list[tuple[float, float]]] = {}
        self._rig = rig
        action, listen = rig.spec.action, rig.node.create_subscription
        depth = QoSProfile(depth=100)
        listen(MESSAGES[action.type], action.topic, self._on_command, depth)
        listen(Float64MultiArray, 'controller_node/stats', self._on_row, depth)
        listen(DiagnosticArray, '/diagnostics', self._on_status, depth)

    def _on_command(self, message: Any, info: Any) -> None:
        self.sent_ns.append(info['source_timestamp'])

    def _on_row(self, message: Float64MultiArray) -> None:
        labels = (dimension.label for dimension in message.layout.dim)
        self.rows.append(dict(zip(labels, message.data)))

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            task = status.name.rpartition(': ')[2]
            values = {item.key: item.value for item in status.values}
            self.status[task] = values | {'message': status.message}
            texts = [status.message, values.get('reason', ''), values.get('last_fault', '')]
            self.said += [(task, text) for text in texts if text]

    def forget(self) -> None:
        """Begin to measure."""
        for samples in (self.sent_ns, self.rows, self._rig.applied, *self.memory_mb.values()):
            samples.clear()

    def remember_memory(self) -> None:
        """Note how much memory is resident."""
        for name, process in self._rig.processes.items():
            pages = int(Path(f'/proc/{process.pid}/statm').read_text().split()[1])
            sample = (time.monotonic(), pages * os.sysconf('SC_PAGESIZE') / 1e6)
            self.memory_mb.setdefault(name, []).append(sample)

    def remember_counts(self) -> None:
        """Note the counters of the controller; the difference of two notes is what happened."""
        values = self.status['control']
        names = ('periods_missed', 'lost', 'fallbacks', 'late_ticks', 'plans_cut')
        received = sum(int(v) for key, v in values.items() if key.startswith('received: '))
        self.counts.append({name: int(values[name]) for name in names} | {'received': received})
