# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The runs of a demo: several at once where there is room, and on after one that failed.

A run that is whole has a `run.json` beside its bag, with the settings that it depends on. Started
again, the demo keeps such a run and does what is missing.
"""

from __future__ import annotations

import json
import shutil
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.demo.outcomes import Contender
from mbmrl_ros.demo.progress import Progress
from mbmrl_ros.nodes.episode.episode import Episode, run_episode
from mbmrl_ros.nodes.episode.processes import Ending
from mbmrl_ros.system import machine

# How often somebody who waits is told something, and room for another run is looked for.
LOOK_S = 1.0


@dataclass(frozen=True)
class DemoRun:
    """One controller with one seed. settings: what the result depends on, as in JSON."""

    contender: Contender
    seed: int
    episode: Episode
    folder: Path
    settings: dict[str, Any]

    @property
    def title(self) -> str:
        """In a line of progress."""
        return f'{self.contender.label}, seed {self.seed}'

    @property
    def bag(self) -> Path:
        """What is recorded."""
        return self.folder / 'bag'

    @property
    def finished(self) -> bool:
        """Whether it is there, whole, and of these settings."""
        try:
            found = json.loads((self.folder / 'run.json').read_text())
        except (OSError, ValueError):
            return False
        return bool(found == self.settings)

    def perform(self, on_step: Callable[[int], None], stop: threading.Event) -> None:
        """Run and record it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        run_episode(self.episode, self.bag, on_step, stop)
        write_text(self.folder / 'run.json', json.dumps(self.settings, indent=2) + '\n')


def work_off(
    runs: Iterable[DemoRun],
    progress: Progress,
    on_done: Callable[[DemoRun], None],
    ending: Ending,
) -> dict[str, str]:
    """Do the runs; return why some failed, by title.

    As many at once as the machine has room for: each takes a core, as simulator and controller
    wait for each other. on_done: is called after each, in this thread; what it raises is a failure
    of the run. ending: is asked at every turn, so that a signal stops them all.
    """
    waiting, stop = list(runs), threading.Event()
    running: dict[Future[None], DemoRun] = {}
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(waiting))) as pool:
        try:
            while waiting or running:
                ending.check()
                if waiting and machine.has_room(len(running)):
                    run = waiting.pop(0)
                    on_step = progress.begin(run.title, run.episode.steps)
                    running[pool.submit(run.perform, on_step, stop)] = run
                done, _ = wait(running, LOOK_S, FIRST_COMPLETED)
                for future in done:
                    run = running.pop(future)
                    try:
                        future.result()
                        on_done(run)
                        progress.end(run.title, 'done')
                    except Exception as error:  # the other runs are worth having
                        failed[run.title] = _reason(error)
                        progress.end(run.title, f'failed: {failed[run.title]}')
                progress.look()
        finally:
            stop.set()
    return failed


def _reason(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    traceback.print_exception(error)
    return f'{type(error).__name__}: {error}'
