# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TopicRelay between nodes that can be spoiled, to see what a fault on a topic does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from mbmrl_ros.nodes.common.messages import to_stamp
from mbmrl_ros.robot.message_fields import JOINT_FIELDS
from mbmrl_ros.robot.readings import stamp_ns

MessageFault = Callable[[Any], object]
"""Edits a message in place; one for which it returns False is lost."""


class TopicRelay:
    """Forwards topics to other names, through what `spoils` says of the target.

    newest: the last message that went on, by target.
    """

    def __init__(self, node: Node) -> None:
        """node: in whose executor messages are forwarded."""
        self.spoils: dict[str, MessageFault] = {}
        self.newest: dict[str, Any] = {}
        self._node = node

    def join(self, kind: Any, source: str, target: str, depth: int = 1) -> None:
        """Forward a topic, the newest `depth` messages of it."""
        publisher = self._node.create_publisher(kind, target, QoSProfile(depth=depth))

        def forward(message: Any) -> None:
            if self.spoils.get(target, whole)(message) is not False:
                publisher.publish(message)
                self.newest[target] = message

        self._node.create_subscription(kind, source, forward, QoSProfile(depth=depth))


def whole(message: Any) -> None:
    """Leave a message as it is."""


def lost(message: Any) -> bool:
    """Lose every message."""
    return False


def put(path: str, value: Any) -> MessageFault:
    """Return what sets a field: `pose.position.x`, `data.2`, or `position[joint]`."""

    def spoil(message: Any) -> None:
        *parents, leaf = path.split('.')
        for parent in parents:
            message = getattr(message, parent)
        name, _, joint = leaf.rstrip(']').partition('[')
        if joint:
            getattr(message, name)[list(message.name).index(joint)] = value
        elif leaf.isdecimal():
            message[int(leaf)] = value
        else:
            setattr(message, leaf, value)

    return spoil


def named_twice(joint: str, value: float) -> MessageFault:
    """Return what adds a joint that is there already, with other values."""

    def spoil(message: Any) -> None:
        message.name = [*message.name, joint]
        for field in JOINT_FIELDS:
            if len(getattr(message, field)):
                setattr(message, field, [*getattr(message, field), value])

    return spoil


def all_of(*spoils: MessageFault) -> MessageFault:
    """Return what does several things to a message."""

    def spoil(message: Any) -> None:
        for one in spoils:
            one(message)

    return spoil


def standing(before: Callable[[], Any] | None = None) -> MessageFault:
    """Return a driver that stamps its first measurement for ever.

    before: tells the message before the fault, whose stamp it is then.
    """
    first: list[Any] = []

    def spoil(message: Any) -> None:
        first.append((before() if before and not first else message).header.stamp)
        message.header.stamp = first[0]

    return spoil


def frozen(before: Callable[[], Any] | None = None) -> MessageFault:
    """Return a driver that repeats what it measured first, under new stamps.

    before: tells the message before the fault, which it is then.
    """
    first: list[Any] = []

    def spoil(message: Any) -> None:
        first.append(copy.deepcopy(before() if before and not first else message))
        for field in message.get_fields_and_field_types():
            if field != 'header':
                setattr(message, field, getattr(first[0], field))

    return spoil


def jumping(path: str, values: tuple[float, float]) -> MessageFault:
    """Return a sensor that says the one and the other in turn."""
    turn = [0]

    def spoil(message: Any) -> None:
        turn[0] = 1 - turn[0]
        put(path, values[turn[0]])(message)

    return spoil


def earlier(seconds: float) -> MessageFault:
    """Return a driver whose clock was put back."""

    def spoil(message: Any) -> None:
        message.header.stamp = to_stamp(stamp_ns(message.header.stamp) - round(seconds * 1e9))

    return spoil
