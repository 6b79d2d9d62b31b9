# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""trainer_node: a training as a lifecycle node, in the run folder of `mbmrl train`.

Publishes ~/progress after every iteration (latched: iteration, iterations, environment_steps,
return, seconds, then the metrics of the algorithm) and /diagnostics once a second. Services
(Trigger): ~/pause, ~/resume and ~/stop, which count when the present iteration is done. A training
lasts from activate to its end or to deactivate, and goes on after the last whole iteration; with
it ends the node, with exit code 2 where it failed.
"""

from __future__ import annotations

import functools
import signal
import sys
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.diagnostics import ERROR, OK, diagnostic_message
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.messages import labelled_numbers
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.learners.link import PAUSE, RESUME, STOP
from mbmrl_ros.nodes.learners.plan import plan_training
from mbmrl_ros.nodes.learners.settings import TrainerSettings
from mbmrl_ros.nodes.learners.worker import Worker

REPORT_S = 1.0
LOOK_S = 0.1
ASKED = {
    PAUSE: 'pausing after this iteration',
    RESUME: 'training',
    STOP: 'stopping after this iteration',
}
# What the worker says when it has done as it was asked.
STOPPED = 'stopped'
WORK = 'mbmrl_ros.nodes.learners.trainer:train'


class TrainerTopics:
    """Everything of the trainer that exists from configure to cleanup.

    Threads: `_on_value` in that of the worker, everything else in the executor's.
    """

    def __init__(self, node: Node, settings: TrainerSettings) -> None:
        """Look up what is to be trained; UserError if anything is wrong."""
        self._node, self._settings = node, settings
        self._training = plan_training(settings)
        self._worker: Worker | None = None
        self._state, self._progress = 'inactive', dict[str, float]()
        self._resources = resources = NodeResources(node)
        self._publisher = resources.publisher(Float64MultiArray, '~/progress', 1, keep=True)
        self._diagnostics = resources.publisher(DiagnosticArray, '/diagnostics', 10)
        for name in ASKED:
            resources.service(Trigger, f'~/{name}', functools.partial(self._on_service, name))
        resources.timer(LOOK_S, self._look)
        resources.timer(REPORT_S, self._report)

    def start(self) -> None:
        """Train from now on."""
        self._state = 'training'
        self._worker = Worker(WORK, self._settings.model_dump(), self._on_value)

    def stop(self) -> None:
        """End the training; what is done of the present iteration goes."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()
            self._state = 'inactive'

    def close(self) -> None:
        """End the training and remove everything."""
        self.stop()
        self._resources.close()

    def check(self, settings: TrainerSettings) -> None:
        """Nothing to check: no parameter changes at run time."""

    def use(self, settings: TrainerSettings) -> None:
        """Nothing to apply: no parameter changes at run time."""

    def _on_service(self, name: str, request: Any, response: Any) -> Any:
        worker = self._worker
        response.success = worker is not None and worker.running and self._state != STOPPED
        response.message = (
            ASKED[name] if response.success else f'nothing is trained: {self._state}'
        )
        if worker is not None and response.success:
            self._state = ASKED[name]
            worker.send(name)
        return response

    def _on_value(self, name: str, value: Any) -> None:
        if name == 'progress':
            self._progress = value
            self._publisher.publish(labelled_numbers(value))
        elif name == 'state':
            self._state = 'training' if value == 'working' else value

    def _look(self) -> None:
        """End with the training, where it has the process to itself."""
        worker = self._worker
        if worker is None or worker.running:
            return
        self._worker = None
        worker.end()
        folder = self._training.folder
        if worker.problem:
            self._state = f'failed: {worker.problem}'
            self._node.get_logger().error(worker.problem)
        elif self._state != STOPPED:
            self._state = f'finished: {folder / "bundle"}'
        self._report()
        self._node.get_logger().info(f'{self._state}; all of it is in {folder}')
        if getattr(self._node, 'owns_process', False):
            if worker.problem:
                raise UserError(worker.problem)
            signal.raise_signal(signal.SIGTERM)

    def _report(self) -> None:
        values = {'state': self._state, 'folder': self._training.folder, **self._progress}
        level = ERROR if self._state.startswith('failed') else OK
        training = self._training
        values |= {'algorithm': training.algorithm.name, 'task': training.task.name}
        progress, text = self._progress, self._state
        if progress:
            text += f', iteration {progress["iteration"]:.0f} of {progress["iterations"]:.0f} done'
        robot = training.task.robot or training.task.name
        self._diagnostics.publish(
            diagnostic_message(self._node, 'training', robot, level, text, values)
        )


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode('trainer_node', TrainerSettings, TrainerTopics, frozenset(), **options)


def main(arguments: list[str] | None = None) -> int:
    """Train until it is done or stopped; exit code 2 for wrong input and failed trainings."""
    return run(make_node, TrainerSettings, 'trainer_node', arguments)


if __name__ == '__main__':
    sys.exit(main())
