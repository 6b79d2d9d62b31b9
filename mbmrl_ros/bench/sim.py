# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The batched simulator, and single environments, beside gymnasium's: control steps per second.

The batch and gymnasium go through the same control steps of five physics steps each and hand out
qpos and qvel; gymnasium's environments add observations and rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mbmrl_ros.bench.compare import Contender, alternate, conditions, peer
from mbmrl_ros.bench.single import TASKS, bench_single, robot_of_faults
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.sim.batch import BatchPhysics, BatchWorld
from mbmrl_ros.spec.robot import RobotSpec, load_robot, robot_names
from mbmrl_ros.types import Array

# Robots: gymnasium's environment, its options, its model file. An Ant that falls goes on: where
# every row does its own number of steps, neither side would time the same thing.
ROBOTS: dict[str, tuple[str, dict[str, object], str]] = {
    'half_cheetah': ('HalfCheetah-v5', {}, 'gymnasium/half_cheetah.xml'),
    'ant': ('Ant-v5', {'terminate_when_unhealthy': False}, 'gymnasium/ant.xml'),
}
# Contacts are chaotic: over longer runs the last bits of two solvers grow to metres.
COMPARED_STEPS, COMPARED_ROWS = 100, 4
# A run of a batch is long enough to be warm after one.
WARM_UP = 1


@dataclass(frozen=True)
class SimSize:
    """N rows of the batch, and control steps from the start states per run."""

    environments: int = 256
    steps: int = 100


def bench_sim(
    size: SimSize, threads: int, repetitions: int, robots: tuple[str, ...] = tuple(ROBOTS)
) -> dict[str, Any]:
    """Return rates and ratios per robot (docs/bench.md); UserError without gymnasium."""
    for robot in robots:
        if robot not in ROBOTS:
            raise UserError(f'bench sim has no robot {robot!r}; {closest(robot, ROBOTS)}')
    return {
        'environments': size.environments,
        'steps': size.steps,
        'robots': {
            robot: _Comparison(robot, threads).rates(size, repetitions)
            | {'single': bench_single(robot, size.steps, repetitions)}
            for robot in robots
        },
        **conditions(torch.device('cpu'), repetitions),
        'threads': threads,
    }


