# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trajectories of raw states and actions, and the files they live in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from mbmrl_ros.config import UserError
from mbmrl_ros.spec.model_text import why_damaged
from mbmrl_ros.system.outputs import replacing
from mbmrl_ros.types import Transitions


@dataclass(frozen=True)
class Trajectory:
    """An unbroken piece of experience: states [T+1, S] in units, actions [T, A] in -1..1.

    disturbance: [T] which disturbance was on at each step (an index that the task defines, -1
    for none); kept for reports, never shown to a model.
    """

    states: Tensor
    actions: Tensor
    disturbance: Tensor

    @property
    def steps(self) -> int:
        """T."""
        return len(self.actions)

    def transitions(self) -> Transitions:
        """Return all T transitions."""
        return Transitions(self.states[:-1], self.actions, self.states[1:])


def all_transitions(trajectories: Iterable[Trajectory]) -> Transitions:
    """Join the transitions of many trajectories: [sum of T, .]."""
    parts = [trajectory.transitions() for trajectory in trajectories]
    return Transitions(*(torch.cat(tensors) for tensors in zip(*parts)))


def pad_and_stack(sequences: list[Tensor]) -> Tensor:
    """Stack sequences [T, .] to [N, longest T, .]; shorter ones repeat their last row."""
    length = max(map(len, sequences))
    return torch.stack(
        [torch.cat([rows, rows[-1:].expand(length - len(rows), -1)]) for rows in sequences]
    )


def held_out_every(held_out: float) -> int:
    """Return n, where every n-th trajectory is held out for a share of `held_out`."""
    return max(2, round(1 / held_out))


def split(
    trajectories: list[Trajectory], held_out: float
) -> tuple[list[Trajectory], list[Trajectory]]:
    """Hold out every n-th whole trajectory, so that no window of one is in the other.

    The choice depends on the position only: as data grows, what was held out stays held out.
    """
    every = held_out_every(held_out)
    training = [t for i, t in enumerate(trajectories) if i % every != every - 1]
    return training, [t for i, t in enumerate(trajectories) if i % every == every - 1]


def split_all(
    groups: list[list[Trajectory]], held_out: float
) -> tuple[list[Trajectory], list[Trajectory]]:
    """Hold whole trajectories out of every group, such as the iterations of a training."""
    halves = [split(trajectories, held_out) for trajectories in groups]
    return [t for half in halves for t in half[0]], [t for half in halves for t in half[1]]


def split_long(trajectories: list[Trajectory], count: int, shortest: int) -> list[Trajectory]:
    """Cut trajectories into equal parts until there are `count`, none below `shortest` steps.

    The longest parts are cut first. So a part of one long recording can be held out.
    """
    parts = [1] * len(trajectories)
    while trajectories and sum(parts) < count:
        sizes = [trajectory.steps / n for trajectory, n in zip(trajectories, parts)]
        longest = sizes.index(max(sizes))
        if trajectories[longest].steps // (parts[longest] + 1) < shortest:
            break
        parts[longest] += 1
    return [
        part for trajectory, n in zip(trajectories, parts) for part in _equal_parts(trajectory, n)
    ]


def cut_long(trajectories: list[Trajectory], longest: int) -> list[Trajectory]:
    """Cut trajectories into equal parts of at most `longest` steps."""
    return [
        part
        for trajectory in trajectories
        for part in _equal_parts(trajectory, -(-trajectory.steps // longest))
    ]


def _equal_parts(trajectory: Trajectory, count: int) -> list[Trajectory]:
    if count == 1:
        return [trajectory]
    bounds = [place * trajectory.steps // count for place in range(count + 1)]
    # Copies: tensors that share memory cannot be saved.
    return [
        Trajectory(
            trajectory.states[begin : end + 1].clone(),
            trajectory.actions[begin:end].clone(),
            trajectory.disturbance[begin:end].clone(),
        )
        for begin, end in itertools.pairwise(bounds)
    ]


def save_trajectories(path: Path, trajectories: list[Trajectory]) -> None:
    """Write a file that appears whole or not at all."""
    tensors = {}
    for index, trajectory in enumerate(trajectories):
        tensors[f'{index:06d}/states'] = trajectory.states.contiguous()
        tensors[f'{index:06d}/actions'] = trajectory.actions.contiguous()
        tensors[f'{index:06d}/disturbance'] = trajectory.disturbance.contiguous()
    with replacing(path) as temporary:
        save_file(tensors, temporary)


def load_trajectories(path: Path) -> list[Trajectory]:
    """Read what `save_trajectories` wrote; UserError if the file is missing or damaged."""
    try:
        # By its bytes: the library opens no file whose name is not text in UTF-8.
        tensors = load(path.read_bytes())
        prefixes = sorted({key.split('/')[0] for key in tensors})
        parts = ('states', 'actions', 'disturbance')
        return [
            Trajectory(*(tensors[f'{prefix}/{part}'] for part in parts)) for prefix in prefixes
        ]
    except (OSError, SafetensorError, KeyError) as error:
        why = why_damaged(path, error)
        raise UserError(f'{path} is not a readable file of trajectories: {why}') from error
