# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Does the controller hold its period: python benchmarks/long_run.py [--minutes 10] [--json FILE].

Simulator and controller as processes of their own, in real time over ROS 2 topics: commands at
10 Hz, sensors at 100 Hz, as many candidates as load the planner to a share of the period. The
half-cheetah of the robot file, played at a period of 0.1 s; any bundle for it will do, since what
is measured is time.

Keys of the JSON file, all over the measured minutes:
commands, periods_missed, period_error_ms.{p50,p99,p99.9,max}: of the moments at which the
controller's middleware took the commands (source timestamps). state_messages.{received,lost}: by
the controller, lost by gaps in the stamps. tick_share.{median,p99}, candidates.{min,median,max},
latency_ms.{median,p99}: of all ticks. memory.<node>.{start_mb,end_mb,mb_per_minute}: resident, by
a straight line through samples taken every second. holds: whether no period was missed, no state
message lost, and the 99.9th percentile is at most 5 ms.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from mbmrl_ros.config import UserError, read_yaml, share_directory, write_text
from mbmrl_ros.models.bundle import load_bundle, save_bundle
from mbmrl_ros.nodes.processes import last_words, node_process
from mbmrl_ros.robot.budget import period_error_s
from mbmrl_ros.spec import RobotSpec, load_robot

ROBOT, PERIOD_S, SENSOR_PERIOD_S = 'half_cheetah', 0.1, 0.01
NAMESPACE = 'long_run'
LIMIT_MS = 5.0
MEMORY_S = 1.0


