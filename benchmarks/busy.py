# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A lockstep step on a busy machine against a quiet one: python benchmarks/busy.py [--json FILE].

One run of simulator and controller over topics, as in the demo. Processes that only compute are
stopped and let go in turn, every few steps, so that both are measured in the same minute.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mbmrl_ros.nodes.episode.episode import Episode, run_episode
from mbmrl_ros.spec.robot import load_robot

WARM_UP = 40


def main() -> None:
    """Measure and print; write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--bundle', default='half_cheetah/disabled_joint/grbal')
    parser.add_argument('--busy', type=int, default=4, help='processes that only compute (4)')
    parser.add_argument('--block', type=int, default=20, help='steps before they change (20)')
    parser.add_argument('--repetitions', type=int, default=6, help='blocks of each kind (6)')
    parser.add_argument(
        '--threads', type=int, default=1, help='of the controller (1, as the demo)'
    )
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    with _neighbours(options.busy) as neighbours:
        result = _measure(options, neighbours)
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + '\n')


def _measure(options: argparse.Namespace, neighbours: list[int]) -> dict[str, object]:
    """Return medians over blocks of the duration of a step [ms], quiet and busy."""
    durations: dict[bool, list[float]] = {False: [], True: []}
    busy, begun = False, (WARM_UP, 0.0)

    def on_step(step: int) -> None:
        nonlocal busy, begun
        now = time.perf_counter()
        if not begun[1] and step >= WARM_UP:
            begun = (step, now)
        elif begun[1] and step - begun[0] >= options.block:
            durations[busy].append((now - begun[1]) / (step - begun[0]) * 1e3)
            busy = not busy
            for pid in neighbours:
                os.kill(pid, signal.SIGCONT if busy else signal.SIGSTOP)
            begun = (step, now)

    load = os.getloadavg()[0]
    # A block more: messages come in small bursts, which move the ends of blocks.
    steps = WARM_UP + (2 * options.repetitions + 1) * (options.block + 2)
    controller = {'bundle': options.bundle, 'threads': options.threads}
    with tempfile.TemporaryDirectory() as folder:
        episode = Episode(load_robot('half_cheetah'), steps, (), {}, controller)
        run_episode(episode, Path(folder) / 'run' / 'bag', on_step)
    quiet_ms, busy_ms = (float(np.median(durations[kind])) for kind in (False, True))
    return {
        'quiet_ms': round(quiet_ms, 2),
        'busy_ms': round(busy_ms, 2),
        'ratio': round(busy_ms / quiet_ms, 2),
        'quiet_blocks_ms': [round(value, 1) for value in durations[False]],
        'busy_blocks_ms': [round(value, 1) for value in durations[True]],
        'busy_processes': options.busy,
        'threads': options.threads,
        'cores': len(os.sched_getaffinity(0)),
        'load_average': round(load, 2),
    }


@contextmanager
def _neighbours(count: int) -> Iterator[list[int]]:
    """Start processes that only compute, stopped for now; yield their ids, and end them."""
    # Sessions of their own, as jobs of others have: Linux shares cores between sessions first.
    command = [sys.executable, '-c', 'while True: pass']
    started = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        for process in started:
            process.send_signal(signal.SIGSTOP)
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == '__main__':
    main()
