# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""player_node: a bag on the topics of its robot, to exercise a controller without actuators.

Publishes the sensor topics of the robot file, byte for byte, at the pace of the recording times
`rate`; with `commands`, the recorded commands as well, on the command topic of the robot file. By
default /clock shows the time of the recording, for a controller with use_sim_time; with `restamp`,
messages are stamped with the present instead. Ends with the bag unless `loop`.
"""

from __future__ import annotations

import math
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag, Message, decode
from mbmrl_ros.data.contents import STORE
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.messages import MESSAGES, to_stamp
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.settings import PlayerSettings
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.recordings.control_steps import find_command, find_sensors
from mbmrl_ros.robot.message_fields import HEADLESS, TRANSFORMS
from mbmrl_ros.spec.robot import load_robot

# Of the timer that sends what is due, and of /clock.
SEND_S = 0.002
CLOCK_S = 0.01
PAUSE_S = 1.0


class PlayerTopics:
    """Everything of the player that exists from configure to cleanup."""

    def __init__(self, node: Node, settings: PlayerSettings) -> None:
        """Read the bag; UserError if it is none of this robot."""
        self._node, self._settings = node, settings
        if not settings.bag:
            raise UserError('which bag? Give the parameter bag a folder or a file')
        spec, bag = load_robot(settings.robot), Bag(Path(settings.bag))
        if not os.path.lexists(bag.path):
            raise UserError(f'no bag {bag.where}')
        namespace = settings.namespace or None
        names = find_sensors(bag, spec, namespace)
        kinds: dict[str, str] = {full: spec.topics[name].type for full, name in names.items()}
        if settings.commands:
            command = find_command(bag, spec, namespace)
            names[command], kinds[command] = spec.action.topic, spec.action.type
        self._messages = _messages(bag, kinds)
        if not self._messages:
            raise UserError(f'{bag.where} holds no message of {spec.name}: {bag.damage}')
        for reason, count in bag.refused.items():
            node.get_logger().warning(f'not played: {count} x {reason}')
        self._stamped = {full for full, kind in kinds.items() if kind not in HEADLESS}
        self._transforms = {full for full, kind in kinds.items() if kind == TRANSFORMS}
        self._resources = resources = NodeResources(node)
        self._publishers = {
            full: resources.publisher(MESSAGES[kinds[full]], name, 100, keep=full in bag.latched)
            for full, name in names.items()
        }
        self._clock = None if settings.restamp else resources.publisher(Clock, '/clock', 10)
        self._next, self._loops = 0, 0
        self._started_s, self._clock_s = math.nan, -math.inf
        self._playing = False
        resources.timer(SEND_S, self._send_due)

    @property
    def played(self) -> int:
        """How many messages went out."""
        return self._loops * len(self._messages) + self._next

    def start(self) -> None:
        """Play from the begin."""
        self._next, self._started_s = 0, time.monotonic()
        self._playing = True

    def stop(self) -> None:
        """Stop."""
        self._playing = False

    def close(self) -> None:
        """Stop, and remove all topics."""
        self.stop()
        self._resources.close()

    def check(self, settings: PlayerSettings) -> None:
        """Nothing to check: no parameter changes at run time."""

    def use(self, settings: PlayerSettings) -> None:
        """Nothing to apply: no parameter changes at run time."""

    def _send_due(self) -> None:
        if not self._playing:
            return
        now_s, messages = time.monotonic(), self._messages
        now_ns = messages[0].log_ns + round((now_s - self._started_s) * self._settings.rate * 1e9)
        due = messages[self._next].log_ns <= now_ns
        if self._clock is not None and (due or now_s - self._clock_s >= CLOCK_S):
            self._clock.publish(Clock(clock=to_stamp(now_ns)))
            self._clock_s = now_s
        while self._next < len(messages) and messages[self._next].log_ns <= now_ns:
            message = messages[self._next]
            self._next += 1
            self._publishers[message.topic].publish(self._restamped(message.topic, message.raw))
        if self._next == len(messages):
            self._end(now_s)

    def _end(self, now_s: float) -> None:
        """Go on from the begin, or end the process."""
        self._loops, self._next = self._loops + 1, 0
        if self._settings.loop:
            # A pause, so that nobody takes the begin for what comes next.
            self._started_s = now_s + PAUSE_S
            return
        self._playing = False
        text = f'{len(self._messages)} messages in {now_s - self._started_s:.1f} s; that is all'
        self._node.get_logger().info(text)
        if getattr(self._node, 'owns_process', False):
            signal.raise_signal(signal.SIGTERM)

    def _restamped(self, topic: str, raw: bytes) -> bytes:
        if not self._settings.restamp:
            return raw
        if topic in self._transforms:
            return self._restamped_transforms(raw)
        if topic not in self._stamped:
            return raw
        # After the 4 bytes that say how it is encoded comes the stamp: seconds, nanoseconds.
        order = '<' if raw[1] & 1 else '>'
        stamp = struct.pack(f'{order}iI', *divmod(self._node.get_clock().now().nanoseconds, 10**9))
        return raw[:4] + stamp + raw[12:]

    def _restamped_transforms(self, raw: bytes) -> bytes:
        message = decode(raw, TRANSFORMS)
        now_s, rest_ns = divmod(self._node.get_clock().now().nanoseconds, 10**9)
        for transform in message.transforms:
            transform.header.stamp.sec, transform.header.stamp.nanosec = now_s, rest_ns
        return bytes(STORE.serialize_cdr(message, TRANSFORMS))


def _messages(bag: Bag, kinds: dict[str, str]) -> list[Message]:
    """Return what is to be played; UserError if a topic has none of the type that it wants.

    Every message is decoded: bytes that are none of their type must not reach a subscriber.
    """
    for full, kind in kinds.items():
        if kind not in bag.topics[full]:
            came = ' and '.join(bag.topics[full])
            raise UserError(f'{bag.where}: {full} is {came}, it can only be played as {kind}')
    found = bag.messages(kinds, {full: (kind,) for full, kind in kinds.items()})
    return [message._replace(data=None) for message in found]


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode('player_node', PlayerSettings, PlayerTopics, frozenset(), **options)


def main(arguments: list[str] | None = None) -> int:
    """Play until the end of the bag; exit code 2 for wrong input."""
    return run(make_node, PlayerSettings, 'player_node', arguments)


if __name__ == '__main__':
    sys.exit(main())
