# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Does a robot hold its period, and what do faults do to it: python benchmarks/long_run.py --help.

Simulator and controller as processes of their own, in real time over ROS 2 topics, with as many
candidates as load the planner to a share of the period; with --gate command_gate between them.
The half-cheetah is played at a period of 0.1 s with sensors at 100 Hz, the others as their robot
files say. Any bundle will do, since what is measured is time; where none is shipped, an untrained
one of the size that its training settings say is made.

With --faults (and the gate) every wire runs through this process, and after the measured minutes
every fault of the table in docs/robots/gate.md is injected, one after the other, while all goes
on. So the counts of the measured minutes hold no fault.

Keys of the JSON file, all but the last over the measured minutes:
robot, bundle, gate, share, threads, priority, minutes, machine: what was measured, where.
commands, periods_missed, period_error_ms.{p50,p99,p99.9,max}: of the moments at which the
middleware of who sends them to the motors took the commands (source timestamps).
state_messages.{received,lost}: by the controller, lost by gaps in the stamps. They are simulated
time; of a robot with messages without a stamp the present, where a simulator that is late by half
a period counts as a loss too. tick_share.{median,p99}, candidates.{min,median,max},
latency_ms.{median,p99}: of all ticks. late_ticks, plans_cut: docs/timing.md.
memory.<node>.{start_mb,end_mb,mb_per_minute}: resident, by a straight line through samples taken
every second. holds: whether no period was missed, no state message lost, and the 99.9th percentile
is at most 5 ms. machine_stalls: benchmarks/stalls.py. late_commands.{number,beside_a_stall,
other_max_ms}: commands more than 5 ms off or after a missed period, how many of them went out
within two periods after the machine itself had stood still for more than 5 ms, and the largest
error of all others.
faults: a row each (benchmarks/faults.py): actuators_s from the injection until the actuators were
at the fallback, by the simulator's applied commands; reason as /diagnostics said it; held until
the documented recovery; recovered_s after it; good. faults_good: whether all are.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from faults import LIMIT_S, as_row, faults, guarded, inject
from rig import MEMORY_S, START_S, NodeBench, Watch
from stalls import watched_stalls

from mbmrl_ros.algorithms.grbal import LEARNER, GrBALConfig
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, save_bundle
from mbmrl_ros.bundles.files import bundle_names
from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.envs.tasks import TASKS, load_task
from mbmrl_ros.nodes.episode.processes import last_words
from mbmrl_ros.robot.pacing import period_error_s
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.system.outputs import output_file
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.publish import untrained_bundle
from mbmrl_ros.training.recipes import load_recipe

CHEETAH_PERIOD_S, CHEETAH_SENSORS_S = 0.1, 0.01
LIMIT_MS = 5.0


def main() -> None:
    """Run, print a table, write JSON on request."""
    options = parse_options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        robot = write_robot(folder / 'robot.yaml', options.robot, options.faults)
        bundle, described = find_bundle(options.robot, options.bundle)
        controller = {
            'bundle': rebind(bundle, load_robot(str(robot)), folder / 'bundle'),
            'threads': options.threads,
            'budget.share': options.share,
            'budget.max_candidates': 100_000,
        }
        result = {
            'robot': options.robot, 'bundle': described, 'gate': options.gate,
            'share': options.share, 'threads': options.threads, 'priority': options.priority,
            'minutes': options.minutes, 'machine': machine(),
        }  # fmt: skip
        with ExitStack() as stack:
            wired, stalls = options.faults, stack.enter_context(watched_stalls())
            common = {'realtime_priority': options.priority}
            rig = NodeBench(stack, robot, controller, common, folder / 'log', options.gate, wired)
            watch = Watch(rig)
            settle(rig, watch, options.settle)
            stalls.begin()
            measure(rig, watch, 60 * options.minutes)
            stalls.end()
            result |= summarise(watch, rig.spec.period_s) | {'machine_stalls': stalls.found}
            result |= {'late_commands': explain(watch.sent_ns, rig.spec.period_s, stalls.ends)}
            if options.faults:
                result |= inject_all(rig, watch)
    print_result(result)
    if options.json:
        write_text(options.json, json.dumps(result, indent=2) + '\n')


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--robot', default='half_cheetah', choices=sorted(_tasks()))
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--settle', type=float, default=20.0, help='seconds before measuring')
    parser.add_argument('--share', type=float, default=0.6, help='of the period, for a tick')
    parser.add_argument('--bundle', help='folder or name; default: GrBAL for the robot')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--priority', type=int, default=0, help='realtime_priority of all nodes')
    parser.add_argument('--gate', action='store_true', help='command_gate before the motors')
    parser.add_argument('--faults', action='store_true', help='inject all faults; with the gate')
    parser.add_argument('--json', type=output_file)
    options = parser.parse_args()
    options.gate = options.gate or options.faults
    return options


def _tasks() -> dict[str, str]:
    """Return the first task of every robot, whose bundle is taken."""
    return {task.robot: task.name for task in reversed(TASKS.values())}


def write_robot(path: Path, name: str, faulty: bool) -> Path:
    """Write the robot file: sensors with periods, so that lost messages are counted."""
    spec = load_robot(name)
    data = spec.model_dump(mode='json')
    periods = {'period_s': spec.period_s}
    if name == 'half_cheetah':
        data['simulation']['physics_steps'] *= round(CHEETAH_PERIOD_S / spec.period_s)
        data['period_s'], data['action']['timeout_s'] = CHEETAH_PERIOD_S, 0.3
        data['safety']['deadline_s'] = CHEETAH_PERIOD_S
        periods = {'period_s': CHEETAH_SENSORS_S, 'timeout_s': 0.3}
    for topic in data['topics'].values():
        topic |= {key: value for key, value in periods.items() if not topic['slow']}
    path.write_text(yaml.safe_dump(guarded(data, spec) if faulty else data))
    return path


