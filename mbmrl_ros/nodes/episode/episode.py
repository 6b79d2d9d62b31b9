# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One recorded run: simulator and controller as processes of their own, over real topics."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.log_folder import init_ros
from mbmrl_ros.nodes.common.messages import MESSAGES
from mbmrl_ros.nodes.episode.processes import Ending, ending_in_order, last_words, node_process
from mbmrl_ros.nodes.episode.stall import NodeProcess, Pace, explain
from mbmrl_ros.nodes.recording.recorder import BagRecorder
from mbmrl_ros.robot.message_fields import message_stamp_ns
from mbmrl_ros.spec.channels import full_topic
from mbmrl_ros.spec.robot import RobotSpec

# The time-outs of a robot count for nothing here: on a busy machine a tick may take long, and a
# run in which the fallback went out meanwhile would be another one. `_spin` has its own.
LOCKSTEP_TIMEOUT_S = 3600.0
LOOK_S = 0.2


class Stopped(Exception):  # noqa: N818
    """A run was left because whoever asked for it no longer wants it."""


def lead_periods(spec: RobotSpec) -> int:
    """Return after how many periods there is a state: rates of change need two readings."""
    return int(any(channel.encoding == 'rate' for channel in spec.state))


@dataclass(frozen=True)
class Episode:
    """What to run. schedule: disturbances as the simulator reads them, kind:target@step.

    Its steps count from the start; those of the run from the first state (`lead_periods`).
    sim, controller: further ROS parameters of the two nodes. wire: the namespace in which they
    run, where several do at once; what is recorded has the names of `namespace` all the same.
    """

    spec: RobotSpec
    steps: int
    schedule: tuple[str, ...]
    sim: dict[str, Any]
    controller: dict[str, Any]
    namespace: str = 'demo'
    wire: str = ''

    @property
    def topics(self) -> dict[str, Any]:
        """What is recorded: full names and message classes."""
        action, topics = self.spec.action, self.spec.topics
        return {self._full(name): MESSAGES[topic.type] for name, topic in topics.items()} | {
            self._full(action.topic): MESSAGES[action.type],
            self.applied: JointState,
            self.stats: Float64MultiArray,
            '/clock': Clock,
        }

    @property
    def kept(self) -> set[str]:
        """What both nodes keep for a recorder that is connected late."""
        return {*map(self._full, self.spec.topics), self.applied, self.stats}

    @property
    def wires(self) -> dict[str, str]:
        """By what is recorded: where it is heard. No clock of another run is among it."""
        if not self.wire:
            return {topic: topic for topic in self.topics}
        return {
            topic: f'/{self.wire}/{topic.removeprefix(f"/{self.namespace}/").lstrip("/")}'
            for topic in self.topics
        }

    @property
    def applied(self) -> str:
        """Where the simulator says what its actuators did."""
        return f'/{self.namespace}/sim_node/applied_command'

    @property
    def stats(self) -> str:
        """Where the controller says how its ticks went."""
        return f'/{self.namespace}/controller_node/stats'

    def _full(self, topic: str) -> str:
        return full_topic(topic, self.namespace)


def run_episode(
    episode: Episode,
    bag: Path,
    on_step: Callable[[int], None],
    stop: threading.Event | None = None,
) -> None:
    """Run in lockstep until `steps` commands were applied; record everything to a bag.

    UserError if a node ends early, with its last words, if a step takes far longer than those
    before it, or if the bag cannot be written on. stop: leave as soon as it is set, by `Stopped`.
    Both nodes are stopped in any case.
    """
    with ExitStack() as stack:
        ending = stack.enter_context(ending_in_order())
        node, executor = _make_recorder_node(stack, episode)
        node.create_timer(LOOK_S, functools.partial(_leave_if, ending, stop))
        recorder = stack.enter_context(
            BagRecorder(node, bag, episode.topics, episode.kept, wires=episode.wires)
        )
        log = bag.parent / 'log'
        nodes = _start_nodes(stack, episode, log)
        _spin(executor, recorder, episode, nodes, on_step, log)


def _make_recorder_node(stack: ExitStack, episode: Episode) -> tuple[Node, SingleThreadedExecutor]:
    """Return a node in a context of its own, and what spins it."""
    context = rclpy.Context()
    init_ros(context=context)
    stack.callback(context.try_shutdown)
    namespace = episode.wire or episode.namespace
    node = rclpy.create_node('recorder', context=context, namespace=namespace)
    stack.callback(node.destroy_node)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    stack.callback(executor.shutdown)
    return node, executor


