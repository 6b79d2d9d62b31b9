# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steps per second of single, vector and batched environments beside gymnasium, in one run.

    python benchmarks/environments.py

Equal physics: five steps of 0.01 s per control period for all, as in HalfCheetah-v5. All on one
thread. The kinds take turns; the median over the turns is reported, in steps per second of CPU
time, and the smallest and the largest.
"""

import argparse
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch

from mbmrl_ros.config import share_directory
from mbmrl_ros.envs.gym import TaskEnv
from mbmrl_ros.envs.vector import VectorTaskEnv
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.spec.robot import load_robot

ROBOT = """extends: {base}
name: half_cheetah_20hz
period_s: 0.05
simulation: {{physics_steps: 5}}
tasks:
  run:
    description: run forward
    reward:
      - {{term: forward_velocity, weight: 1.0, channel: x}}
      - {{term: action_squared, weight: -0.1}}
    episode_steps: 200
"""


def robot_file(folder: Path) -> str:
    """Write the half-cheetah at gymnasium's rate; return its path."""
    base = share_directory() / 'config' / 'robots' / 'half_cheetah.yaml'
    path = folder / 'half_cheetah_20hz.yaml'
    path.write_text(ROBOT.format(base=base))
    return str(path)


def runs(robot: str, rows: int, steps: int):
    """Yield name and function of each kind; a function returns how many steps it made."""
    rng = np.random.default_rng(0)

    def single(env):
        actions = rng.uniform(-1, 1, (steps, *env.action_space.shape)).astype(np.float32)
        env.reset(seed=0)
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return steps

    def vector(env):
        actions = rng.uniform(-1, 1, (steps // 20, rows, 6)).astype(np.float32)
        env.reset(seed=0)
        for action in actions:
            env.step(action)
        return len(actions) * rows

    def batched(world):
        commands = rng.uniform(-1, 1, (steps // 20, rows, 6))
        world.reset(rng)
        for command in commands:
            world.step(command)
        return len(commands) * rows

    gym, ours = gymnasium.make('HalfCheetah-v5'), TaskEnv('run', robot=robot)
    many = VectorTaskEnv('run', num_envs=rows, robot=robot, threads=1)
    world = BatchWorld(load_robot(robot), rows, threads=1)
    yield 'gymnasium HalfCheetah-v5', lambda: single(gym)
    yield 'single environment', lambda: single(ours)
    yield 'vector environment', lambda: vector(many)
    yield 'batched world', lambda: batched(world)


def main() -> None:
    """Print steps per second, and what they are of what they are compared with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rows', type=int, default=256, help='robots side by side (256)')
    parser.add_argument('--steps', type=int, default=1000, help='steps of a turn (1000)')
    parser.add_argument('--turns', type=int, default=7, help='(7)')
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        kinds = dict(runs(robot_file(Path(folder)), options.rows, options.steps))
    speeds = {name: [] for name in kinds}
    for run in kinds.values():
        run()
    for _ in range(options.turns):
        for name, run in kinds.items():
            began = time.process_time()
            count = run()
            speeds[name].append(count / (time.process_time() - began))
    medians = {name: float(np.median(values)) for name, values in speeds.items()}
    for name, values in speeds.items():
        print(f'{name:26}{medians[name]:9.0f}  ({min(values):.0f} to {max(values):.0f})')
    gym, single, vector, world = medians.values()
    print(f'single / gymnasium {single / gym:.2f}; vector / batched world {vector / world:.2f}')


if __name__ == '__main__':
    main()
