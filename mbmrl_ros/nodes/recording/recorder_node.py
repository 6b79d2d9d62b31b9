# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""recorder_node: sensors, commands and whatever else of a robot to an MCAP bag.

Subscribes, raw, to the topics of the robot file, to e_stop, and to those of the parameter `also`,
each as soon as it has a publisher and with that publisher's quality of service. Publishes
/diagnostics once a second. A recording lasts from activate to deactivate, or to the end of the
node; a kill costs what came in the last second. Where nothing can be written any more the node
closes the bag and ends with exit code 2; nobody else is concerned.
"""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.diagnostics import ERROR, OK, WARN, diagnostic_message
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.settings import RecorderSettings
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.recording.recorder import BagRecorder
from mbmrl_ros.spec.robot import load_robot

REPORT_S = 1.0
LOOK_S = 0.1


class RecorderTopics:
    """Everything of the recorder that exists from configure to cleanup."""

    def __init__(self, node: Node, settings: RecorderSettings) -> None:
        """Find a folder; UserError if it holds something already."""
        self._node = node
        self._spec = spec = load_robot(settings.robot)
        self._of_robot = f'--robot {settings.robot} --out DATA'
        now = datetime.now(UTC).strftime('%Y_%m_%d_%H_%M_%S')
        self.folder = Path(settings.out or f'bags/{spec.name}_{now}')
        if self.folder.exists():
            raise UserError(f'{self.folder} exists; a recording needs a folder of its own')
        names = (*spec.topics, spec.action.topic, 'e_stop', *settings.also)
        self._wanted = [node.resolve_topic_name(name) for name in names]
        self._missing: set[str] = set()
        self._unknown: dict[str, str] = {}
        self._recorder: BagRecorder | None = None
        self._subscriptions: list[Any] = []
        self._resources = NodeResources(node)
        self._diagnostics = self._resources.publisher(DiagnosticArray, '/diagnostics', 10)
        self._resources.timer(LOOK_S, self._look)
        self._resources.timer(REPORT_S, self._report)

    def start(self) -> None:
        """Record from now on; UserError if a bag cannot be written."""
        clock = self._node.get_clock()
        self._recorder = BagRecorder(
            self._node, self.folder, {}, now_ns=lambda: int(clock.now().nanoseconds)
        )
        self._missing, self._unknown = set(self._wanted), {}
        self._look()

    def stop(self) -> None:
        """Finish the bag."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()
        recorder.close()
        total = sum(recorder.counts.values())
        text = f'{total} messages in {self.folder}'
        if recorder.problem:
            self._node.get_logger().error(f'{recorder.problem}; {text} were recorded before')
        else:
            why = self._unknown
            silent = [
                f'{topic} ({why[topic]})' if topic in why else topic for topic in self._wanted
            ]
            then = f'next: mbmrl bag {self.folder} {self._of_robot}'
            nothing = f'nothing came of {", ".join(silent)}'
            self._node.get_logger().info(f'{text}; {then if total else nothing}')

    def close(self) -> None:
        """Finish the bag and remove everything."""
        self.stop()
        self._resources.close()

    def check(self, settings: RecorderSettings) -> None:
        """Nothing to check: no parameter changes at run time."""

    def use(self, settings: RecorderSettings) -> None:
        """Nothing to apply: no parameter changes at run time."""

    def _look(self) -> None:
        """Subscribe to topics that have got a publisher."""
        if self._recorder is None or self._recorder.problem:
            return
        for topic in sorted(self._missing):
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            self._missing.discard(topic)
            kind = publishers[0].topic_type
            try:
                message = _message_class(kind)
                # As demanding as the least of them: a demand that one does not meet hears nothing
                # of it.
                profiles = [publisher.qos_profile for publisher in publishers]
                subscription = self._recorder.add(
                    topic,
                    message,
                    min((p.reliability for p in profiles), key=_RELIABILITIES.index),
                    min((p.durability for p in profiles), key=_DURABILITIES.index),
                    profiles,
                )
            except Exception as error:  # of a type that is not installed, or not known to rosbags
                self._unknown[topic] = ' '.join(f'{kind}: {error}'.split())
                self._node.get_logger().warning(f'{topic} is not recorded: {self._unknown[topic]}')
                continue
            self._subscriptions.append(subscription)

    def _report(self) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.flush()
        level, text = OK, 'recording'
        if recorder is None:
            text = 'inactive'
        elif recorder.problem:
            level, text = ERROR, recorder.problem
        elif self._missing or self._unknown:
            silent = ', '.join(sorted({*self._missing, *self._unknown}))
            level, text = WARN, f'recording, without: {silent}'
        counts = recorder.counts if recorder else {}
        values = {
            'folder': self.folder,
            'bytes': recorder.bytes if recorder else 0,
            **{f'messages: {topic}': counts.get(topic, 0) for topic in self._wanted},
        }
        self._diagnostics.publish(
            diagnostic_message(self._node, 'recorder', self._spec.name, level, text, values)
        )
        if (
            recorder is not None
            and recorder.problem
            and getattr(self._node, 'owns_process', False)
        ):
            raise UserError(f'{recorder.problem}; what came before is in {self.folder}')


# From the least demanding on.
_RELIABILITIES = [
    ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE, ReliabilityPolicy.SYSTEM_DEFAULT,
    ReliabilityPolicy.UNKNOWN, ReliabilityPolicy.BEST_AVAILABLE,
]  # fmt: skip
_DURABILITIES = [
    DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL, DurabilityPolicy.SYSTEM_DEFAULT,
    DurabilityPolicy.UNKNOWN, DurabilityPolicy.BEST_AVAILABLE,
]  # fmt: skip


def _message_class(kind: str) -> Any:
    """Return the class of `package/msg/Name`."""
    package, _, name = kind.split('/')
    return getattr(importlib.import_module(f'{package}.msg'), name)


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode('recorder_node', RecorderSettings, RecorderTopics, frozenset(), **options)


def main(arguments: list[str] | None = None) -> int:
    """Record until stopped; exit code 2 for wrong input."""
    return run(make_node, RecorderSettings, 'recorder_node', arguments)


if __name__ == '__main__':
    sys.exit(main())