class _Comparison:
    """One robot, in gymnasium and in ours."""

    def __init__(self, robot: str, threads: int) -> None:
        library = peer('gymnasium', 'gymnasium>=1.0')
        name, options, self._file = ROBOTS[robot]
        self._robot, self._threads = robot, threads
        # First, since it keeps MuJoCo's warnings about the model files to itself.
        self._physics = BatchPhysics(self._file, threads)
        self._env: Any = library.make(name, **options)
        self._inner: Any = self._env.unwrapped
        self._substeps = int(self._inner.frame_skip)

    def rates(self, size: SimSize, repetitions: int) -> dict[str, Any]:
        contenders = {
            'ours': self._ours(size, drawn=False),
            'gymnasium': self._gymnasium(size, drawn=False),
            'ours_drawn': self._ours(size, drawn=True),
            'gymnasium_drawn': self._gymnasium(size, drawn=True),
            'limit': self._limit(size),
        }
        spec = self._robot_file()
        if spec is not None:
            contenders['world'] = self._world(spec, size)
            contenders['vector'] = self._vector(size)
        times = alternate(contenders, repetitions, label=self._robot, warm_up=WARM_UP)
        alone = {'gymnasium', 'gymnasium_drawn'}
        rate = {
            name: size.steps * (1 if name in alone else size.environments) / duration * 1e3
            for name, duration in times.items()
        }
        same, shipped = self._difference(size.steps)
        self._env.close()
        self._physics.close()
        return {
            'env_steps_per_s': rate['ours'],
            'gymnasium_env_steps_per_s': rate['gymnasium'],
            'speedup': rate['ours'] / rate['gymnasium'],
            'drawn_env_steps_per_s': rate['ours_drawn'],
            'gymnasium_drawn_env_steps_per_s': rate['gymnasium_drawn'],
            'drawn_speedup': rate['ours_drawn'] / rate['gymnasium_drawn'],
            'limit_env_steps_per_s': rate['limit'],
            'limit_speedup': rate['limit'] / rate['gymnasium'],
            'world_env_steps_per_s': rate.get('world'),
            'vector_env_steps_per_s': rate.get('vector'),
            'vector_ratio': times['world'] / times['vector'] if spec else None,
            'max_difference': same,
            'max_difference_warm_start': shipped,
            'physics_steps': self._substeps,
        }

    def _starts(self, rows: int) -> Array:
        """Draw start states [rows, .] as gymnasium does."""
        states = []
        for seed in range(rows):
            self._env.reset(seed=seed)
            states.append(np.concatenate([[0.0], self._inner.state_vector()]))
        return np.array(states)

    def _actions(self, *shape: int) -> Array:
        space = self._env.action_space
        drawn = np.random.default_rng(0).uniform(space.low, space.high, (*shape, *space.shape))
        return drawn.astype(space.dtype)

    def _ours(self, size: SimSize, drawn: bool) -> Contender:
        starts = self._starts(size.environments)
        actions = self._actions(size.steps, size.environments)
        draw = self._drawing(size.environments)

        def run() -> None:
            states = starts
            for action in actions:
                controls = draw() if drawn else action
                states = self._physics.step(states, controls, self._substeps)

        return Contender(run)

    def _limit(self, size: SimSize) -> Contender:
        """Return the same physics without a return to Python: what the machine can do."""
        starts = self._starts(size.environments)
        actions = self._actions(size.steps, size.environments)

        def run() -> None:
            self._physics.follow(starts, actions, self._substeps)

        return Contender(run)

    def _drawing(self, rows: int) -> Callable[[], Array]:
        space, rng = self._env.action_space, np.random.default_rng(1)
        return lambda: rng.uniform(space.low, space.high, (rows, *space.shape))

    def _gymnasium(self, size: SimSize, drawn: bool) -> Contender:
        actions = self._actions(size.steps)
        step, sample = self._env.step, self._env.action_space.sample

        def run() -> None:
            for action in actions:
                step(sample() if drawn else action)

        return Contender(run, prepare=lambda: self._env.reset(seed=0))

    def _robot_file(self) -> RobotSpec | None:
        """Return the robot file of the same model at gymnasium's period, if there is one."""
        if self._robot not in robot_names():
            return None
        spec = load_robot(self._robot)
        if spec.simulation is None or spec.simulation.model != self._file:
            return None
        simulation = spec.simulation.model_copy(update={'physics_steps': self._substeps})
        return spec.model_copy(
            update={'simulation': simulation, 'period_s': float(self._inner.dt)}
        )

    def _world(self, spec: RobotSpec, size: SimSize) -> Contender:
        """Return the same with the robot file's commands, sensors and health."""
        world = BatchWorld(spec, size.environments, self._threads)
        upper = np.array(spec.action.upper)
        actions = self._actions(size.steps, size.environments) * upper

        def run() -> None:
            for action in actions:
                world.step(action)

        return Contender(run, prepare=lambda: world.reset(np.random.default_rng(0)))

    def _vector(self, size: SimSize) -> Contender:
        """Return the same robots as what make_vec makes, with observations and rewards."""
        # It needs gymnasium.
        from mbmrl_ros.envs.vector import VectorTaskEnv

        with robot_of_faults(TASKS[self._robot][2], self._env) as path:
            envs = VectorTaskEnv('run', size.environments, robot=path, threads=self._threads)
        actions = self._actions(size.steps, size.environments)

        def run() -> None:
            for action in actions:
                envs.step(action)

        return Contender(run, prepare=lambda: envs.reset(seed=0))

    def _difference(self, steps: int) -> tuple[float, float]:
        """Return the largest difference of qpos and qvel to gymnasium under the same actions.

        With the solver's options in gymnasium as they are in ours; and as gymnasium has them.
        """
        options = self._inner.model.opt
        shipped = int(options.disableflags)
        options.disableflags = int(self._physics.model.opt.disableflags)
        same = self._deviation(min(steps, COMPARED_STEPS))
        options.disableflags = shipped
        return same, self._deviation(min(steps, COMPARED_STEPS))

    def _deviation(self, steps: int) -> float:
        starts, actions = self._starts(COMPARED_ROWS), self._actions(steps, COMPARED_ROWS)
        largest = 0.0
        states = starts
        reached = []
        for action in actions:
            states = self._physics.step(states, action, self._substeps)
            reached.append(states[:, 1:])
        for row in range(COMPARED_ROWS):
            self._env.reset(seed=row)
            for step in range(steps):
                self._env.step(actions[step, row])
                distance = np.abs(reached[step][row] - self._inner.state_vector()).max()
                largest = max(largest, float(distance))
        return largest
