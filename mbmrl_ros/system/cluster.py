# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ray core, which is an extra: functions that are called on a cluster of machines.

Ray calls again what a dead worker was at, elsewhere; so what is called must give the same then.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mbmrl_ros.system.endings import UserError

# How often a call is begun anew when its worker dies: more would be a fault of the call itself.
RETRIES = 3
ANSWER_S, LOOK_S = 3.0, 0.5


def check_installed() -> None:
    """UserError if Ray is not installed."""
    if importlib.util.find_spec('ray') is None:
        raise UserError("Ray is not installed: pip install 'mbmrl_ros[ray]'")


def check_reachable(address: str) -> None:
    """UserError if nobody answers at an address: Ray itself would try for minutes."""
    if address == 'auto':
        address = os.environ.get('RAY_ADDRESS', '')
    host, _, port = address.removeprefix('ray://').rpartition(':')
    if not address:
        return
    try:
        socket.create_connection((host, int(port)), ANSWER_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f'no Ray cluster at {address!r} ({error}); begin one by: ray start --head'
        ) from error


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Yield Ray, connected to a cluster; UserError if it is not installed, or there is none.

    address: HOST:PORT of its head; auto: of this machine, or by the variable RAY_ADDRESS.
    """
    check_installed()
    # Ray would tell its authors of every use.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    ray = importlib.import_module('ray')
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    check_reachable(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level='error')
    except (ConnectionError, RuntimeError, ValueError) as error:
        line = ' '.join(str(error).split())[:200]
        raise UserError(
            f'no Ray cluster at {address!r} ({line}); begin one by: ray start --head'
        ) from error
    finally:
        if here:
            signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def remote(ray: Any, function: Callable[..., Any]) -> Any:
    """Return a function of Ray's that takes a core of some machine, and survives its death."""
    return ray.remote(num_cpus=1, max_retries=RETRIES)(function)


class Left(Exception):  # noqa: N818
    """Nobody waits for the result any more."""


def get_unless(ray: Any, reference: Any, left: threading.Event) -> Any:
    """Wait for a result, in any thread; Left if that is said meanwhile.

    A thread that waits in Ray itself would wait for ever when the connection is closed.
    """
    while not ray.wait([reference], timeout=LOOK_S)[0]:
        if left.is_set():
            raise Left
    return get(ray, reference)


def get(ray: Any, references: Any) -> Any:
    """Wait for results; an error of the function is raised as it was there.

    UserError if workers died at it again and again.
    """
    try:
        return ray.get(references)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f'its worker died {RETRIES + 1} times, perhaps for lack of memory, or the cluster is '
            f'gone ({type(error).__name__})'
        ) from error
