# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What controller and gate listen to: sensors, the emergency stop."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from mbmrl_ros.channels import Topic
from mbmrl_ros.nodes.entities import Entities
from mbmrl_ros.nodes.mailbox import Refusal
from mbmrl_ros.nodes.messages import MESSAGES
from mbmrl_ros.robot.latency import transport_s
from mbmrl_ros.robot.readings import Read, message_stamp_s
from mbmrl_ros.spec import RobotSpec
from mbmrl_ros.types import Reading

Take = Callable[[Reading | Refusal], None]

# Best effort matches every driver.
SENSORS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_SENSORS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
# From the controller to the gate.
WANTED_COMMANDS = 'wanted_commands'


def subscribe_to_sensors(
    entities: Entities,
    spec: RobotSpec,
    readers: Mapping[str, Read],
    profile: QoSProfile,
    take: Take,
) -> None:
    """Call `take` for every sensor message; readers: `sensor_reader` of every topic."""
    for topic, settings in spec.topics.items():
        callback = functools.partial(
            _on_sensor, entities.node, take, topic, readers[topic], settings
        )
        entities.subscription(MESSAGES[settings.type], topic, callback, profile, open_qos=True)


def subscribe_to_latched(
    entities: Entities, kind: Any, topic: str, callback: Callable[[Any], None]
) -> None:
    """Call `callback` for what is sent once, by whatever publisher; some messages come twice."""
    # A latched one from before our start reaches the first subscription, that of a plain
    # publisher only the second.
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    entities.subscription(kind, topic, callback, latched, warn=False)
    entities.subscription(kind, topic, callback, QoSProfile(depth=1))


def _on_sensor(
    node: Node, take: Take, topic: str, read: Read, settings: Topic, message: Any
) -> None:
    received_s = time.monotonic()
    arrived_s = node.get_clock().now().nanoseconds / 1e9
    reading = read(message, received_s, arrived_s)
    if reading is None:
        return
    if isinstance(reading, str):
        take(Refusal(topic, message_stamp_s(message, arrived_s), received_s, reading))
    else:
        way_s = transport_s(reading.stamp_s, arrived_s, settings.timeout_s, settings.transport_s)
        take(replace(reading, transport_s=way_s))
