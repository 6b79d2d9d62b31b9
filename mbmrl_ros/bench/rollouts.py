# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sampling for meta policy search beside its own physics: what all the rest of it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mbmrl_ros.bench.compare import Contender, Parts, alternate, conditions
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.robot_system import RobotSystem
from mbmrl_ros.envs.task_env import MetaTaskEnv
from mbmrl_ros.policies.gaussian import GaussianPolicy
from mbmrl_ros.sim.batch import BatchPhysics
from mbmrl_ros.sim.sensors import simulation_of
from mbmrl_ros.training.rollouts import collect


@dataclass(frozen=True)
class RolloutsSize:
    """N tasks with R rollouts each, and the width of the policy's two layers."""

    tasks: int = 40
    rollouts: int = 20
    width: int = 64


def bench_rollouts(
    size: RolloutsSize, threads: int, repetitions: int, task: str
) -> dict[str, Any]:
    """Return rates and ratios (docs/bench.md); UserError for a task of points."""
    sampling = _Sampling(size, threads, task)
    contenders = {'collect': Contender(sampling.collect), 'physics': sampling.physics()}
    times = alternate(contenders, repetitions, label=task)
    sampling.env.close()
    rows = size.tasks * size.rollouts * sampling.env.horizon
    rest_ms = times['collect'] - times['inside']
    return {
        'task': task,
        'tasks': size.tasks,
        'rollouts': size.rollouts,
        'horizon': sampling.env.horizon,
        'env_steps_per_s': rows / times['collect'] * 1e3,
        'physics_env_steps_per_s': rows / times['physics'] * 1e3,
        'physics_ratio': times['collect'] / times['physics'],
        'rest_ms': rest_ms,
        'rest_ratio': rest_ms / times['inside'],
        **conditions(torch.device('cpu'), repetitions),
        'threads': threads,
    }


class _Sampling:
    def __init__(self, size: RolloutsSize, threads: int, task: str) -> None:
        self.env = MetaTaskEnv(load_meta_task(task), size.tasks, size.rollouts, threads=threads)
        if not isinstance(self.env.system, RobotSystem):
            raise UserError(f'{task} has no physics to compare with; name a task of a robot')
        self._system, self._threads = self.env.system, threads
        self._policy = GaussianPolicy(
            self.env.observation_size, self.env.action_size, (size.width, size.width)
        )
        self._generator = torch.Generator().manual_seed(0)
        shared = self._policy.init(self._generator)
        # A set per task, as after a step of adaptation.
        self._params = {
            name: value.expand(size.tasks, *value.shape).clone() for name, value in shared.items()
        }
        self._goals = self.env.sample_goals(self._generator, size.tasks)

    def collect(self) -> Parts:
        """Sample once; return what the physics inside of it took [ms]."""
        before = self.env.physics_s
        collect(self.env, self._policy, self._params, self._goals, self._generator)
        return {'inside': (self.env.physics_s - before) * 1e3}

    def physics(self) -> Contender:
        """Return the physics of as many control steps."""
        return physics_of(self.env, self._threads, self._generator)


def physics_of(
    env: MetaTaskEnv, threads: int, generator: torch.Generator, episodes: int = 1
) -> Contender:
    """Return episodes of the model file alone, from start states by random controls."""
    system = env.system
    assert isinstance(system, RobotSystem)
    simulation = simulation_of(system.spec)
    physics = BatchPhysics(simulation.model, threads)
    env.reset(env.sample_goals(generator, env.tasks), generator)
    starts = system.physics
    shape = env.horizon, len(starts), physics.model.nu
    # Of the size of those of a policy that begins.
    controls = 0.1 * torch.randn(shape, generator=generator, dtype=torch.float64).numpy()

    def run() -> None:
        for _ in range(episodes):
            states = starts
            for control in controls:
                states = physics.step(states, control, simulation.physics_steps)

    return Contender(run)
