# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator as a lifecycle node; see sim_topics.py for its topics and services."""

from __future__ import annotations

import traceback
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.params import changed, declare
from mbmrl_ros.nodes.settings import SimSettings
from mbmrl_ros.nodes.sim_topics import SimTopics
from mbmrl_ros.nodes.spin import run

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
RUN_TIME = frozenset({'speed_factor', 'seed'})


class SimNode(LifecycleNode):
    """Plays a robot in MuJoCo."""

    def __init__(self) -> None:
        """Declare the parameters; UserError if one is wrong."""
        super().__init__('sim_node')
        self.problem = ''
        self._topics: SimTopics | None = None
        self._settings = declare(self, SimSettings)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._apply_parameters)

    @property
    def autostart(self) -> bool:
        """Whether the node takes itself to active."""
        return self._settings.autostart

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the robot and make its world; FAILURE and one line if the input is wrong."""
        try:
            self._topics = SimTopics(self, self._settings)
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
        """Start time."""
        if self._topics is not None:
            self._topics.start()
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop time."""
        self.stop()
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the world."""
        self._close()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop time and forget the world."""
        self._close()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the world; the node can be configured again."""
        self._close()
        return SUCCESS

    def stop(self) -> None:
        """Stop time; the actuators, which are the simulator's own, stop with it."""
        if self._topics is not None:
            self._topics.stop()

    def close(self) -> None:
        """Remove all topics."""
        self._close()

    def _close(self) -> None:
        if self._topics is not None:
            self._topics.close()
            self._topics = None

    def _check_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            changed(self._settings, parameters, RUN_TIME if self._topics else None)
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter[Any]]) -> None:
        before = self._settings
        self._settings = changed(before, parameters, None)
        if self._topics is not None and self._settings != before:
            self._topics.use(self._settings, [parameter.name for parameter in parameters])


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator until it is stopped; exit code 2 for wrong input."""
    return run(SimNode, SimSettings, 'sim_node', arguments)
