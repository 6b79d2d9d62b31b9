# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One recorded run: simulator and controller as processes of their own, over real topics."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.log_folder import init_ros
from mbmrl_ros.nodes.messages import MESSAGES
from mbmrl_ros.nodes.processes import ending_in_order, last_words, node_process
from mbmrl_ros.nodes.recorder import BagRecorder
from mbmrl_ros.robot.readings import message_stamp_ns
from mbmrl_ros.spec import RobotSpec

SILENCE_S = 60.0


def lead_periods(spec: RobotSpec) -> int:
    """Return after how many periods there is a state: rates of change need two readings."""
    return int(any(channel.encoding == 'rate' for channel in spec.state))


@dataclass(frozen=True)
class Episode:
    """What to run. schedule: disturbances as the simulator reads them, kind:target@step.

    Its steps count from the start; those of the run from the first state (`lead_periods`).
    sim, controller: further ROS parameters of the two nodes.
    """

    spec: RobotSpec
    steps: int
    schedule: tuple[str, ...]
    sim: dict[str, Any]
    controller: dict[str, Any]
    namespace: str = 'demo'

    @property
    def topics(self) -> dict[str, Any]:
        """What is recorded: full names and message classes."""
        spec, root = self.spec, f'/{self.namespace}'
        sensors = {f'{root}/{name}': MESSAGES[topic.type] for name, topic in spec.topics.items()}
        return sensors | {
            f'{root}/{spec.action.topic}': MESSAGES[spec.action.type],
            self.applied: JointState,
            self.stats: Float64MultiArray,
            '/clock': Clock,
        }

    @property
    def kept(self) -> set[str]:
        """What both nodes keep for a recorder that is connected late."""
        sensors = {f'/{self.namespace}/{name}' for name in self.spec.topics}
        return sensors | {self.applied, self.stats}

    @property
    def applied(self) -> str:
        """Where the simulator says what its actuators did."""
        return f'/{self.namespace}/sim_node/applied_command'

    @property
    def stats(self) -> str:
        """Where the controller says how its ticks went."""
        return f'/{self.namespace}/controller_node/stats'


def run_episode(episode: Episode, bag: Path, on_step: Callable[[int], None]) -> None:
    """Run in lockstep until `steps` commands were applied; record everything to a bag.

    UserError if a node ends early, with its last words, or if the bag cannot be written on; both
    nodes are stopped in any case.
    """
    with ExitStack() as stack:
        stack.enter_context(ending_in_order())
        context = rclpy.Context()
        init_ros(context=context)
        stack.callback(context.try_shutdown)
        node = rclpy.create_node('recorder', context=context, namespace=episode.namespace)
        stack.callback(node.destroy_node)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        stack.callback(executor.shutdown)
        recorder = stack.enter_context(BagRecorder(node, bag, episode.topics, episode.kept))
        common = {'robot': episode.spec.name, 'lockstep': True, 'autostart': True}
        simulation = common | {'schedule': list(episode.schedule)} | episode.sim
        log = bag.parent / 'log'
        processes = [
            stack.enter_context(node_process(name, parameters, episode.namespace, log))
            for name, parameters in (
                ('controller_node', common | episode.controller),
                ('sim_node', simulation),
            )
        ]
        _spin(executor, recorder, episode, processes, on_step, log)


def _spin(
    executor: SingleThreadedExecutor,
    recorder: BagRecorder,
    episode: Episode,
    processes: list[subprocess.Popen[bytes]],
    on_step: Callable[[int], None],
    log: Path,
) -> None:
    seen, heard_s = 0, time.monotonic()
    # One more than the steps: the last one's next state comes with the command after it.
    wanted, until_ns = lead_periods(episode.spec) + episode.steps + 1, None
    while until_ns is None or not _all_came(recorder, episode, until_ns):
        executor.spin_once(timeout_sec=0.2)
        if recorder.fault:
            raise UserError(f'the recording broke off: {recorder.fault}')
        for process in processes:
            if process.poll() is not None:
                raise UserError(f'a node ended early: {last_words(log)}')
        if seen < wanted and recorder.counts[episode.applied] != seen:
            seen, heard_s = recorder.counts[episode.applied], time.monotonic()
            on_step(min(seen, episode.steps))
            if seen >= wanted:
                until_ns = _newest_ns(recorder, episode, episode.applied)
        if time.monotonic() - heard_s > SILENCE_S:
            raise UserError(f'no step for {SILENCE_S:.0f} s: {last_words(log)}')


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
