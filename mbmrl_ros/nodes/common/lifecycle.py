# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What simulator and controller have in common: states of the life cycle, and parameters."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.params import changed, declare
from mbmrl_ros.system.endings import system_reason

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)

# Parameters that say what a node is, and topics that every node may hear.
TELLING = ('robot', 'bundle', 'algorithm', 'task', 'bag')
OF_ROS = {'/parameter_events', '/clock'}


class Topics(Protocol):
    """Everything of a node that exists from configure to cleanup: topics, services, threads."""

    def start(self) -> None:
        """Activate."""

    def stop(self) -> None:
        """Deactivate: leave the robot safe."""

    def close(self) -> None:
        """Stop, and remove everything."""

    def check(self, settings: Any) -> None:
        """Raise UserError if changed settings cannot be used."""

    def use(self, settings: Any) -> None:
        """Apply changed settings."""


class ManagedNode(LifecycleNode):
    """A lifecycle node whose topics are made when it is configured."""

    def __init__(
        self,
        name: str,
        settings: Any,
        make_topics: Callable[[ManagedNode, Any], Topics],
        run_time: frozenset[str],
        **options: Any,
    ) -> None:
        """Declare the parameters; UserError if one is wrong.

        settings: their record. run_time: those that may change while the node is configured.
        options: of rclpy's Node. `owns_process` may be set where nothing else runs in it.
        """
        super().__init__(name, **options)
        self.problem = ''
        self.owns_process = False
        self._make_topics = make_topics
        self._run_time = run_time
        self._topics: Topics | None = None
        self._settings = declare(self, settings)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

    @property
    def autostart(self) -> bool:
        """Whether the node takes itself to active."""
        return bool(self._settings.autostart)

    @property
    def realtime_priority(self) -> int:
        """Of the process, if the node has it to itself; 0: none."""
        return int(getattr(self._settings, 'realtime_priority', 0))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load what the parameters name; FAILURE and one line if they are wrong."""
        return self._change(self._open)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start."""
        return self._change(self._start)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the robot safe."""
        return self._change(self.stop)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the robot safe and forget everything but the parameters."""
        return self._change(self.close)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the robot safe and forget everything."""
        return self._change(self.close)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the robot safe; the node can be configured again."""
        return self._change(self.close)

    def stop(self) -> None:
        """Leave the robot safe."""
        if self._topics is not None:
            self._topics.stop()

    def close(self) -> None:
        """Leave the robot safe and remove all topics, services and threads."""
        topics, self._topics = self._topics, None
        if topics is not None:
            topics.close()

    def _open(self) -> None:
        self._topics = self._make_topics(self, self._settings)

    def _start(self) -> None:
        if self.owns_process:
            # Of the 200 000 objects that are there now, most stay. To look through them all for
            # garbage takes a tenth of a second, in which nobody else runs Python.
            gc.collect()
            gc.freeze()
        if self._topics is not None:
            self._topics.start()
        self.get_logger().info(self._introduction())

    def _introduction(self) -> str:
        """Return what this is, and which topics it waits for."""
        values = ((name, getattr(self._settings, name, '')) for name in TELLING)
        about = ', '.join(f'{name} {value}' for name, value in values if value)
        topics = {each.topic_name for each in self.subscriptions} - OF_ROS
        # A recorder hears a topic as soon as somebody publishes it.
        hears = f'; hears {", ".join(sorted(topics))}' if topics else ''
        return f'active: {about or self.get_name()}{hears}'

    def _change(self, action: Callable[[], object]) -> TransitionCallbackReturn:
        """Do what a transition asks for. rclpy itself would swallow what it raises."""
        try:
            action()
        except (UserError, OSError) as error:
            # A path that is too long, or that nobody may look into, is no fault of the program.
            self.problem = system_reason(error) if isinstance(error, OSError) else str(error)
            if not self.autostart:
                self.get_logger().error(self.problem)
            return FAILURE
        except Exception:
            self.get_logger().error(traceback.format_exc())
            return ERROR
        return SUCCESS

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            allowed = None if self._topics is None else self._run_time
            settings = changed(self._settings, parameters, allowed)
            if self._topics is not None:
                self._topics.check(settings)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        settings = changed(self._settings, parameters, None)
        self._settings = settings
        if self._topics is not None:
            self._topics.use(settings)
