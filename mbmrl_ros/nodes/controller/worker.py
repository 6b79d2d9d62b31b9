# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that ticks when it is told to, and does jobs in between.

It is its own watchdog: if nothing makes it tick for `watchdog_s`, it ticks all the same. A job or
a tick that raises takes nothing with it.
"""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import torch

from mbmrl_ros.nodes.common.priority import yield_to_messages

Job = Callable[[], object]
JOIN_S = 5.0


class Due(NamedTuple):
    """A tick that is due since `at_s` (steady clock); busy: the thread was at something else."""

    at_s: float
    busy: bool


class Worker:
    """The thread. Whatever ticks and jobs raise is reported, and it lives on."""

    def __init__(
        self,
        watchdog_s: float,
        threads: int,
        tick: Callable[[Due | None], object],
        on_error: Callable[[str], object],
    ) -> None:
        """threads: of torch. tick: gets None from the watchdog. on_error: gets the trace."""
        self._watchdog_s, self._threads = watchdog_s, threads
        self._tick, self._on_error = tick, on_error
        self._work = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._due: Due | None = None
        self._busy = self._closing = False
        self._thread = threading.Thread(target=self._run, name='control', daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread after what it is doing."""
        with self._work:
            self._closing = True
            self._work.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=JOIN_S)

    def due(self, at_s: float) -> bool:
        """Ask for a tick; return whether one that was asked for before has not begun yet.

        There is one tick for both.
        """
        with self._work:
            waiting = self._due is not None
            self._due = Due(at_s, self._busy)
            self._work.notify()
            return waiting

    def submit(self, job: Job) -> None:
        """Do something before the next tick."""
        with self._work:
            self._jobs.append(job)
            self._work.notify()

    def wait(self, job: Job) -> None:
        """Do something before the next tick and wait for it; raise what it raises."""
        done: Future[object] = Future()

        def report() -> None:
            try:
                done.set_result(job())
            except Exception as error:  # belongs to whoever waits
                done.set_exception(error)

        self.submit(report)
        done.result()

    def _run(self) -> None:
        yield_to_messages()
        # The number of threads is a property of the thread that starts them.
        torch.set_num_threads(self._threads)
        next_s = time.monotonic() + self._watchdog_s
        while True:
            with self._work:
                self._busy = False
                self._work.wait_for(self._has_work, max(0.0, next_s - time.monotonic()))
                jobs, self._jobs = self._jobs, deque()
                due, self._due = self._due, None
                self._busy = True
                if self._closing:
                    return
            overdue = time.monotonic() >= next_s
            for job in jobs:
                self._do(job)
            if due or overdue:
                self._do(functools.partial(self._tick, due))
                next_s = time.monotonic() + self._watchdog_s

    def _do(self, job: Job) -> None:
        """Do one thing; whatever it raises, the next one gets its turn, and the thread lives."""
        try:
            job()
        except Exception:
            try:
                self._on_error(traceback.format_exc())
            except Exception:  # who was to report it cannot
                traceback.print_exc()

    def _has_work(self) -> bool:
        return self._due is not None or bool(self._jobs) or self._closing
