# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When a run in lockstep stands still: how long is too long on this machine, and why."""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mbmrl_ros.system import machine

# Without a step, on a machine that does nothing else; a start takes ten seconds on such a one.
LEAST_S = 60.0
# Of the longest of the last steps.
PATIENCE = 30.0
STEPS = 20
# More that wants to run than this many times the cores: the machine is what is slow.
BUSY = 1.5
STATES = {
    'R': 'computing, or waiting for a core',
    'S': 'waiting',
    'D': 'waiting for the disk',
    'T': 'stopped',
    't': 'stopped by a debugger',
    'Z': 'ended',
    'X': 'ended',
}


class NodeProcess(NamedTuple):
    """A node of a run, by the name of its executable."""

    name: str
    process: subprocess.Popen[bytes]

    @property
    def state(self) -> str:
        """Whether it is there, and what it does as far as the operating system says."""
        code = self.process.poll()
        if code is not None:
            return f'ended with exit code {code}'
        try:
            fields = Path(f'/proc/{self.process.pid}/stat').read_text().rpartition(')')[2].split()
        except OSError:
            return 'alive'
        return f'alive ({STATES.get(fields[0], fields[0])})'


class Pace:
    """How long the steps of a run take [s]; times are of the steady clock."""

    def __init__(self, now_s: float) -> None:
        """now_s: when the run began."""
        self._count, self._last_s = 0, now_s
        self._first: deque[float] = deque(maxlen=STEPS)
        self._recent: deque[float] = deque(maxlen=STEPS)

    def step(self, count: int, now_s: float) -> None:
        """Note that there have been `count` steps so far."""
        # The first one waits for the start of the nodes.
        if self._count:
            taken_s = (now_s - self._last_s) / (count - self._count)
            self._recent.append(taken_s)
            if len(self._first) < STEPS:
                self._first.append(taken_s)
        self._count, self._last_s = count, now_s

    def silent_s(self, now_s: float) -> float:
        """Return how long ago the last step was, or the begin."""
        return now_s - self._last_s

    @property
    def limit_s(self) -> float:
        """How long a step may take: the slower the steps and the machine, the longer."""
        return max(LEAST_S, PATIENCE * max(self._recent, default=0.0)) * machine.slowness()

    def __str__(self) -> str:
        """How slow the steps were getting."""
        if not self._recent:
            return 'there was no step before'
        first_ms, last_ms = 1e3 * median(self._first), 1e3 * median(self._recent)
        return f'{self._count} steps took {first_ms:.0f} ms each at first, {last_ms:.0f} at last'


def explain(silent_s: float, pace: Pace, culprit: str, owed: str, nodes: list[NodeProcess]) -> str:
    """Return in a line what stands still, why as far as can be seen, and what to do.

    silent_s: for how long. culprit: the node that owes something; owed: what.
    """
    states = {node.name: node.state for node in nodes}
    others = ', '.join(f'{name} is {state}' for name, state in states.items() if name != culprit)
    load, cores = machine.load(), machine.cores()
    return (
        f'no step for {silent_s:.0f} s: {culprit} owes {owed} and is '
        f'{states.get(culprit, "not there")}'
        f'{"; " + others if others else ""}; {pace}; load {load:.1f} on {cores:g} cores; '
        f'{_remedy(states.get(culprit, ""), load, cores)}'
    )


def _remedy(state: str, load: float, cores: float) -> str:
    if 'stopped' in state:
        return 'let it go on (kill -CONT) and start again'
    if load > BUSY * cores:
        return 'the machine is busy: end other jobs, or wait for them, and start again'
    return 'it hangs: look into its log, and start again'
