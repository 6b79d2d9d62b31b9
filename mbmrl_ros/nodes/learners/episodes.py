# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pieces of episodes: first on disk, then on a topic, in a thread that control never waits for."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.nodes.learners.parcels import Parcel, Version
from mbmrl_ros.nodes.learners.parts import EPISODE, Part, as_tensors, opened

FOLDER = 'collector'
# Ten years.
LONGEST_S = 3e8


class EpisodeStore:
    """Keeps and publishes pieces of episodes, numbered from 1.

    Threads: `put` from any; everything that begins with an underscore in its own. count, steps:
    of what is on disk. problem: why the last one could not be written; empty if it was.
    """

    def __init__(self, part: Part, publish: Callable[[bytes], None]) -> None:
        """Open the folder; UserError if it is of something else. publish: gets what is sent."""
        self._part, self._publish = part, publish
        self._stack = ExitStack()
        self.run, _ = self._stack.enter_context(opened(part, FOLDER))
        self.count, self.steps, self.problem, self.last = 0, 0, '', dict[str, float]()
        while self.run.has_data(self.count + 1):
            self.count += 1
            self.steps += self.run.load_data(self.count)[0].steps
        self._origin = part.origin
        # A training that goes on counts on; earlier versions wrote dates.
        ran_s = self.run.last_logged().get('wall_s', 0.0)
        self._began_s = time.monotonic() - (ran_s if ran_s < LONGEST_S else 0.0)
        self._queue: queue.SimpleQueue[tuple[Trajectory, dict[str, float]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name='episodes', daemon=True)
        self._thread.start()

    def republish(self, most: int) -> None:
        """Send the newest pieces once more, for learners that were not there."""
        for number in range(max(1, self.count - most + 1), self.count + 1):
            self._send(number, self.run.load_data(number)[0])

    def put(self, piece: Trajectory, facts: dict[str, float]) -> None:
        """Keep a piece. facts: more of its row in metrics.csv."""
        self._queue.put((piece, facts))

    def close(self) -> None:
        """Write what is left, and give the folder free."""
        self._queue.put(None)
        self._thread.join()
        self._stack.close()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._keep(*item)
                self.problem = ''
            except (UserError, OSError) as error:
                # A disk that is full: the robot goes on, and the next piece is tried.
                self.problem = f'steps were lost: {error}'
            except Exception as error:
                # A mistake of the program costs this piece, not those behind it.
                logging.getLogger(__name__).exception('a piece was not kept')
                self.problem = f'steps were lost: {type(error).__name__}: {error}'

    def _keep(self, piece: Trajectory, facts: dict[str, float]) -> None:
        number = self.count + 1
        self.run.save_data(number, [piece])
        self.count, self.steps = number, self.steps + piece.steps
        self._send(number, piece)
        row = {'environment_steps': float(self.steps), 'return': self._part.earned(piece)}
        wall_s = time.monotonic() - self._began_s
        self.last = row | {'steps': float(piece.steps)} | facts | {'wall_s': wall_s}
        self.run.log(number, self.last, step=self.steps)

    def _send(self, number: int, piece: Trajectory) -> None:
        parcel = Parcel(EPISODE, Version(0, number), as_tensors(piece))
        self._publish(parcel.pack(self._origin))


def facts_of(kind: str, version: Version | None) -> dict[str, float]:
    """Return which policy or model drove, for a row of metrics.csv; zeros: random actions."""
    start, number = version or (0, 0)
    return {f'{kind}_start': float(start), f'{kind}_number': float(number)}
