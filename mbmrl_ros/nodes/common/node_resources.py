# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publishers, subscriptions, services, clients and timers that come and go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.timer import Timer


class NodeResources:
    """What one part of a node has made.

    Publishers are plain ones and not those of the life cycle: the last command must go out while
    the node is being deactivated. `open_qos` lets users override the QoS by parameters.
    """

    def __init__(self, node: Node) -> None:
        """node: that they belong to."""
        self.node = node
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._destroy: list[Callable[[], object]] = []

    def publisher(
        self, kind: Any, topic: str, depth: int, open_qos: bool = False, keep: bool = False
    ) -> Publisher[Any]:
        """Make a reliable publisher. keep: whoever comes late and asks for it gets the past."""
        durability = DurabilityPolicy.TRANSIENT_LOCAL if keep else DurabilityPolicy.VOLATILE
        publisher = self.node.create_publisher(
            kind,
            topic,
            QoSProfile(depth=depth, durability=durability),
            qos_overriding_options=_overriding(open_qos),
        )
        self._destroy.append(lambda: self.node.destroy_publisher(publisher))
        return publisher

    def subscription(
        self,
        kind: Any,
        topic: str,
        callback: Callable[..., None],
        profile: QoSProfile,
        open_qos: bool = False,
        warn: bool = True,
    ) -> None:
        """Make a subscription. callback: gets the message, and its info if it takes two.

        warn: log publishers whose QoS does not match.
        """
        subscription = self.node.create_subscription(
            kind,
            topic,
            callback,
            profile,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=warn),
            qos_overriding_options=_overriding(open_qos),
        )
        self._destroy.append(lambda: self.node.destroy_subscription(subscription))

    def service(self, kind: Any, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """Make a service."""
        service = self.node.create_service(kind, name, callback)
        self._destroy.append(lambda: self.node.destroy_service(service))

    def client(self, kind: Any, name: str) -> Any:
        """Return a client of a service."""
        client: Any = self.node.create_client(kind, name)
        self._destroy.append(lambda: self.node.destroy_client(client))
        return client

    def timer(self, period_s: float, callback: Callable[[], None], steady: bool = True) -> Timer:
        """Make a timer on the steady clock, or on that of the node, which may be simulated."""
        clock = self._steady if steady else None
        timer = self.node.create_timer(period_s, callback, clock=clock)
        self._destroy.append(lambda: self.node.destroy_timer(timer))
        return timer

    def close(self) -> None:
        """Remove them all."""
        for destroy in reversed(self._destroy):
            destroy()
        self._destroy.clear()


def _overriding(open_qos: bool) -> QoSOverridingOptions | None:
    return QoSOverridingOptions.with_default_policies() if open_qos else None
