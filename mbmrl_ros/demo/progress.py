# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far runs are: bars in a terminal, a line every now and then where there is none."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from rich import progress as rich_progress
from rich.console import Console

from mbmrl_ros.system import machine

# Without a terminal: a line at most this often.
SAY_S = 30.0


class Progress(Protocol):
    """Tells how far several runs at once are. A context."""

    def begin(self, title: str, steps: int) -> Callable[[int], None]:
        """Begin a run; return what is to be called with its steps so far, from any thread."""

    def end(self, title: str, how: str) -> None:
        """Show how a run ended."""

    def look(self) -> None:
        """Show how far things are, if it is time."""

    def __enter__(self) -> Self:
        """Begin to show it."""

    def __exit__(self, *error: object) -> None:
        """End it."""


def make_progress(console: Console) -> Progress:
    """Return what fits where the text goes."""
    return Bars(console) if console.is_terminal else Lines(console)


class Bars:
    """A bar per run."""

    def __init__(self, console: Console) -> None:
        self._bars = rich_progress.Progress(
            rich_progress.TextColumn('{task.description:16}'),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            console=console,
        )

    def begin(self, title: str, steps: int) -> Callable[[int], None]:
        """Add a bar."""
        bar = self._bars.add_task(title, total=steps)
        return lambda step: self._bars.update(bar, completed=step)

    def end(self, title: str, how: str) -> None:
        """Show why a bar stays where it is."""
        for task in self._bars.tasks:
            if task.description == title:
                self._bars.stop_task(task.id)
        if how != 'done':
            self._bars.console.print(f'{title}: {how}', markup=False, highlight=False)

    def look(self) -> None:
        """Do nothing: bars move by themselves."""

    def __enter__(self) -> Self:
        """Show them."""
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave them as they are."""
        self._bars.stop()


@dataclass
class _Run:
    steps: int
    step: int
    began_s: float


class Lines:
    """A line when a run begins and ends, and every half minute in between."""

    def __init__(self, console: Console, now_s: Callable[[], float] = time.monotonic) -> None:
        """now_s: a steady clock."""
        self._console, self._now_s = console, now_s
        self._runs: dict[str, _Run] = {}
        self._said_s = now_s()

    def begin(self, title: str, steps: int) -> Callable[[int], None]:
        """Print that it begins."""
        self._runs[title] = _Run(steps, 0, self._now_s())
        self._say(f'{title}: begins, {steps} steps')
        return functools.partial(self._advance, title)

    def end(self, title: str, how: str) -> None:
        """Print how it ended."""
        run = self._runs.pop(title)
        self._say(f'{title}: {how} after {self._now_s() - run.began_s:.0f} s')

    def look(self) -> None:
        """Print how far the runs are, every half minute."""
        if self._now_s() - self._said_s < SAY_S:
            return
        runs = [f'{title}: step {run.step} of {run.steps}' for title, run in self._runs.items()]
        if runs:
            load, cores = machine.load(), machine.cores()
            self._say(f'{"; ".join(runs)} (load {load:.1f} on {cores:g} cores)')

    def _advance(self, title: str, step: int) -> None:
        self._runs[title].step = step

    def _say(self, line: str) -> None:
        self._said_s = self._now_s()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
