# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that learns from what others send: model_learner_node and policy_learner_node.

It waits for nobody and nobody waits for it: the newest value counts, and whoever comes late gets
it at once (transient local). Publishes /diagnostics once a second. Services (Trigger): ~/pause and
~/resume, between two steps, and ~/checkpoint.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from safetensors.torch import save
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.diagnostics import ERROR, OK, WARN, diagnostic_message
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.learners.link import PAUSE, RESUME, SAVE
from mbmrl_ros.nodes.learners.mailbox import Mailbox
from mbmrl_ros.nodes.learners.parcels import message_of
from mbmrl_ros.nodes.learners.parts import EPISODE, TOPICS
from mbmrl_ros.nodes.learners.plan import notice_of, plan_part
from mbmrl_ros.nodes.learners.settings import LearnerSettings
from mbmrl_ros.nodes.learners.signing import read_signature
from mbmrl_ros.nodes.learners.worker import Worker
from mbmrl_ros.system.outputs import claimed

REPORT_S = 1.0
LOOK_S = 0.1
SERVICES = {PAUSE: '~/pause', RESUME: '~/resume', SAVE: '~/checkpoint'}


@dataclass(frozen=True)
class Role:
    """What a learner makes, of what, and by which work (link.py)."""

    makes: str
    hears: tuple[str, ...]
    work: str


class LearnerTopics:
    """Everything of a learner that exists from configure to cleanup.

    Threads: `_on_value` in that of the worker, everything else in the executor's.
    """

    def __init__(self, role: Role, node: Node, settings: LearnerSettings) -> None:
        """Look up what is to be learned; UserError if anything is wrong."""
        self._role, self._node, self._settings = role, node, settings
        self._signature = read_signature(settings.key_file)
        self._part = part = plan_part(settings)
        if role.makes not in part.layouts:
            raise UserError(
                f'{part.name} learns no {role.makes}: leave this node out, the collector plans in '
                'the newest model'
            )
        if notice := notice_of(part, settings):
            node.get_logger().warning(notice)
        with claimed(part.folder / role.makes, f'{role.makes} node'):
            pass
        self._layouts, self._depth = part.layouts, part.episodes_that_count
        self._mailboxes: list[Mailbox] = []
        self._worker: Worker | None = None
        self._listening = NodeResources(node)
        self._resources = resources = NodeResources(node)
        self._state, self._progress, self._warning = 'inactive', dict[str, Any](), ''
        self._bytes = self._messages = 0
        topic = TOPICS[role.makes]
        self._publisher = resources.publisher(UInt8MultiArray, topic, 1, keep=True)
        self._diagnostics = resources.publisher(DiagnosticArray, '/diagnostics', 10)
        for name, service in SERVICES.items():
            resources.service(Trigger, service, functools.partial(self._on_service, name))
        resources.timer(LOOK_S, self._look)
        resources.timer(REPORT_S, self._report)

    def start(self) -> None:
        """Learn from now on, from the last checkpoint and from what is newest on the topics."""
        self._state, self._progress, self._warning = 'learning', {}, ''
        self._worker = Worker(self._role.work, self._settings.model_dump(), self._on_value)
        self._mailboxes = [
            Mailbox(kind, self._part.origin, self._layouts[kind], kind == EPISODE, self._signature)
            for kind in self._role.hears
        ]
        # Made here, so that they get what is latched each time.
        for mailbox in self._mailboxes:
            depth = self._depth if mailbox.kind == EPISODE else 1
            profile = QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            heard = functools.partial(self._on_message, mailbox)
            self._listening.subscription(UInt8MultiArray, TOPICS[mailbox.kind], heard, profile)

    def stop(self) -> None:
        """End the work; what was not published of it goes."""
        self._listening.close()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()
            self._state = 'inactive'

    def close(self) -> None:
        """End the work and remove everything."""
        self.stop()
        self._resources.close()

    def check(self, settings: LearnerSettings) -> None:
        """Nothing to check: no parameter changes at run time."""

    def use(self, settings: LearnerSettings) -> None:
        """Nothing to apply: no parameter changes at run time."""

    def _on_message(self, mailbox: Mailbox, message: Any) -> None:
        parcel = mailbox.accept(message)
        if parcel is not None and self._worker is not None:
            episode = mailbox.kind == EPISODE
            name = str(parcel.version.number) if episode else mailbox.kind
            self._worker.send(name, save(parcel.tensors))
        elif mailbox.last_refusal:
            self._node.get_logger().warning(f'{mailbox.kind} refused: {mailbox.last_refusal}')

    def _on_value(self, name: str, value: Any) -> None:
        if name == 'parcel':
            signed = self._signature.sign(value)
            self._publisher.publish(message_of(signed))
            self._bytes, self._messages = self._bytes + len(signed), self._messages + 1
            # What is newer than what it was about is well.
            self._warning = ''
        elif name == 'progress':
            self._progress = self._progress | value
        elif name == 'state':
            self._state = 'learning' if value == 'working' else value
        elif name == 'warning':
            self._warning = value
            self._node.get_logger().warning(value)

    def _on_service(self, name: str, request: Any, response: Any) -> Any:
        worker = self._worker
        response.success = worker is not None and worker.running
        response.message = f'{name} after this step' if response.success else self._state
        if worker is not None and response.success:
            worker.send(name)
        return response

    def _look(self) -> None:
        """Say that the work has failed; end with it, where the node has the process to itself."""
        worker = self._worker
        if worker is None or worker.running:
            return
        self._worker = None
        worker.end()
        self._state = f'failed: {worker.problem}'
        self._node.get_logger().error(worker.problem)
        self._report()
        if getattr(self._node, 'owns_process', False):
            raise UserError(worker.problem)

    def _report(self) -> None:
        role, progress = self._role, self._progress
        values: dict[str, Any] = {'folder': self._part.folder / role.makes}
        values |= {k: v for k, v in progress.items() if k != 'state'}
        for mailbox in self._mailboxes:
            values |= mailbox.values()
        values |= {'sent': self._messages, 'sent.bytes': self._bytes, 'warning': self._warning}
        state = self._state
        text = str(progress.get('state', state)) if state == 'learning' else state
        refused = [m.last_refusal for m in self._mailboxes if m.last_refusal]
        level = ERROR if state.startswith('failed') else WARN if refused or self._warning else OK
        said = '; '.join([text, *(f'refused: {reason}' for reason in refused)])
        robot, name = self._part.robot, f'{role.makes} learning'
        self._diagnostics.publish(diagnostic_message(self._node, name, robot, level, said, values))
