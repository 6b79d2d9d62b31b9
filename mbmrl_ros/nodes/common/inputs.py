# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What controller and gate listen to: sensors, the emergency stop."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from mbmrl_ros.nodes.common.messages import MESSAGES
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.senders import Senders
from mbmrl_ros.robot.bounds import position_topics
from mbmrl_ros.robot.clocks import ClockOffsets
from mbmrl_ros.robot.joint_parts import JointParts, Partial
from mbmrl_ros.robot.latency import transport_s
from mbmrl_ros.robot.message_fields import message_stamp_s
from mbmrl_ros.robot.readings import Read
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Reading

# Best effort matches every driver.
SENSORS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_SENSORS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
# From the controller to the gate.
WANTED_COMMANDS = 'wanted_commands'


@dataclass(frozen=True)
class Refusal:
    """A message that held no reading, and why."""

    topic: str
    stamp_s: float
    received_s: float
    reason: str


Take = Callable[[Reading | Refusal], None]


class Sensors:
    """The sensor topics of a robot: what comes, from whom, and by which clock."""

    def __init__(
        self, node: Node, spec: RobotSpec, take: Take, compare_clocks: bool = True
    ) -> None:
        """take: gets every reading, or why a message held none.

        compare_clocks: whether stamps should be of this node's clock; in lockstep they are not.
        """
        self._compare_clocks = compare_clocks
        # By topic, how many readings were zero from the first one on.
        self._never_moved = dict.fromkeys(position_topics(spec), 0)
        # Until then, a message of other joints is somebody else's matter, and no fault.
        self._complete_until_s = dict.fromkeys(spec.topics, -math.inf)
        self._node, self._spec, self._take = node, spec, take
        timeouts_s = {topic: settings.timeout_s for topic, settings in spec.topics.items()}
        self._senders, self._clocks = Senders(node, timeouts_s), ClockOffsets()

    def subscribe(
        self, resources: NodeResources, readers: Mapping[str, Read], profile: QoSProfile
    ) -> None:
        """Begin to listen; readers: `sensor_reader` of every topic."""
        for topic, settings in self._spec.topics.items():
            callback = functools.partial(self._on_message, topic, readers[topic])
            resources.subscription(
                MESSAGES[settings.type], topic, callback, profile, open_qos=True
            )

    def conflicts(self) -> list[str]:
        """Return which topics have several senders, and which one counts."""
        return self._senders.conflicts()

    def notices(self) -> list[str]:
        """Return which stamps are of another clock than ours, and which joints never moved."""
        return self._clocks.notices() + [
            f'{topic}: every value has been exactly zero so far'
            for topic, count in list(self._never_moved.items())
            if count
        ]

    def values(self) -> dict[str, int]:
        """Return how many messages of second senders were refused, for the diagnostics."""
        return self._senders.values()

    def _on_message(self, topic: str, read: Read, message: Any, info: Any) -> None:
        received_s = time.monotonic()
        arrived_s = self._node.get_clock().now().nanoseconds / 1e9
        item = self._item(topic, read, message, info, (received_s, arrived_s))
        if isinstance(item, str):
            if isinstance(item, Partial) and received_s <= self._complete_until_s[topic]:
                return
            stamp_s = message_stamp_s(message, arrived_s)
            self._take(Refusal(topic, stamp_s, received_s, item))
        elif item is not None:
            self._note(item, arrived_s)
            settings = self._spec.topics[topic]
            self._complete_until_s[topic] = received_s + settings.timeout_s
            way_s = transport_s(item.stamp_s, arrived_s, settings.timeout_s, settings.transport_s)
            self._take(replace(item, transport_s=way_s))

    def _item(
        self, topic: str, read: Read, message: Any, info: Any, times_s: tuple[float, float]
    ) -> Reading | str | None:
        """Return what a message of whoever counts holds, as `read` does; None from others.

        What is of no use holds no topic. Parts of two drivers are put together only after it is
        known that both count: whose message completes the whole is a matter of chance.
        """
        received_s = times_s[0]
        if isinstance(read, JointParts):
            own = read.own(message, *times_s)
            if not isinstance(own, Reading):
                return own
            counts = self._senders.take(topic, info, received_s, read.part(message))
            return read.join(message, own) if counts else None
        item = read(message, *times_s)
        if not isinstance(item, Reading) or self._senders.take(topic, info, received_s):
            return item
        return None

    def _note(self, reading: Reading, arrived_s: float) -> None:
        """Keep what notices are made of."""
        topic = reading.topic
        if topic in self._never_moved:
            if any(reading.values):
                del self._never_moved[topic]
            else:
                self._never_moved[topic] += 1
        if self._compare_clocks:
            self._clocks.add(topic, reading.stamp_s, arrived_s)


def subscribe_to_latched(
    resources: NodeResources, kind: Any, topic: str, callback: Callable[[Any], None]
) -> None:
    """Call `callback` for what is sent once, by whatever publisher; some messages come twice."""
    # A latched one from before our start reaches the first subscription, that of a plain
    # publisher only the second.
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    resources.subscription(kind, topic, callback, latched, warn=False)
    resources.subscription(kind, topic, callback, QoSProfile(depth=1))


def offer_e_stop(
    resources: NodeResources, stop: Callable[[str], object], release: Callable[[], str | None]
) -> None:
    """Let topic (true) and service latch the stop; ~/release alone unlatches it.

    stop: gets where it came from. release: returns why it stays latched; None if it does not.
    """

    def on_message(message: Bool) -> None:
        if message.data:
            stop('emergency stop by topic')

    def on_stop(request: Any, response: Any) -> Any:
        stop('emergency stop by service')
        response.success, response.message = True, 'latched; ~/release unlatches it'
        return response

    def on_release(request: Any, response: Any) -> Any:
        problem = release()
        response.success, response.message = problem is None, problem or 'released'
        return response

    subscribe_to_latched(resources, Bool, 'e_stop', on_message)
    resources.service(Trigger, '~/e_stop', on_stop)
    resources.service(Trigger, '~/release', on_release)
