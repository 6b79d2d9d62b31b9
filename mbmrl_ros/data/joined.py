# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories whose rows lie one behind the other, and are joined once.

Where data grow while they are learned from, what is new is put behind what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory

Make = Callable[[Trajectory, int], tuple[Tensor, ...]]
"""(a trajectory, how many states are before it) -> rows of each of some tensors."""


class Growing:
    """A tensor that grows by rows, in memory that doubles: each row moves about once.

    rows: that there are. copied: bytes that were written so far.
    """

    def __init__(self) -> None:
        self.rows = self.copied = 0
        self._memory: Tensor | None = None

    def append(self, new: Tensor) -> None:
        """Put rows behind those that are there; what `tensor` gave before stays as it is.

        new: nobody else's.
        """
        needed = self.rows + len(new)
        if self._memory is None:
            # Most data never grow.
            self._memory, self.copied = new, new.nbytes
        else:
            if needed > len(self._memory):
                memory = new.new_empty(max(needed, 2 * self.rows), *new.shape[1:])
                self._memory = self._write(memory, 0, self.tensor)
            self._write(self._memory, self.rows, new)
        self.rows = needed

    @property
    def tensor(self) -> Tensor:
        """All rows."""
        assert self._memory is not None
        return self._memory[: self.rows]

    def _write(self, memory: Tensor, first: int, rows: Tensor) -> Tensor:
        memory[first : first + len(rows)] = rows
        self.copied += rows.nbytes
        return memory


class _Rows:
    """What was made of the first `done` trajectories, which have so many states."""

    def __init__(self, settings: object) -> None:
        self.settings, self.done, self.states = settings, 0, 0
        self.tensors: list[Growing] = []

    def extend(self, new: Sequence[Trajectory], make: Make) -> None:
        made = []
        for trajectory in new:
            made.append(make(trajectory, self.states))
            self.states += trajectory.steps + 1
        self.done += len(new)
        for place, rows in enumerate(zip(*made)):
            if place == len(self.tensors):
                self.tensors.append(Growing())
            self.tensors[place].append(torch.cat(rows))


class Joined(Sequence[Trajectory]):
    """A list of trajectories, and tensors of all of them."""

    def __init__(self, trajectories: Sequence[Trajectory] = ()) -> None:
        self._trajectories = list(trajectories)
        self._rows: dict[str, _Rows] = {}

    def become(self, trajectories: Sequence[Trajectory]) -> Joined:
        """Hold these trajectories; what is joined stays where they only go on."""
        before, self._trajectories = self._trajectories, list(trajectories)
        same = all(old is new for old, new in zip(before, self._trajectories))
        if not same or len(before) > len(self._trajectories):
            self._rows.clear()
        return self

    def rows(self, name: str, make: Make, settings: object = None) -> tuple[Tensor, ...]:
        """Return what `make` gives of each, joined; of each it is asked once.

        settings: what `make` depends on; with others it is asked anew.
        """
        rows = self._rows.get(name)
        if rows is None or rows.settings != settings:
            rows = self._rows[name] = _Rows(settings)
        if rows.done < len(self):
            rows.extend(self._trajectories[rows.done :], make)
        return tuple(growing.tensor for growing in rows.tensors)

    @property
    def copied(self) -> int:
        """Bytes that were written for what is joined."""
        return sum(each.copied for rows in self._rows.values() for each in rows.tensors)

    @overload
    def __getitem__(self, place: int) -> Trajectory: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Trajectory]: ...

    def __getitem__(self, place: int | slice) -> Trajectory | Sequence[Trajectory]:
        return self._trajectories[place]

    def __len__(self) -> int:
        return len(self._trajectories)


def joined(trajectories: Sequence[Trajectory]) -> Joined:
    """Return trajectories as Joined, if they are not yet."""
    return trajectories if isinstance(trajectories, Joined) else Joined(trajectories)
