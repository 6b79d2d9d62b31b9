# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller as a lifecycle node; see controller_topics.py for its topics and services."""

from __future__ import annotations

import traceback
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.controller_topics import ControllerTopics
from mbmrl_ros.nodes.params import changed, declare, flat_fields
from mbmrl_ros.nodes.settings import ControllerSettings
from mbmrl_ros.nodes.spin import run

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# planner.* counts from the next tick on; bundle, adaptation and step_size from ~/reload on; seed
# from ~/reset on.
RUN_TIME = frozenset(
    {'bundle', 'adaptation', 'step_size', 'seed'}
    | {name for name, _ in flat_fields(ControllerSettings) if name.startswith('planner.')}
)


class ControllerNode(LifecycleNode):
    """Adapts a model and drives a robot with it."""

    def __init__(self) -> None:
        """Declare the parameters; UserError if one is wrong."""
        super().__init__('controller_node')
        self.problem = ''
        self._topics: ControllerTopics | None = None
        self._settings = declare(self, ControllerSettings)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

    @property
    def autostart(self) -> bool:
        """Whether the node takes itself to active."""
        return self._settings.autostart

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load robot and bundle, warm up; FAILURE and one line if the input is wrong."""
        try:
            self._topics = ControllerTopics(self, self._settings)
        except UserError as error:
            self.problem = str(error)
            if not self.autostart:
                self.get_logger().error(self.problem)
            return FAILURE
        except Exception:  # rclpy would swallow it
            self.get_logger().error(traceback.format_exc())
            raise
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to command."""
        if self._topics is not None:
            self._topics.start()
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send the fallback, then nothing more."""
        self.stop()
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the model."""
        self._close()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send the fallback and forget the model."""
        self._close()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send the fallback; the node can be configured again."""
        self._close()
        return SUCCESS

    def stop(self) -> None:
        """Send the fallback, then nothing more."""
        if self._topics is not None:
            self._topics.stop()

    def close(self) -> None:
        """End the worker thread."""
        self._close()

    def _close(self) -> None:
        if self._topics is not None:
            self._topics.close()
            self._topics = None

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            settings = changed(self._settings, parameters, RUN_TIME if self._topics else None)
            if self._topics is not None:
                self._topics.check(settings)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        before = self._settings
        self._settings = changed(before, parameters, None)
        if self._topics is not None and self._settings != before:
            self._topics.use(self._settings)


def main(arguments: list[str] | None = None) -> int:
    """Run the controller until it is stopped; exit code 2 for wrong input."""
    return run(ControllerNode, ControllerSettings, 'controller_node', arguments)
