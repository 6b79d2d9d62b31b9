# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces of a computation on as many threads as torch has, each on one.

Threads that share every operation wait for each other after each of them, thousands of times per
update, and the slowest decides; beside other jobs that is slower than one thread alone. Threads
with pieces of their own meet once. Sums are in the order of the pieces, so that their number, not
that of the threads, decides on rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

Map = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


@contextlib.contextmanager
def threads() -> Iterator[Map]:
    """Yield a map that calls a function on several pieces at once."""
    count = torch.get_num_threads()
    if count == 1:
        yield lambda function, pieces: [function(piece) for piece in pieces]
        return
    # Of a thread, the number of threads that its operations use is its own.
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        with pool:
            yield lambda function, pieces: list(pool.map(function, pieces))
    finally:
        # What threads that are made later begin with.
        torch.set_num_threads(count)
