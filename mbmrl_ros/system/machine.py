# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What there is of the machine: cores, other load, and how threads wait for each other.

Only the standard library, so that it can run before torch is imported.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import MutableMapping
from pathlib import Path

WAIT_POLICY = 'OMP_WAIT_POLICY'
# What says how OpenMP's threads wait: the standard's variable, and those of GNU and of LLVM/Intel.
# A passive policy by the standard's one is a spin count of 0 to the former, and a block time of
# 0 to the latter.
WAITING = (WAIT_POLICY, 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME', 'KMP_LIBRARY')
# Of GNU's: a few microseconds. Sleeping at once made small products twice as slow on a quiet
# machine (0.69 against 0.36 ms); 10 000 turns were as fast as spinning there (0.40), and beside
# four busy processes as fast as sleeping (49 and 52 ms for a large product, the default 117;
# one-off medians of products of 64 and 2500 rows with 512 x 512 weights, two threads).
SPINS = '10000'
QUOTA = Path('/sys/fs/cgroup/cpu.max')
# Of a core, for a run that is to have it to itself.
FREE = 0.75


def wait_passively(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait for each other soon sleep, here and in processes that are started.

    By default those of OpenMP spin for milliseconds at the end of every product. Where something
    else runs on the machine, they spin for a partner that has no core to run on: ten times slower.
    Whoever has a variable of this kind set already keeps what it says. OpenMP reads it when torch
    is imported, so this has to come before.
    """
    if any(name in environment for name in WAITING):
        return
    environment[WAIT_POLICY] = 'passive'
    environment['GOMP_SPINCOUNT'] = SPINS
    torch = sys.modules.get('torch')
    if torch is not None and getattr(torch, 'get_num_threads', lambda: 1)() > 1:
        warnings.warn(
            'torch was imported before mbmrl_ros, so its threads spin while they wait, which is '
            'slow beside other jobs; import mbmrl_ros first, or set OMP_WAIT_POLICY=passive',
            RuntimeWarning,
            stacklevel=3,
        )


def cores() -> float:
    """Return how many cores this process may use at once: affinity, and a container's quota."""
    if hasattr(os, 'sched_getaffinity'):
        allowed = float(len(os.sched_getaffinity(0)))
    else:
        allowed = float(os.cpu_count() or 1)
    try:
        quota, period = QUOTA.read_text().split()
        return min(allowed, int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or 'max'
        return allowed


def load() -> float:
    """Return how many processes wanted to run, over the last minute; 0 where nobody counts."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def slowness() -> float:
    """Return how many times longer things may take because of other load; at least 1."""
    return max(1.0, load() / cores())


def has_room(running: int) -> bool:
    """Whether one more job of a core has one to itself; running: jobs of ours so far.

    One job may always run. The load counts ours too, after a minute; before it, they are not
    counted twice, as what is not theirs is at least 0.
    """
    others = max(0.0, load() - running)
    return running == 0 or cores() - others - running >= FREE