def find_bundle(robot: str, name: str | None) -> tuple[Bundle, str]:
    """Return a bundle for the robot and what it is; untrained where none is there."""
    task = load_task(_tasks()[robot])
    spec = load_robot(robot)
    name = name or f'{task.name}/grbal'
    if Path(name).exists() or name in bundle_names():
        return load_bundle(name, spec), name
    config = load_recipe(GrBALConfig, 'grbal', task.name)
    sizes = ' x '.join(map(str, config.hidden_sizes))
    training = ModelTraining(LEARNER, spec, config, 0)
    return untrained_bundle(training, task.name), f'untrained, {sizes}'


def rebind(bundle: Bundle, spec: RobotSpec, folder: Path) -> Path:
    """Write a bundle for the same robot at another period, which it was not trained for."""
    changes = {'robot_hash': spec.hash, 'interface': json.loads(json.dumps(spec.interface))}
    info = bundle.info.model_copy(update=changes)
    save_bundle(folder, dataclasses.replace(bundle, info=info))
    return folder


def settle(rig: NodeBench, watch: Watch, seconds: float) -> None:
    """Wait for the nodes, and let them run for so long."""

    def talks() -> bool:
        return rig.driven() and bool(watch.rows) and 'control' in watch.status

    if not rig.until(talks, START_S):
        raise UserError(f'no command in {START_S:g} s: {last_words(rig.log)}; {watch.said[-4:]}')
    rig.spin_well(seconds, MEMORY_S, watch.remember_memory)


def measure(rig: NodeBench, watch: Watch, seconds: float) -> None:
    """Watch the nodes for so long."""
    watch.forget()
    watch.remember_counts()
    rig.spin_well(seconds, MEMORY_S, watch.remember_memory)
    watch.remember_counts()


def summarise(watch: Watch, period_s: float) -> dict[str, Any]:
    """Return the keys of the measured minutes that are listed at the top."""
    before, after = watch.counts
    counts = {name: after[name] - before[name] for name in after}
    gaps_s = np.diff(np.array(watch.sent_ns)) / 1e9
    errors_ms = [1e3 * abs(period_error_s(gap_s, period_s)) for gap_s in gaps_s]
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
        'plans_cut': counts['plans_cut'],
        'tick_share': _spread(np.array(rows['tick_s']) / period_s, 3),
        'candidates': {
            'min': min(rows['candidates']),
            'median': float(np.median(rows['candidates'])),
            'max': max(rows['candidates']),
        },
        'latency_ms': _spread(1e3 * np.array(rows['latency_s']), 1),
        'memory': {name: _memory(samples) for name, samples in watch.memory_mb.items()},
        'holds': kept and error['p99.9'] <= LIMIT_MS,
    }


def explain(
    sent_ns: list[int], period_s: float, stalls: list[tuple[float, float]]
) -> dict[str, Any]:
    """Return how many of the late commands went out beside a stall of the machine itself."""
    sent_s = np.array(sent_ns) / 1e9
    errors_ms = np.array([1e3 * abs(period_error_s(gap, period_s)) for gap in np.diff(sent_s)])
    beside = np.array([_beside(moment_s, period_s, stalls) for moment_s in sent_s[1:]], bool)
    late = (errors_ms > LIMIT_MS) | (np.diff(sent_s) > 1.5 * period_s)
    return {
        'number': int(late.sum()),
        'beside_a_stall': int((late & beside).sum()),
        'other_max_ms': round(float(errors_ms[~beside].max(initial=0.0)), 3),
    }


def _beside(moment_s: float, period_s: float, stalls: list[tuple[float, float]]) -> bool:
    """Whether a stall ended in the two periods before a moment, or was still going on then."""
    return any(end - length <= moment_s <= end + 2 * period_s for end, length in stalls)


def inject_all(rig: NodeBench, watch: Watch) -> dict[str, Any]:
    """Inject every fault, each at another moment of the period; say how they went."""
    rows, phases = [], np.random.default_rng(0)
    for fault in faults(rig):
        rows.append(as_row(inject(rig, watch, fault, phases.random())))
        print(f'{"good" if rows[-1]["good"] else "BAD":6}{fault.name}', flush=True)
    return {'faults': rows, 'faults_good': all(row['good'] for row in rows)}


def print_result(result: dict[str, Any]) -> None:
    """Print the measured minutes line by line, and a table of faults."""
    for key, value in result.items():
        if key != 'faults':
            print(f'{key:24}{json.dumps(value)}')
    if 'faults' not in result:
        return
    print(f'\n| Fault | at the fallback after (limit {LIMIT_S:g} s) | Reason | Recovery, after |')
    print('|---|---|---|---|')
    for row in result['faults']:
        after, recovered = (_seconds(row[key]) for key in ('actuators_s', 'recovered_s'))
        held = '' if row['held'] else ', **did not hold**'
        reason = f'`{row["reason"]}`' if row['reason'] else '**not said**'
        print(f'| {row["name"]} | {after}{held} | {reason} | {row["recovery"]}, {recovered} |')


def _seconds(value: float | None) -> str:
    return '**never**' if value is None else f'{value:.2f} s'


def _spread(values: Any, digits: int) -> dict[str, float]:
    median, p99 = np.nanpercentile(values, [50, 99])
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