def main() -> None:
    """Run, print a table, write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--settle', type=float, default=20.0, help='seconds before measuring')
    parser.add_argument('--share', type=float, default=0.6, help='of the period, for a tick')
    parser.add_argument('--bundle', default='half_cheetah/disabled_joint/grbal')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        robot = write_robot(Path(folder) / 'robot.yaml')
        bundle = rebind(options.bundle, load_robot(str(robot)), Path(folder) / 'bundle')
        controller = {
            'robot': robot,
            'bundle': bundle,
            'threads': options.threads,
            'budget.share': options.share,
            'budget.max_candidates': 100_000,
        }
        watch = run(robot, controller, options.settle, 60 * options.minutes, Path(folder) / 'log')
    result = {'minutes': options.minutes, 'share': options.share, 'machine': machine()}
    result |= summarise(watch)
    for key, value in result.items():
        print(f'{key:24}{json.dumps(value)}')
    if options.json:
        write_text(options.json, json.dumps(result, indent=2) + '\n')


def write_robot(path: Path) -> Path:
    """Write the robot file of the half-cheetah at 10 Hz, with sensors at 100 Hz."""
    data = read_yaml(share_directory() / 'config' / 'robots' / f'{ROBOT}.yaml')
    data['simulation']['physics_steps'] *= round(PERIOD_S / data['period_s'])
    data['period_s'] = PERIOD_S
    for topic in data['topics'].values():
        topic |= {'period_s': SENSOR_PERIOD_S, 'timeout_s': 0.3}
    data['action']['timeout_s'] = 0.3
    path.write_text(yaml.safe_dump(data))
    return path


def rebind(name: str, spec: RobotSpec, folder: Path) -> Path:
    """Write a bundle for the same robot at another period, which it was not trained for."""
    bundle = load_bundle(name, load_robot(ROBOT))
    changes = {'robot_hash': spec.hash, 'interface': json.loads(json.dumps(spec.interface))}
    info = bundle.info.model_copy(update=changes)
    save_bundle(folder, dataclasses.replace(bundle, info=info))
    return folder


class Watch:
    """What the two nodes do, as seen from a third process."""

    def __init__(self, node: Any) -> None:
        """node: whose executor runs here."""
        self.sent_ns: list[int] = []
        self.rows: list[dict[str, float]] = []
        self.status: dict[str, dict[str, str]] = {}
        self.counts: list[dict[str, int]] = []
        self.memory_mb: dict[str, list[tuple[float, float]]] = {}
        root = f'/{NAMESPACE}'
        depth = QoSProfile(depth=100)
        node.create_subscription(JointState, f'{root}/joint_commands', self._on_command, depth)
        stats = f'{root}/controller_node/stats'
        node.create_subscription(Float64MultiArray, stats, self._on_row, depth)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_status, depth)

    def _on_command(self, message: JointState, info: Any) -> None:
        self.sent_ns.append(info['source_timestamp'])

    def _on_row(self, message: Float64MultiArray) -> None:
        labels = (dimension.label for dimension in message.layout.dim)
        self.rows.append(dict(zip(labels, message.data)))

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            self.status[status.name.rpartition(': ')[2]] = values | {'message': status.message}

    def remember_memory(self, processes: dict[str, subprocess.Popen[bytes]]) -> None:
        """Note how much memory is resident."""
        for name, process in processes.items():
            pages = int(Path(f'/proc/{process.pid}/statm').read_text().split()[1])
            sample = (time.monotonic(), pages * os.sysconf('SC_PAGESIZE') / 1e6)
            self.memory_mb.setdefault(name, []).append(sample)

    def remember_counts(self) -> None:
        """Note the counters of the controller; the difference of two notes is what happened."""
        values = self.status['control']
        names = ('periods_missed', 'lost', 'fallbacks', 'late_ticks')
        received = sum(int(v) for key, v in values.items() if key.startswith('received: '))
        self.counts.append({name: int(values[name]) for name in names} | {'received': received})


def run(
    robot: Path, controller: dict[str, Any], settle_s: float, seconds: float, log: Path
) -> Watch:
    """Let both nodes run, settle, and watch them for so long."""
    with ExitStack() as stack:
        stack.enter_context(rclpy.init())
        node = rclpy.create_node('watch')
        stack.callback(node.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        watch = Watch(node)
        processes = {
            name: stack.enter_context(node_process(name, parameters, NAMESPACE, log))
            for name, parameters in (
                ('controller_node', controller),
                ('sim_node', {'robot': robot, 'seed': 1}),
            )
        }

        def spin(seconds: float) -> None:
            end_s = time.monotonic() + seconds
            sample_s = time.monotonic()
            while time.monotonic() < end_s:
                executor.spin_once(timeout_sec=0.1)
                if any(process.poll() is not None for process in processes.values()):
                    raise UserError(f'a node ended early: {last_words(log)}')
                if time.monotonic() >= sample_s:
                    sample_s += MEMORY_S
                    watch.remember_memory(processes)

        deadline_s = time.monotonic() + 60.0
        while not watch.rows or 'control' not in watch.status:
            if time.monotonic() > deadline_s:
                raise UserError(f'no command in a minute: {last_words(log)}')
            spin(1.0)
        spin(settle_s)
        for samples in (watch.sent_ns, watch.rows, *watch.memory_mb.values()):
            samples.clear()
        watch.remember_counts()
        spin(seconds)
        watch.remember_counts()
    return watch


def summarise(watch: Watch) -> dict[str, Any]:
    """Return the keys that are listed at the top."""
    before, after = watch.counts
    counts = {name: after[name] - before[name] for name in after}
    gaps_s = np.diff(np.array(watch.sent_ns)) / 1e9
    errors_ms = [1e3 * abs(period_error_s(gap_s, PERIOD_S)) for gap_s in gaps_s]
    rows = {name: [row[name] for row in watch.rows] for name in watch.rows[0]}
    error = {f'p{q:g}': round(float(np.percentile(errors_ms, q)), 3) for q in (50, 99, 99.9)}
    kept = counts['periods_missed'] == 0 and counts['lost'] == 0
    return {
        'commands': len(watch.sent_ns),
        'periods_missed': counts['periods_missed'],
        'period_error_ms': error | {'max': round(max(errors_ms), 3)},
        'state_messages': {'received': counts['received'], 'lost': counts['lost']},
        'fallbacks': counts['fallbacks'],
        'late_ticks': counts['late_ticks'],
        'tick_share': _spread(np.array(rows['tick_s']) / PERIOD_S, 3),
        'candidates': {
            'min': min(rows['candidates']),
            'median': float(np.median(rows['candidates'])),
            'max': max(rows['candidates']),
        },
        'latency_ms': _spread(1e3 * np.array(rows['latency_s']), 1),
        'memory': {name: _memory(samples) for name, samples in watch.memory_mb.items()},
        'holds': kept and error['p99.9'] <= LIMIT_MS,
    }


def _spread(values: Any, digits: int) -> dict[str, float]:
    median, p99 = np.percentile(values, [50, 99])
    return {'median': round(float(median), digits), 'p99': round(float(p99), digits)}


def _memory(samples: list[tuple[float, float]]) -> dict[str, float]:
    seconds, megabytes = np.array(samples).T
    slope = np.polyfit((seconds - seconds[0]) / 60, megabytes, 1)[0]
    start, end = float(megabytes[0]), float(megabytes[-1])
    return {
        'start_mb': round(start, 1), 'end_mb': round(end, 1),
        'mb_per_minute': round(float(slope), 3),
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Return where and under what load this was measured."""
    return {
        'cores': os.cpu_count(),
        'processor': platform.processor() or platform.machine(),
        'load': round(os.getloadavg()[0], 1),
    }


if __name__ == '__main__':
    main()
