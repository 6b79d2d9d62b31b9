# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long the machine itself stands still: what no program can be more punctual than.

On every core a process of the highest real-time priority sleeps for 2 ms at a time and looks how
much later it wakes up, as cyclictest does. On a virtual machine most of that is the host.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

SLEEP_S = 0.002
LONG_MS = 5.0


class Watchers:
    """Of all cores. found: filled at the end, empty without the right to it.

    By core: longer_than_5_ms (how many), longest_ms, p99.9_ms. ends: of those, on the wall clock
    [s], and how long they were [s].
    """

    def __init__(self) -> None:
        """Start them and wait until they watch.

        Before anything is measured, and before this process has a priority, which they would
        inherit: two interpreters that start at a real-time priority keep everything else from
        its core for a fifth of a second.
        """
        self.found: dict[str, Any] = {}
        self.ends: list[tuple[float, float]] = []
        self._processes = {core: _watcher(core) for core in sorted(os.sched_getaffinity(0))}
        for process in self._processes.values():
            assert process.stdout
            process.stdout.readline()

    def begin(self) -> None:
        """Forget what was until now."""
        for process in self._processes.values():
            process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        """End them, if that was not done, and read what they saw."""
        while self._processes:
            core, process = self._processes.popitem()
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate()
            if output:
                seen = json.loads(output)
                self.ends += seen.pop('ends')
                self.found[f'core_{core}'] = seen


@contextmanager
def watched_stalls() -> Iterator[Watchers]:
    """Watch all cores until the end of the block."""
    watchers = Watchers()
    try:
        yield watchers
    finally:
        watchers.end()


def _watcher(core: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(core)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Watch one core until SIGINT, afresh from SIGUSR1 on."""
    ended: list[int] = []
    late_ms: list[float] = []
    ends: list[tuple[float, float]] = []

    def begin(number: int, frame: FrameType | None) -> None:
        late_ms.clear()
        ends.clear()

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGUSR1, begin)
    os.sched_setaffinity(0, {int(sys.argv[1])})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
    except PermissionError:
        return
    print('watching', flush=True)
    before_s = time.monotonic()
    while not ended:
        time.sleep(SLEEP_S)
        now_s = time.monotonic()
        late_s, before_s = now_s - before_s - SLEEP_S, now_s
        late_ms.append(1e3 * late_s)
        if 1e3 * late_s > LONG_MS:
            ends.append((time.time(), late_s))
    late = np.array(late_ms)
    print(
        json.dumps(
            {
                'ends': ends,
                'longer_than_5_ms': len(ends),
                'longest_ms': round(float(late.max()), 2),
                'p99.9_ms': round(float(np.percentile(late, 99.9)), 3),
            }
        )
    )


if __name__ == '__main__':
    main()
