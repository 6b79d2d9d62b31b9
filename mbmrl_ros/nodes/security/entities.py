# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What running nodes publish, hear, offer and call: they are started, one by one, and asked."""

from __future__ import annotations

import gc
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.nodes.common.inputs import WANTED_COMMANDS
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.log_folder import init_ros
from mbmrl_ros.nodes.common.messages import MESSAGES, sensor_writer
from mbmrl_ros.spec.robot import RobotSpec

# Nodes look for others ten times a second.
SETTLE_S = 0.35
RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
APART = {RANGE: 'OFF', 'ROS_STATIC_PEERS': ''}
# Gets every node while it runs, and what lets it work for a moment.
Note = Callable[[Node, Callable[[], None]], object]


class Entities(NamedTuple):
    """Full names of topics and services of a node."""

    publish: frozenset[str]
    subscribe: frozenset[str]
    reply: frozenset[str]
    request: frozenset[str]


def entities_of(node: Node) -> Entities:
    """Return what a node has at present, that of rclpy included: parameters, logging, clock."""
    asked = (
        node.get_publisher_names_and_types_by_node,
        node.get_subscriber_names_and_types_by_node,
        node.get_service_names_and_types_by_node,
        node.get_client_names_and_types_by_node,
    )
    names = (ask(node.get_name(), node.get_namespace()) for ask in asked)
    return Entities(*(frozenset(name for name, _ in found) for found in names))


class Hall:
    """Where nodes are started that nobody else can hear, nor they anybody else.

    Beside them is a stranger, which has publishers on the robot's topics, as nodes listen to some
    topics only when somebody else sends there.
    """

    def __init__(
        self,
        context: rclpy.Context,
        spec: RobotSpec,
        namespace: str = '',
        note: Note | None = None,
    ) -> None:
        self._context, self._spec, self._namespace = context, spec, namespace
        self._note = note
        self._executor = SingleThreadedExecutor(context=context)
        self._stranger = rclpy.create_node('stranger', context=context, namespace=namespace)
        command = MESSAGES[spec.action.type]
        kinds = {spec.action.topic: command, WANTED_COMMANDS: command, 'e_stop': Bool}
        kinds |= {topic: MESSAGES[settings.type] for topic, settings in spec.topics.items()}
        self._publishers = {
            topic: self._stranger.create_publisher(kind, topic, 10)
            for topic, kind in kinds.items()
        }

    def entities(self, name: str, parameters: Mapping[str, Any], say: bool = False) -> Entities:
        """Start a node and return what it has; UserError if it cannot be started.

        say: whether the stranger says something on the topics of the sensors meanwhile.
        """
        node: ManagedNode = importlib.import_module(EXECUTABLES[name]).make_node(
            context=self._context,
            namespace=self._namespace,
            parameter_overrides=[Parameter(key, value=given) for key, given in parameters.items()],
        )
        self._executor.add_node(node)
        try:
            for transition in (node.trigger_configure, node.trigger_activate):
                if transition() != TransitionCallbackReturn.SUCCESS:
                    raise UserError(f'{name}: {node.problem or "it could not be started"}')
            found = self._settled(node, say)
            if self._note is not None:
                self._note(node, self._spin)
            return found
        finally:
            node.stop()
            node.close()
            self._executor.remove_node(node)
            node.destroy_node()
            # In cycles, it would keep what the next one of its name has, such as /rosout.
            del node
            gc.collect()

    def plain_entities(self, name: str) -> Entities:
        """Return what a node has that makes nothing by itself."""
        node = rclpy.create_node(name, context=self._context)
        try:
            return entities_of(node)
        finally:
            node.destroy_node()

    def close(self) -> None:
        """Remove the stranger."""
        self._executor.shutdown()
        self._stranger.destroy_node()

    def _settled(self, node: ManagedNode, say: bool) -> Entities:
        """Return what a node has when that has not changed for a while."""
        found, end = entities_of(node), time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            if say:
                self._say()
            self._spin()
            now = entities_of(node)
            if now != found:
                found, end = now, time.monotonic() + SETTLE_S
        return found

    def _spin(self) -> None:
        self._executor.spin_once(timeout_sec=0.02)

    def _say(self) -> None:
        for topic in self._spec.topics:
            write = sensor_writer(self._spec, topic)
            stamp_ns = self._stranger.get_clock().now().nanoseconds
            self._publishers[topic].publish(write(np.zeros(len(self._spec.signals)), stamp_ns))


@contextmanager
def hall(spec: RobotSpec, namespace: str = '', note: Note | None = None) -> Iterator[Hall]:
    """Yield a place that no robot can hear; UserError if ROS cannot be started here."""
    before = {name: os.environ.get(name) for name in APART}
    os.environ.update(APART)
    context = rclpy.Context()
    try:
        init_ros(context=context)
        place = Hall(context, spec, namespace, note)
        yield place
        place.close()
    finally:
        rclpy.try_shutdown(context=context)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
