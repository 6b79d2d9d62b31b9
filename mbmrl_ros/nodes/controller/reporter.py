# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A thread that reports, draws and keeps statistics, so that control never waits for them.

Nothing it does reaches a command: what raises is reported once, what is slow holds up nobody, and
where reports come faster than they can be made, the oldest are dropped and counted.
"""

from __future__ import annotations

import functools
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import torch

from mbmrl_ros.nodes.common.priority import yield_to_messages

Job = Callable[[], object]
# Ticks carry their candidates, megabytes of them.
MOST_JOBS = 64
# Kinds of errors that are reported.
MOST_KINDS = 100
JOIN_S = 2.0


class Reporter:
    """The thread; it begins with the first thing to report.

    dropped: reports that nobody got, since others took too long. failed: those that raised.
    """

    def __init__(self, on_error: Callable[[str], object]) -> None:
        """on_error: gets the trace of whatever goes wrong, here or elsewhere, once per kind."""
        self.dropped = self.failed = 0
        self._on_error = on_error
        self._work = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._errors: deque[str] = deque()
        self._said: set[tuple[str, ...]] = set()
        self._busy = self._closing = False
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        """Do something whenever there is time for it."""
        with self._work:
            if len(self._jobs) == MOST_JOBS:
                self._jobs.popleft()
                self.dropped += 1
            self._jobs.append(job)
            self._wake()

    def error(self, trace: str) -> None:
        """Report the trace of an error, unless one of its kind was reported before."""
        kind = _kind(trace)
        with self._work:
            if kind not in self._said and len(self._said) < MOST_KINDS:
                self._said.add(kind)
                self._errors.append(trace)
                self._wake()

    def forget(self) -> None:
        """Report errors again that were reported before, should they come again."""
        with self._work:
            self._said.clear()

    def flush(self, timeout_s: float) -> None:
        """Wait until all is reported."""
        with self._work:
            self._work.wait_for(lambda: not (self._busy or self._jobs or self._errors), timeout_s)

    def close(self) -> None:
        """End the thread after what there is to report, or leave it to what it is stuck in."""
        with self._work:
            self._closing = True
            self._work.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=JOIN_S)

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            thread = threading.Thread(target=self._run, name='reports', daemon=True)
            with suppress(RuntimeError):  # no thread to be had, now
                thread.start()
                self._thread = thread
        self._work.notify_all()

    def _run(self) -> None:
        yield_to_messages()
        # A pool of threads of its own would be in the way of the one that plans.
        torch.set_num_threads(1)
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # of no importance to the robot
                self.failed += 1
                self.error(traceback.format_exc())

    def _next(self) -> Job | None:
        with self._work:
            self._busy = False
            self._work.notify_all()
            self._work.wait_for(lambda: self._jobs or self._errors or self._closing)
            if not (self._jobs or self._errors):
                return None
            self._busy = True
            if self._errors:
                return functools.partial(self._on_error, self._errors.popleft())
            return self._jobs.popleft()


def _kind(trace: str) -> tuple[str, ...]:
    """Return where it was raised, and its type: messages differ in their numbers."""
    lines = trace.splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    behind = lines[places[-1] + 1 :] if places else lines
    types = [line.partition(':')[0] for line in behind if line[:1].strip()]
    return (*(lines[number] for number in places), *types[:1])
