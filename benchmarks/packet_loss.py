# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All packets between learning nodes are lost for ten seconds: python benchmarks/packet_loss.py.

A simulator, a collector and two learners run in a network namespace of their own, over UDP alone,
in real time. Linux' `blackhole` then drops every packet, and lets them pass again. Printed (JSON):
seconds until the robot is at its fallback and stays there, seconds until it is driven again, and
what every node knew of the episodes in the end. Needs Linux with util-linux and iproute2.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from mbmrl_ros.nodes.episode.processes import ending_in_order, last_words, node_process
from mbmrl_ros.nodes.simulator import sim_node
from mbmrl_ros.system.outputs import output_file, write_text

NAMESPACE = 'loss'
TASK, ROBOT = 'half_cheetah/thesis', 'half_cheetah_20hz'
# So small that both learners keep up on two cores.
SETTINGS = ['horizon=100', 'members=2', 'model_hidden_sizes=[64]', 'tasks=2', 'rollouts=4']
NODES = ('model_learner_node', 'policy_learner_node', 'collector_node')
LOSS_S, SPIN_S, PATIENCE_S = 10.0, 0.01, 120.0


def main() -> None:
    """Measure and print; write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=output_file)
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        # Shared memory would go on where packets do not.
        environment = os.environ | {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}
        command = ['unshare', '-rn', sys.executable, *sys.argv, '--inside']
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    _network('ip', 'link', 'set', 'lo', 'up', 'multicast', 'on')
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps(_measure(Path(folder)), indent=2)
    print(text)
    if options.json:
        write_text(options.json, text + '\n')


def _network(*command: str) -> None:
    subprocess.run(command, check=True)


class Plant:
    """The simulated robot, in this process, so that it is seen while the network is gone."""

    def __init__(self, stack: ExitStack) -> None:
        stack.enter_context(rclpy.init())
        given = {'robot': ROBOT, 'wall_time': True, 'seed': 1}
        self._node = sim_node.make_node(
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
            namespace=NAMESPACE,
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._hear, 100)
        self.said: dict[str, dict[str, str]] = {}
        stack.callback(self._node.destroy_node)
        self._node.trigger_configure()
        self._node.trigger_activate()

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.said[status.name.rpartition(': ')[2]] = {
                item.key: item.value for item in status.values
            }

    @property
    def driven(self) -> bool:
        """Whether the actuators follow a command, not the fallback."""
        return not self._node._topics.simulation.last.reason

    def number(self, task: str, key: str) -> int:
        """Return a count of /diagnostics; of a version START.COUNT its count."""
        return int(self.said.get(task, {}).get(key, '0').split('.')[-1])

    def spin(self, seconds: float) -> list[tuple[float, bool]]:
        """Run for a while; return when [s] the robot was driven, and when not."""
        began, seen = time.monotonic(), []
        while (now := time.monotonic() - began) < seconds:
            self._executor.spin_once(timeout_sec=SPIN_S)
            seen.append((now, self.driven))
        return seen

    def until(self, condition: Any, log: Path) -> float:
        """Run until something is so; return how long that took [s]."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f'not so after {PATIENCE_S:g} s: {last_words(log)} {self.said}')
            self._executor.spin_once(timeout_sec=SPIN_S)
        return time.monotonic() - began


def _measure(out: Path) -> dict[str, Any]:
    given = {'algorithm': 'mb_mpo', 'task': TASK, 'settings': SETTINGS, 'out': out / 'run'}
    log = out / 'log'
    with ending_in_order(), ExitStack() as stack:
        plant = Plant(stack)
        for name in NODES:
            stack.enter_context(node_process(name, given, NAMESPACE, log))
        plant.until(lambda: plant.number('policy learning', 'version') > 2 and plant.driven, log)
        before = _counts(plant)
        _network('tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'blackhole')
        seen = plant.spin(LOSS_S)
        _network('tc', 'qdisc', 'del', 'dev', 'lo', 'root')
        driven_again_s = plant.until(lambda: plant.driven, log)
        wanted = _counts(plant)['pieces'] + 3
        caught_up_s = plant.until(lambda: _caught_up(plant, wanted, before['policy']), log)
    rows = list(csv.DictReader((out / 'run' / 'collector' / 'metrics.csv').open(newline='')))
    kept = len(list((out / 'run' / 'collector' / 'data').glob('*.safetensors')))
    return {
        'loss_s': LOSS_S,
        'driven_until_s': max((at for at, driven in seen if driven), default=0.0),
        'driven_again_s': driven_again_s,
        'caught_up_s': caught_up_s,
        'before': before,
        'after': _counts(plant),
        'pieces_on_disk': kept,
        'pieces_counted': len(rows),
    }


def _counts(plant: Plant) -> dict[str, int]:
    return {
        'pieces': plant.number('collection', 'pieces'),
        'model': plant.number('model learning', 'version'),
        'policy': plant.number('policy learning', 'version'),
        'policy_that_drives': plant.number('collection', 'policy.version'),
        'newest_piece_of_the_models': plant.number('model learning', 'episode.version'),
    }


def _caught_up(plant: Plant, pieces: int, policy: int) -> bool:
    """Whether all nodes hear each other again: newer pieces are fitted, a newer policy drives."""
    now = _counts(plant)
    return (
        now['newest_piece_of_the_models'] >= pieces
        and now['policy_that_drives'] > policy
        and plant.driven
    )


if __name__ == '__main__':
    main()
