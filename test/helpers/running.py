# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes, as a user starts them, and what they have recorded so far."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mbmrl_ros.data.bags import Bag

# For nodes to start and to have done their part, on a machine that does other things as well.
PATIENCE_S = 60.0


@contextmanager
def running(*commands: list[str]) -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Run nodes, stop them by Ctrl-C, the last one first; yield how to wait for something."""
    processes = []
    for number, command in enumerate(commands):
        with Path(f'node{number}.log').open('w') as log:
            arguments = [sys.executable, '-m', 'mbmrl_ros.cli.main', *command]
            processes.append(subprocess.Popen(arguments, stdout=log, stderr=log))

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            said = '\n'.join(path.read_text() for path in sorted(Path().glob('node*.log')))
            assert all(process.poll() is None for process in processes), said
            assert time.monotonic() < end, said
            time.sleep(0.2)

    try:
        yield until
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()


def count(bag: str, topic: str) -> int:
    """Return how many messages of a topic a recorder has written so far."""
    begun = Path(bag).is_dir() and any(Path(bag).glob('*.mcap'))
    return sum(1 for _ in Bag(Path(bag)).messages({topic})) if begun else 0
