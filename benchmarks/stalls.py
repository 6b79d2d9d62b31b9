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


@contextmanager
def watched_stalls() -> Iterator[dict[str, Any]]:
    """Watch all cores; the dictionary is filled at the end of the block.

    by core: longer_than_5_ms (how many), longest_ms, p99.9_ms; empty without the right to it.
    """
    found: dict[str, Any] = {}
    watchers = {
        core: subprocess.Popen(
            [sys.executable, __file__, str(core)], stdout=subprocess.PIPE, text=True
        )
        for core in sorted(os.sched_getaffinity(0))
    }
    try:
        yield found
    finally:
        for core, watcher in watchers.items():
            watcher.send_signal(signal.SIGINT)
            output, _ = watcher.communicate()
            if output:
                found[f'core_{core}'] = json.loads(output)


def main() -> None:
    """Watch one core until SIGINT."""
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        ended.append(number)

    signal.signal(signal.SIGINT, end)
    os.sched_setaffinity(0, {int(sys.argv[1])})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
    except PermissionError:
        return
    late_ms, before_s = [], time.monotonic()
    while not ended:
        time.sleep(SLEEP_S)
        now_s = time.monotonic()
        late_ms.append(1e3 * (now_s - before_s - SLEEP_S))
        before_s = now_s
    late = np.array(late_ms)
    print(
        json.dumps(
            {
                'longer_than_5_ms': int((late > LONG_MS).sum()),
                'longest_ms': round(float(late.max()), 2),
                'p99.9_ms': round(float(np.percentile(late, 99.9)), 3),
            }
        )
    )


if __name__ == '__main__':
    main()
