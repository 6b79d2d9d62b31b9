# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of running nodes for a moment: who is there, and their services.

In the place of the command `ros2`, which has no wheel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.log_folder import init_ros

# Nodes are found one after another: how long to go on after the first that is of use, and how
# long to look for one at all.
MORE_S, LOOK_S = 0.5, 5.0
ANSWER_S = 2.0
# Its name is in the policies of DDS security, so it is always the same.
ASKING = 'mbmrl_by_hand'


class Asking:
    """A node that finds services by their end, and calls them."""

    def __init__(self, context: rclpy.Context) -> None:
        self.node = rclpy.create_node(ASKING, context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)

    def find(self, kind: str, wanted: Callable[[str], bool]) -> list[str]:
        """Return the full names of the services of a type that are wanted; none after LOOK_S."""
        found: set[str] = set()
        end = time.monotonic() + LOOK_S
        while time.monotonic() < end:
            self.spin(0.05)
            now = {n for n in self._services(kind) if wanted(n)}
            if now and not found:
                end = time.monotonic() + MORE_S
            found |= now
        return sorted(found)

    def call(self, kind: Any, name: str, **fields: Any) -> Any:
        """Return the response of a service; None if none came in time.

        Asked twice: a server may know of a request before it knows where to answer.
        """
        client: Any = self.node.create_client(kind, name)
        for _ in range(2):
            future = client.call_async(kind.Request(**fields))
            end = time.monotonic() + ANSWER_S
            while not future.done() and time.monotonic() < end:
                self.spin(0.05)
            if future.done():
                return future.result()
        return None

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until something is so; return whether it is, after LOOK_S at the latest."""
        end = time.monotonic() + LOOK_S
        while not condition() and time.monotonic() < end:
            self.spin(0.05)
        return condition()

    def spin(self, seconds: float) -> None:
        """Let messages and answers in."""
        self._executor.spin_once(timeout_sec=seconds)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()

    def _services(self, kind: str) -> Iterator[str]:
        for name, kinds in self.node.get_service_names_and_types():
            if kind in kinds:
                yield name


@contextmanager
def asking() -> Iterator[Asking]:
    """Yield a node that asks; UserError if ROS cannot be started here."""
    context = rclpy.Context()
    init_ros(context=context)
    node = Asking(context)
    try:
        yield node
    finally:
        node.close()
        rclpy.try_shutdown(context=context)


def nobody(what: str) -> UserError:
    """Return what to say where nobody was found."""
    domain = os.environ.get('ROS_DOMAIN_ID', '') or '0'
    return UserError(
        f'no {what} was found within {LOOK_S:g} s (ROS_DOMAIN_ID {domain}); start one, or set '
        'ROS_DOMAIN_ID to the one where it runs'
    )
