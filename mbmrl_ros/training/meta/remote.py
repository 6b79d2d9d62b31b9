# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl train --samplers ray:N`: whole rollouts, made by the machines of a Ray cluster.

The tasks of an iteration are cut into N shares. A share is sampled by whoever has time for it,
with a random stream of its own, so the result depends on N but not on the machines: one that dies
costs its time, and its share comes out the same elsewhere.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros import __version__
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.system.cluster import check_installed, cluster, get, remote
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.meta.settings import MetaPolicyConfig
from mbmrl_ros.training.rollouts import Policy, collect
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Params, Paths

KIND = 'ray:'


class Origin(NamedTuple):
    """What a share's robots are made from. name: of this training, among those that Ray has."""

    name: str
    version: str
    robots: Any


class Share(NamedTuple):
    """Parameters [shared, or n, ...] and goals [n, G] of some of the tasks, and a seed."""

    policy: Policy
    params: Params
    goals: Tensor
    seed: int


class Sampled(NamedTuple):
    """Paths of a share, and how long its physics took [s]."""

    paths: Paths
    physics_s: float


class RemoteEnv(TimedEnv):
    """A task whose rollouts are made elsewhere."""

    def use(self, ray: Any, shares: int, config: SamplingConfig) -> None:
        """Have them made by a cluster, in shares of the tasks."""
        self._ray, self._shares, self._call = ray, shares, remote(ray, _sample)
        # In a list, so that it is fetched once by a machine and not with every share.
        robots = [ray.put((self.task, config, self.rollouts))]
        self._origin = Origin(uuid.uuid4().hex, __version__, robots)

    def collect(
        self, policy: Policy, params: Params, goals: Tensor, generator: torch.Generator
    ) -> Paths:
        """Return the paths of all tasks, in their order; see training/rollouts.py."""
        places = torch.arange(self.tasks).tensor_split(self._shares)
        seeds = torch.randint(2**62, (self._shares,), generator=generator).tolist()
        own = params['log_std'].dim() > 1
        calls = []
        for place, seed in zip(places, seeds):
            theirs = {k: v[place] for k, v in params.items()} if own else params
            share = Share(policy, theirs, goals[place], seed)
            calls.append(self._call.remote(self._origin, share))
        found: list[Sampled] = get(self._ray, calls)
        self.physics_s += max(each.physics_s for each in found)
        return joined([each.paths for each in found])


def check_samplers(samplers: str, algorithm: Algorithm) -> None:
    """UserError if samplers are none, or the algorithm has no rollouts that could be shared."""
    share_count(samplers)
    check_installed()
    if not issubclass(algorithm.Config, MetaPolicyConfig):
        raise UserError(
            f'{algorithm.name} samples here; samplers are for meta policy search by inner steps, '
            'such as promp and maml_trpo'
        )


def share_count(samplers: str) -> int:
    """Return N of ray:N; UserError if it is none."""
    kind, number = samplers[: len(KIND)], samplers[len(KIND) :]
    if kind != KIND or not number.isdecimal() or int(number) < 1:
        raise UserError(f'samplers are ray:N, such as ray:4, got {samplers!r}')
    return int(number)


@contextmanager
def remote_env(
    task: MetaTask, tasks: int, rollouts: int, config: SamplingConfig, samplers: str
) -> Iterator[RemoteEnv]:
    """Yield the robots of a task in a cluster; UserError if they cannot be there."""
    count = share_count(samplers)
    if count > tasks:
        raise UserError(f'{samplers}: there are only {tasks} tasks to share; set tasks, or fewer')
    if config.normalize_observations or config.normalize_rewards:
        raise UserError(
            'samplers go without normalize_observations and normalize_rewards: their running '
            'statistics are of all robots together'
        )
    with cluster('auto') as ray:
        env = RemoteEnv(task, tasks, rollouts, config)
        env.use(ray, count, config)
        yield env


def joined(parts: Sequence[Paths]) -> Paths:
    """Return the paths of several shares as those of all tasks."""
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(Paths)):
        found = [getattr(part, name) for part in parts]
        if isinstance(found[0], dict):
            values[name] = {key: torch.cat([each[key] for each in found]) for key in found[0]}
        else:
            values[name] = torch.cat(found)
    return Paths(**values)


# Of the last training that this process has sampled for, robots by their number of tasks.
_ROBOTS: dict[tuple[str, int], TimedEnv] = {}


def _sample(origin: Origin, share: Share) -> Sampled:
    """Make the rollouts of a share, on a machine of the cluster."""
    if origin.version != __version__:
        raise UserError(
            f'a machine of the cluster has mbmrl_ros {__version__}, not {origin.version}'
        )
    torch.set_num_threads(1)
    env = _robots(origin, len(share.goals))
    before_s = env.physics_s
    generator = torch.Generator().manual_seed(share.seed)
    paths = collect(env, share.policy, share.params, share.goals, generator)
    return Sampled(paths, env.physics_s - before_s)


def _robots(origin: Origin, tasks: int) -> TimedEnv:
    key = origin.name, tasks
    if key not in _ROBOTS:
        import ray

        for old in [known for known in _ROBOTS if known[0] != origin.name]:
            _ROBOTS.pop(old).close()
        task, config, rollouts = ray.get(origin.robots[0])
        _ROBOTS[key] = TimedEnv(task, tasks, rollouts, config, threads=1)
    return _ROBOTS[key]
