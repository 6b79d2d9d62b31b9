# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Single environments of both kinds beside gymnasium's own of the same robot.

Physics are equal: the same model, time step and physics steps per control step. An episode that
ends is followed by another one, on both sides.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mbmrl_ros.bench.compare import Contender, Parts, alternate, peer
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.spec.robot import load_robot

# By robot: gymnasium's environment, a task of policies, a task with faults.
TASKS = {
    'half_cheetah': (
        'HalfCheetah-v5',
        'half_cheetah/gymnasium',
        'half_cheetah/disabled_joint',
    ),
    'ant': ('Ant-v5', 'ant/gymnasium', 'ant/crippled_leg'),
}
# A run is short, and others on the machine may fall into it: more of them than of batches.
TURNS = 4
SLOWER = """extends: {robot}.yaml
period_s: {period_s}
simulation: {{physics_steps: {steps}}}
tasks: {{run: {{description: run, episode_steps: 1000, reward: {reward}}}}}
"""

# Of gymnasium, which is not needed before a benchmark runs.
Env = Any


def bench_single(robot: str, steps: int, repetitions: int) -> dict[str, Any]:
    """Return rates and ratios (docs/bench.md); steps: of a run."""
    pairs = equal_pairs(robot)
    envs = {kind: ours for kind, (ours, _) in pairs.items()}
    envs |= {f'{kind}_gymnasium': theirs for kind, (_, theirs) in pairs.items()}
    contenders = {name: _contender(name, env, steps) for name, env in envs.items()}
    times = alternate(contenders, TURNS * repetitions, label=f'{robot}, single')
    result: dict[str, Any] = {}
    for kind, (ours, theirs) in pairs.items():
        gymnasium_ms, inner = times[f'{kind}_gymnasium'], theirs.unwrapped
        result |= {
            f'{kind}_steps_per_s': steps / times[kind] * 1e3,
            f'{kind}_gymnasium_steps_per_s': steps / gymnasium_ms * 1e3,
            f'{kind}_ratio': gymnasium_ms / times[kind],
            f'{kind}_physics_steps': int(inner.frame_skip),
        }
        ours.close()
        theirs.close()
    return result


def equal_pairs(robot: str) -> dict[str, tuple[Env, Env]]:
    """Return by kind an environment of ours, and gymnasium's with the same physics.

    faults: at the period of gymnasium; faults_shipped: at that of the robot file.
    """
    gymnasium = peer('gymnasium', 'gymnasium>=1.0')
    from mbmrl_ros.envs.gym import TaskEnv, make

    name, policies, faults = TASKS[robot]
    simulation = load_robot(load_task(faults).robot).simulation
    assert simulation is not None
    # Ours first, since they keep MuJoCo's warnings about the model files to themselves.
    of_policies, shipped = make(policies), make(faults)
    theirs = gymnasium.make(name)
    with robot_of_faults(faults, theirs) as robot_file:
        slower = gymnasium.wrappers.TimeLimit(TaskEnv('run', robot=robot_file), 1000)
    return {
        'policies': (of_policies, theirs),
        'faults': (slower, gymnasium.make(name)),
        'faults_shipped': (shipped, gymnasium.make(name, frame_skip=simulation.physics_steps)),
    }


@contextmanager
def robot_of_faults(name: str, theirs: Env) -> Iterator[str]:
    """Yield a robot file whose task `run` has the reward of another one, at gymnasium's period.

    name: the task whose robot and reward these are.
    """
    inner, task = theirs.unwrapped, load_task(name)
    reward = [term.model_dump(mode='json', exclude_none=True) for term in task.reward]
    text = SLOWER.format(
        robot=task.robot, period_s=float(inner.dt), steps=int(inner.frame_skip), reward=reward
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{task.robot}_slower.yaml'
        path.write_text(text)
        yield str(path)


def _contender(name: str, env: Env, steps: int) -> Contender:
    space = env.action_space
    drawn = np.random.default_rng(0).uniform(space.low, space.high, (steps, *space.shape))
    actions = drawn.astype(space.dtype)

    def run() -> Parts:
        # CPU time: a neighbour would stop the longer of two runs more often than the shorter.
        started = time.thread_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return {name: (time.thread_time() - started) * 1e3}

    return Contender(run, prepare=lambda: env.reset(seed=0))
