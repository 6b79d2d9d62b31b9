# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How long the physics take, measured where they are called."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from mbmrl_ros.envs.task_env import MetaTaskEnv
from mbmrl_ros.types import Params, TaskEnv


class SampledEnv(TaskEnv, Protocol):
    """What policies are sampled in: robots, or models of them."""

    @property
    def physics_s(self) -> float:
        """How long the physics took so far."""


class TimedEnv(MetaTaskEnv):
    """A task that adds up the seconds of its resets and steps in physics_s."""

    physics_s = 0.0

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode of every robot towards goals [N, G]; return observations [N, R, S]."""
        started = time.perf_counter()
        observations = super().reset(goals, generator)
        self.physics_s += time.perf_counter() - started
        return observations

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [N, R, A]; return observations [N, R, S], rewards [N, R], done [N, R]."""
        started = time.perf_counter()
        result = super().step(actions)
        self.physics_s += time.perf_counter() - started
        return result

    def normalizers(self) -> Params:
        """Return what observations and rewards are normalised by, by name; maybe nothing."""
        return {
            f'normalizer/{name}_{part}': getattr(moments, part)
            for name, moments in self._moments()
            for part in ('mean', 'variance')
        }

    def set_normalizers(self, tensors: Params) -> None:
        """Go on from what `normalizers` returned; from the start if there is nothing."""
        for name, moments in self._moments():
            for part in ('mean', 'variance'):
                known = getattr(moments, part)
                setattr(moments, part, tensors.get(f'normalizer/{name}_{part}', known))

    def _moments(self) -> list[tuple[str, object]]:
        named = (('observations', self.observations), ('rewards', self.rewards))
        return [(name, moments) for name, moments in named if moments is not None]


def sampling_times() -> dict[str, float]:
    """Return seconds of physics and of everything else in sampling, none of either yet."""
    return {'physics_s': 0.0, 'policy_s': 0.0}


@contextlib.contextmanager
def timed(env: SampledEnv, spent: dict[str, float]) -> Iterator[None]:
    """Add to `sampling_times` what a block that samples takes."""
    started, before = time.perf_counter(), env.physics_s
    yield
    physics_s = env.physics_s - before
    spent['physics_s'] += physics_s
    spent['policy_s'] += time.perf_counter() - started - physics_s
