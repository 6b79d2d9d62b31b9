# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One meta-iteration of ProMP beside its physics, and beside gymnasium with a loop over tasks.

The loop goes through the same functions one task at a time: its rollouts in a vector environment
of gymnasium, its inner step, its share of the outer steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from mbmrl_ros.algorithms.promp import ProMPConfig, iteration
from mbmrl_ros.bench.compare import Contender, Parts, alternate, conditions, peer
from mbmrl_ros.bench.rollouts import physics_of
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.training.meta.learner import init_learner
from mbmrl_ros.training.meta.loop import make_env
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import TaskEnv

TASK, PEER = 'half_cheetah/forward_backward', 'HalfCheetah-v5'
# Of the reward: what a squared action costs.
EFFORT = 0.05


@dataclass(frozen=True)
class PolicySize:
    """N tasks with R rollouts each before and after the inner step; width of two layers."""

    tasks: int = 40
    rollouts: int = 20
    width: int = 64


def bench_policy(size: PolicySize, threads: int, repetitions: int) -> dict[str, Any]:
    """Return seconds and ratios (docs/bench.md); UserError without gymnasium."""
    config = ProMPConfig(
        tasks=size.tasks, rollouts=size.rollouts, hidden_sizes=(size.width, size.width)
    )
    env = make_env(load_meta_task(TASK), config)
    with closing(env), closing(GymnasiumTask(size.rollouts, env.horizon)) as theirs:
        contenders = {
            'iteration': Contender(_Search(env, config).iterate),
            'physics': physics_of(env, threads, torch.Generator().manual_seed(0), episodes=2),
            'gymnasium': Contender(
                _Search(theirs, config.model_copy(update={'tasks': 1})).iterate_each(size.tasks)
            ),
        }
        times = alternate(contenders, repetitions, label=TASK, warm_up=1)
    seconds = {name: value / 1e3 for name, value in times.items()}
    return {
        'task': TASK,
        'tasks': size.tasks,
        'rollouts': size.rollouts,
        'horizon': env.horizon,
        'steps': 2 * size.tasks * size.rollouts * env.horizon,
        'iteration_s': seconds['iteration'],
        'physics_s': seconds['physics'],
        'policy_s': seconds['policy'],
        'update_s': seconds['update'],
        'physics_ratio': seconds['iteration'] / seconds['physics'],
        'gymnasium_s': seconds['gymnasium'],
        'speedup': seconds['gymnasium'] / seconds['iteration'],
        **conditions(torch.device('cpu'), repetitions),
        'threads': threads,
    }


class _Search:
    """A policy and the robots that it is improved with."""

    def __init__(self, env: TaskEnv, config: ProMPConfig) -> None:
        # It times itself; nothing else of a TimedEnv is asked for.
        self._env, self._config = cast(TimedEnv, env), config
        self._learner = init_learner(env.observation_size, env.action_size, config, seed=0)
        self._generator = torch.Generator().manual_seed(0)

    def iterate(self) -> Parts:
        """Iterate once; return what policy and update took [ms]."""
        started = time.perf_counter()
        metrics = iteration(self._env, self._learner, self._config, self._generator)
        spent_s = time.perf_counter() - started
        update_s = spent_s - metrics['physics_s'] - metrics['policy_s']
        return {'policy': metrics['policy_s'] * 1e3, 'update': update_s * 1e3}

    def iterate_each(self, tasks: int) -> Callable[[], None]:
        """Return as many iterations, of one task each."""

        def run() -> None:
            for _ in range(tasks):
                self.iterate()

        return run


class GymnasiumTask:
    """The rollouts of one task in gymnasium's own environment; see types.TaskEnv.

    Observations, start states and effort are gymnasium's, and velocity that of the task.
    """

    tasks, observation_size, action_size = 1, 17, 6
    # It does not say what of a step is physics.
    physics_s = 0.0

    def __init__(self, rollouts: int, horizon: int) -> None:
        gymnasium = peer('gymnasium', 'gymnasium[mujoco]')
        self.rollouts, self.horizon = rollouts, horizon
        self._envs = gymnasium.make_vec(
            PEER, num_envs=rollouts, vectorization_mode='sync', ctrl_cost_weight=EFFORT
        )
        self._direction = 1.0

    def sample_goals(self, generator: torch.Generator, n: int) -> Tensor:
        """Draw directions [n, 1]."""
        return 2.0 * torch.randint(2, (n, 1), generator=generator) - 1.0

    def reset(self, goals: Tensor, generator: torch.Generator) -> Tensor:
        """Begin an episode towards goals [1, 1]; return observations [1, R, S]."""
        self._direction = float(goals)
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return self._seen(self._envs.reset(seed=seed)[0])

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Act by [1, R, A]; return observations [1, R, S], rewards [1, R], done [1, R]."""
        taken = (actions[0] / 10.0).clamp(-1.0, 1.0).numpy()
        observations, _, _, _, info = self._envs.step(taken)
        rewards = self._direction * info['reward_forward'] + info['reward_ctrl']
        done = torch.zeros(1, self.rollouts, dtype=torch.bool)
        return self._seen(observations), torch.from_numpy(rewards).float()[None], done

    def close(self) -> None:
        """Let go of the environments."""
        self._envs.close()

    def _seen(self, observations: Any) -> Tensor:
        return torch.from_numpy(observations).float()[None]
