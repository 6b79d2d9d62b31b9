# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""collector_node: drives a robot, episode after episode, with the newest it has got.

That is a policy, or a model that it adapts to at every step and plans in (driving.py).

It is a controller (controller_topics.py) with its topics, safety filter and services. Between two
episodes it answers with the fallback, until the service of the parameter `reset` has put the robot
back. Before anything has come, actions are random. An episode is written to disk, and then
published; the newest ones that count are latched. Further services (Trigger): ~/pause, ~/resume,
after the episode; /diagnostics has an entry of its own for what is collected.
"""

from __future__ import annotations

import functools
import signal
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.nodes.common.diagnostics import ERROR, OK, WARN, diagnostic_message
from mbmrl_ros.nodes.common.lifecycle import ManagedNode
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.settings import ControllerSettings
from mbmrl_ros.nodes.common.spin import run
from mbmrl_ros.nodes.controller.assembly import Brain
from mbmrl_ros.nodes.controller.controller_topics import ControllerTopics
from mbmrl_ros.nodes.learners.driving import make_driving
from mbmrl_ros.nodes.learners.episodes import EpisodeStore, facts_of
from mbmrl_ros.nodes.learners.mailbox import Mailbox
from mbmrl_ros.nodes.learners.parcels import message_of
from mbmrl_ros.nodes.learners.parts import EPISODE, TOPICS
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.resets import Resets
from mbmrl_ros.nodes.learners.settings import CollectorSettings
from mbmrl_ros.nodes.learners.signing import read_signature
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.fit_model import make_generator

REPORT_S = 1.0
LOOK_S = 0.02
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class CollectorTopics:
    """Everything of the collector that exists from configure to cleanup.

    Threads: `_on_piece` in that which ticks, everything else in the executor's.
    """

    def __init__(self, node: Node, settings: CollectorSettings) -> None:
        """Look up task and robot, warm up; UserError if anything is wrong."""
        self._node, self._settings = node, settings
        self._signature = signature = read_signature(settings.key_file)
        self._part = part = plan_part(settings)
        self._spec = spec = load_robot(part.robot)
        self._resources = resources = NodeResources(node)
        self._most = part.episodes_that_count
        topic = TOPICS[EPISODE]
        self._episodes = resources.publisher(UInt8MultiArray, topic, self._most, keep=True)
        self._store = EpisodeStore(part, self._publish)
        try:
            # Further than any start of before, whose episodes are there.
            generator = make_generator(part.seed, self._store.count, 'collect')
            self._driving = make_driving(part, generator, self._on_piece)
            self.driver = self._driving.driver
            self._controller = ControllerTopics(node, self._controlled_by(), self._brain)
        except Exception:
            self._store.close()
            raise
        self._resets = Resets(resources, settings.reset, spec.period_s)
        kind = self._driving.hears
        self._mailbox = Mailbox(kind, part.origin, part.layouts[kind], signature=signature)
        self._paused = self._active = False
        self._began_s, self._recorded = time.monotonic(), 0
        self._diagnostics = resources.publisher(DiagnosticArray, '/diagnostics', 10)
        resources.subscription(UInt8MultiArray, TOPICS[kind], self._on_parcel, LATCHED)
        for paused, service in ((True, '~/pause'), (False, '~/resume')):
            resources.service(Trigger, service, functools.partial(self._on_pause, paused))
        resources.timer(LOOK_S, self._look)
        resources.timer(REPORT_S, self._report)
        self._store.republish(self._most)

    def start(self) -> None:
        """Drive from now on; UserError if somebody else commands the robot."""
        self._controller.start()
        self._began_s, self._recorded, self._active = time.monotonic(), 0, True
        self._resets.ask()

    def stop(self) -> None:
        """Send the fallback; the episode that is under way is kept as far as it goes."""
        if self._active:
            self._active = False
            self._controller.stop()
            self._controller.loop.wait(self.driver.reset)

    def close(self) -> None:
        """Send the fallback, write what is left, and remove everything."""
        self.stop()
        self._controller.close()
        self._store.close()
        self._resources.close()

    def check(self, settings: CollectorSettings) -> None:
        """Nothing to check: no parameter changes at run time."""

    def use(self, settings: CollectorSettings) -> None:
        """Nothing to apply: no parameter changes at run time."""

    def _controlled_by(self) -> ControllerSettings:
        settings = self._settings
        return ControllerSettings(
            robot=self._part.robot,
            lockstep=settings.lockstep,
            gate=settings.gate,
            seed=settings.seed,
            threads=1,
            publish_tf=False,
        )

    def _brain(self, spec: Any, settings: Any, route: Any) -> Brain:
        return self._driving.brain()

    def _publish(self, episode: bytes) -> None:
        self._episodes.publish(message_of(self._signature.sign(episode)))

    def _on_parcel(self, message: Any) -> None:
        mailbox = self._mailbox
        parcel = mailbox.accept(message)
        if parcel is not None:
            self._driving.take(parcel, self._controller)
        elif mailbox.last_refusal:
            self._node.get_logger().warning(f'{mailbox.kind} refused: {mailbox.last_refusal}')

    def _on_piece(self, piece: Trajectory, proposal: Any) -> None:
        version, first_s = self._driving.driven_by(proposal)
        self._recorded += piece.steps
        facts = facts_of(self._driving.hears, version)
        self._store.put(piece, facts | {'first_action_s': first_s})

    def _on_pause(self, paused: bool, request: Any, response: Any) -> Any:
        self._paused = paused
        response.success = True
        response.message = 'pausing after this episode' if paused else 'collecting'
        return response

    def _look(self) -> None:
        """Have the robot put back after an episode, and begin the next one when it has been."""
        driver, resets = self.driver, self._resets
        if not self._active or not driver.waiting:
            return
        wanted = self._settings.steps
        if wanted and self._store.steps >= wanted:
            self._end()
        elif not self._paused and resets.done():
            self._driving.begin(self._store.count, self._store.steps)

    def _end(self) -> None:
        """All that was wanted has been collected."""
        text = f'{self._store.steps} steps in {self._store.run.folder}; that is all'
        self._paused = True
        self._node.get_logger().info(text)
        if getattr(self._node, 'owns_process', False):
            signal.raise_signal(signal.SIGTERM)

    def _report(self) -> None:
        store, mailbox = self._store, self._mailbox
        wall_s = time.monotonic() - self._began_s
        version, first_s = self._driving.driven_by(self.driver.proposal)
        values: dict[str, Any] = {
            'folder': store.run.folder,
            'pieces': store.count,
            'environment_steps': store.steps,
            'robot_time_share': self._recorded * self._spec.period_s / max(wall_s, 1e-9),
            f'{mailbox.kind}.driving': version or 'none yet: random actions',
            f'{mailbox.kind}.first_action_s': first_s,
            **mailbox.values(),
            **{f'last.{name}': value for name, value in store.last.items()},
        }
        level, text = OK, f'{store.steps} steps collected'
        if not self._active:
            text = f'inactive, {text}'
        elif self._paused:
            text = f'paused, {text}'
        for problem in (mailbox.last_refusal, self._resets.problem):
            if problem:
                level, text = WARN, f'{text}; {problem}'
        if store.problem:
            level, text = ERROR, store.problem
        self._diagnostics.publish(
            diagnostic_message(self._node, 'collection', self._spec.name, level, text, values)
        )


def make_node(**options: Any) -> ManagedNode:
    """Return the node, unconfigured; options are those of rclpy's Node."""
    return ManagedNode(
        'collector_node', CollectorSettings, CollectorTopics, frozenset(), **options
    )


def main(arguments: list[str] | None = None) -> int:
    """Collect until stopped; exit code 2 for wrong input."""
    return run(make_node, CollectorSettings, 'collector_node', arguments)


if __name__ == '__main__':
    sys.exit(main())