def _start_nodes(stack: ExitStack, episode: Episode, log: Path) -> list[NodeProcess]:
    """Start controller and simulator in lockstep; log: folder for what they print."""
    common = {
        'robot': episode.spec.name,
        'lockstep': True,
        'lockstep_timeout_s': LOCKSTEP_TIMEOUT_S,
        'autostart': True,
    }
    parameters = {
        'controller_node': common | episode.controller,
        'sim_node': common | {'schedule': list(episode.schedule)} | episode.sim,
    }
    namespace, remap = episode.wire or episode.namespace, {'/clock': episode.wires['/clock']}
    return [
        NodeProcess(name, stack.enter_context(node_process(name, own, namespace, log, remap)))
        for name, own in parameters.items()
    ]


def _leave_if(ending: Ending, stop: threading.Event | None) -> None:
    ending.check()
    if stop is not None and stop.is_set():
        raise Stopped


def _spin(
    executor: SingleThreadedExecutor,
    recorder: BagRecorder,
    episode: Episode,
    nodes: list[NodeProcess],
    on_step: Callable[[int], None],
    log: Path,
) -> None:
    seen, pace = 0, Pace(time.monotonic())
    # One more than the steps: the last one's next state comes with the command after it.
    wanted, until_ns = lead_periods(episode.spec) + episode.steps + 1, None
    while until_ns is None or not _all_came(recorder, episode, until_ns):
        executor.spin_once(timeout_sec=LOOK_S)
        now_s = time.monotonic()
        if recorder.problem:
            raise UserError(f'the recording broke off: {recorder.problem}')
        for node in nodes:
            if node.process.poll() is not None:
                raise UserError(f'{node.name} {node.state} before the end: {last_words(log)}')
        if seen < wanted and recorder.counts[episode.applied] != seen:
            seen = recorder.counts[episode.applied]
            pace.step(seen, now_s)
            on_step(min(seen, episode.steps))
            if seen >= wanted:
                until_ns = _newest_ns(recorder, episode, episode.applied)
        silent_s = pace.silent_s(now_s)
        if silent_s > pace.limit_s:
            culprit, owed = _debt(recorder, episode, until_ns)
            text = explain(silent_s, pace, culprit, owed, nodes)
            raise UserError(f'{text}; {last_words(log)} ({log})')


def _debt(recorder: BagRecorder, episode: Episode, until_ns: int | None) -> tuple[str, str]:
    """Return whose turn it is, and what it owes: states and commands follow each other.

    until_ns: the stamp of the last step, where only the recording of what came is not whole.
    """
    sensors = [f'/{episode.namespace}/{name}' for name in episode.spec.topics]
    if until_ns is not None:
        late = [name for name in sensors if _newest_ns(recorder, episode, name) < until_ns]
        topics = ', '.join(late or [episode.stats])
        return ('sim_node' if late else 'controller_node'), f'the last messages of {topics}'
    state_ns = max(_newest_ns(recorder, episode, name) for name in sensors)
    command = f'/{episode.namespace}/{episode.spec.action.topic}'
    command_ns = _newest_ns(recorder, episode, command)
    if state_ns < 0:
        return 'sim_node', 'the first state'
    if command_ns < state_ns:
        return 'controller_node', f'the command for the state at {state_ns / 1e9:g} s'
    return 'sim_node', f'the state after the command at {command_ns / 1e9:g} s'


def _all_came(recorder: BagRecorder, episode: Episode, until_ns: int) -> bool:
    """Return whether every sensor and tick up to a stamp is recorded.

    A topic that was connected late has its past to catch up, one message at a time.
    """
    sensors = episode.kept - {episode.applied, episode.stats}
    ticks = lead_periods(episode.spec) + episode.steps
    return recorder.counts[episode.stats] >= ticks and all(
        _newest_ns(recorder, episode, topic) >= until_ns for topic in sensors
    )


def _newest_ns(recorder: BagRecorder, episode: Episode, topic: str) -> int:
    """Return the stamp of the newest message of a topic [ns]; -1 if there is none."""
    if topic not in recorder.newest:
        return -1
    message = deserialize_message(recorder.newest[topic], episode.topics[topic])
    stamp = message_stamp_ns(message)
    return -1 if stamp is None else stamp
