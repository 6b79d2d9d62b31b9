# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real-time priority: who is served first when there are more threads than cores.

Messages come before plans: the thread that plans computes most of the time, and one step below
the others it never keeps a reading, a stop or the watchdog of the actuators waiting.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

THREADS = Path('/proc/self/task')
PERMIT = 'give the user an rtprio limit (docs/busy_machine.md), or set realtime_priority to 0'


def raise_process(priority: int) -> str:
    """Serve all threads of this process, and those that they start, first in, first out.

    priority: 1 to 99; a higher one interrupts lower ones and everything without one; 0: nothing
    is changed. Returns why it was not done; empty if it was.
    """
    if not priority:
        return ''
    if not hasattr(os, 'sched_setscheduler') or not THREADS.is_dir():
        return f'realtime_priority {priority}: only Linux has it; going on without'
    return _raise(sorted(int(path.name) for path in THREADS.iterdir()), priority)


def why_refused(priority: int) -> str:
    """Return what `raise_process` would in a process that is still to be started."""
    if not priority or not hasattr(os, 'sched_setscheduler'):
        return raise_process(priority)
    said = list[str]()
    # Of 0 it is the thread that asks, which ends with it.
    asking = threading.Thread(target=lambda: said.append(_raise([0], priority)))
    asking.start()
    asking.join()
    return said[0]


def _raise(threads: list[int], priority: int) -> str:
    try:
        for thread in threads:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return f'realtime_priority {priority}: {error.strerror}; {PERMIT}; going on without'
    return ''


def yield_to_messages() -> None:
    """Go one step below the priority that this thread inherited, if it inherited one.

    1 is the lowest. What it inherited stays where it may not be changed: the thread must live.
    """
    if not hasattr(os, 'sched_getscheduler') or os.sched_getscheduler(0) != os.SCHED_FIFO:
        return
    own = os.sched_getparam(0).sched_priority
    lower = max(own - 1, os.sched_get_priority_min(os.SCHED_FIFO))
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(lower))
