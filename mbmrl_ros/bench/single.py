# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Single environments of both kinds beside gymnasium's own of the same robot: steps per second.

Physics are equal: the same model, time step and physics steps per control step. An episode that
ends is followed by another one, on both sides.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from mbmrl_ros.bench.compare import Contender, alternate
from mbmrl_ros.envs.gym import TaskEnv, make
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

Env = gymnasium.Env[Any, Any]


def bench_single(robot: str, steps: int, repetitions: int) -> dict[str, Any]:
    """Return rates and ratios (docs/bench.md); steps: of a run."""
    name, policies, faults = TASKS[robot]
    simulation = load_robot(load_task(faults).robot).simulation
    assert simulation is not None
    # First, since it keeps MuJoCo's warnings about the model files to itself.
    policy_env = make(policies)
    theirs, shipped = gymnasium.make(name), simulation.physics_steps
    environments: dict[str, Env] = {
        'policies': policy_env,
        'faults': _with_faults(faults, theirs),
        'faults_shipped': make(faults),
        'gymnasium': theirs,
        'gymnasium_shipped': gymnasium.make(name, frame_skip=shipped),
    }
    contenders = {kind: _contender(env, steps) for kind, env in environments.items()}
    times = alternate(contenders, TURNS * repetitions, label=f'{robot}, single')
    for env in environments.values():
        env.close()
    rate = {kind: steps / duration * 1e3 for kind, duration in times.items()}
    return {
        **{f'{kind}_steps_per_s': value for kind, value in rate.items()},
        'policies_ratio': rate['policies'] / rate['gymnasium'],
        'faults_ratio': rate['faults'] / rate['gymnasium'],
        'faults_shipped_ratio': rate['faults_shipped'] / rate['gymnasium_shipped'],
        'shipped_physics_steps': shipped,
    }


def _with_faults(name: str, theirs: Env) -> Env:
    """Return the robot and the reward of a task with faults, at the period of gymnasium."""
    inner: Any = theirs.unwrapped
    task = load_task(name)
    reward = [term.model_dump(mode='json', exclude_none=True) for term in task.reward]
    text = SLOWER.format(
        robot=task.robot, period_s=float(inner.dt), steps=int(inner.frame_skip), reward=reward
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{task.robot}_slower.yaml'
        path.write_text(text)
        return gymnasium.wrappers.TimeLimit(TaskEnv('run', robot=str(path)), task.episode_steps)


def _contender(env: Env, steps: int) -> Contender:
    space: Any = env.action_space
    drawn = np.random.default_rng(0).uniform(space.low, space.high, (steps, *space.shape))
    actions = drawn.astype(space.dtype)

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return Contender(run, prepare=lambda: env.reset(seed=0))
