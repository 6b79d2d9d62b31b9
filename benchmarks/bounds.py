# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""False alarms of the bounds of states: python benchmarks/bounds.py [BAGS] [--steps N] [...].

Drives every shipped robot under every test of its tasks, by each shipped bundle and at random,
and holds all states against the bounds that its controller has by default; with a folder of bags
of the millirobot, their states too. Prints by bundle how many states were beyond, and how far the
farthest one was: in standard deviations of the training data, and beyond its joint's limits as a
share of their distance. Both are to stay well below what the parameters bounds.* say. Where a
robot has no shipped bundle, the statistics are those of random driving under the task's training
disturbances.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.bundles.files import bundle_names
from mbmrl_ros.data.bags import find_bags
from mbmrl_ros.data.dataset import all_transitions
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import TASKS, Task
from mbmrl_ros.evaluation.episodes import Trial, evaluate, run_episodes
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.nodes.common.limits import joint_limits
from mbmrl_ros.nodes.common.settings import ControllerSettings
from mbmrl_ros.planners.kinds import changed
from mbmrl_ros.recordings.control_steps import Log, find_topics
from mbmrl_ros.robot.bounds import Bounds, Statistics, joined, joint_bounds, training_bounds
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.collect import EpisodePlan, collect, random_actions

SEED, EPISODES = 7, 2
# Few: how good the driving is does not matter.
CANDIDATES, HORIZON = 32, 8


@dataclass
class Judge:
    """Bounds of a robot, and what was held against them."""

    spec: RobotSpec
    normalizer: Normalizer
    states: int = 0
    beyond: int = 0
    deviations: tuple[float, str] = (0.0, '')
    overshoot: tuple[float, str] = (0.0, '')
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the bounds that the controller has by default."""
        given, known = ControllerSettings().bounds, self.normalizer
        tensors = (known.state_mean, known.state_std, known.delta_std)
        statistics = Statistics(*(tensor.double().numpy() for tensor in tensors))
        limits = joint_limits(self.spec)
        self._bounds = joined(
            joint_bounds(self.spec, limits, given.joint_margin),
            training_bounds(self.spec, statistics, given.deviations),
        )
        # One deviation and no margin: the distance from them is what is measured.
        self._one = training_bounds(self.spec, statistics, 1.0)
        self._limits = joint_bounds(self.spec, limits, 0.0)

    def judge(self, states: np.ndarray, what: str) -> None:
        """Hold states [.., S] against the bounds."""
        rows = states.reshape(-1, self.spec.state_size).astype(np.float64)
        rows = rows[np.isfinite(rows).all(1)]
        self.states += len(rows)
        for fault in filter(None, map(self._bounds.fault, rows)):
            self.beyond += 1
            self.faults.append(f'{what}: {fault.text}')
        inputs = [i for i, channel in enumerate(self.spec.state) if channel.input]
        for value, name in _ratios(self._one, rows, inputs):
            self.deviations = max(self.deviations, (value, f'{name}, {what}'))
        for value, name in _ratios(self._limits, rows, inputs):
            self.overshoot = max(self.overshoot, (value / 2 - 0.5, f'{name}, {what}'))


def _ratios(bounds: Bounds, rows: np.ndarray, places: list[int]) -> Iterator[tuple[float, str]]:
    """Yield by channel how far it was from the middle of its bounds, in half widths."""
    for name, place, lower, upper, _ in bounds.intervals:
        if place in places and len(rows):
            middle, half = (lower + upper) / 2, (upper - lower) / 2
            yield float(np.abs((rows[:, place] - middle) / half).max()), name


def main() -> None:
    """Judge all bundles, tasks without one, and recordings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('bags', nargs='?', type=Path)
    parser.add_argument('--steps', type=int, default=200, help='of an episode at most')
    parser.add_argument('--bundles', nargs='+', default=bundle_names())
    parser.add_argument('--tasks', nargs='+', default=list(TASKS))
    parser.add_argument('--json', type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    tasks = [TASKS[name] for name in given.tasks]
    for name in given.bundles:
        judge = _judge_bundle(name, tasks, given.steps, given.bags)
        rows[name] = _row(name, judge)
    trained = {load_robot(TASKS[task].robot).hash for task in map(_task_of, bundle_names())}
    for task in tasks:
        if load_robot(task.robot).hash not in trained:
            rows[task.name] = _row(task.name, _judge_at_random(task, given.steps))
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + '\n')


def _task_of(name: str) -> str:
    return name.rpartition('/')[0]


def _judge_bundle(name: str, tasks: list[Task], steps: int, bags: Path | None) -> Judge:
    spec = load_robot(TASKS[_task_of(name)].robot)
    bundle = load_bundle(name, spec)
    judge = Judge(spec, bundle.dynamics.normalizer)
    for task in tasks:
        if load_robot(task.robot).hash == spec.hash:
            for test in task.tests:
                judge.judge(_driven(bundle, task, test, steps), f'{task.name} {test}')
                judge.judge(_at_random(task, test, steps), f'{task.name} {test} at random')
    if bags is not None and spec.name == 'millirobot':
        for bag in find_bags([bags]):
            log = Log(bag, spec, find_topics(bag, spec))
            states = [step.state for step in log.steps() if step.state is not None]
            judge.judge(np.array(states), bag.name)
    return judge


def _judge_at_random(task: Task, steps: int) -> Judge:
    spec, rng = load_robot(task.robot), np.random.default_rng(SEED)
    env = RobotEnv(spec, 8)
    act = random_actions(spec, torch.Generator().manual_seed(SEED), 8)
    schedules = [task.training(rng, steps) for _ in range(8)]
    try:
        found = collect(env, open_task(task), act, EpisodePlan(schedules, steps), rng)
    finally:
        env.close()
    judge = Judge(spec, Normalizer.fit(all_transitions(found.trajectories)))
    for test in task.tests:
        judge.judge(_at_random(task, test, steps), test)
    return judge


def _driven(bundle: Bundle, task: Task, test: str, steps: int) -> np.ndarray:
    horizon = min(HORIZON, bundle.info.planner.horizon)
    planner = changed(bundle.info.planner, '', {'candidates': CANDIDATES, 'horizon': horizon})
    steps = min(steps, task.episode_steps)
    adapter = make_adapter(bundle, 'auto', 0.0)
    found = evaluate(bundle, adapter, Trial(open_task(task), test, EPISODES, steps, SEED), planner)
    return torch.cat([t.states for t in found.trajectories]).numpy()


def _at_random(task: Task, test: str, steps: int) -> np.ndarray:
    spec = load_robot(task.robot)
    act = random_actions(spec, torch.Generator().manual_seed(SEED), EPISODES)
    found = run_episodes(
        Trial(open_task(task), test, EPISODES, min(steps, task.episode_steps), SEED), act
    )
    return torch.cat([t.states for t in found.trajectories]).numpy()


def _row(name: str, judge: Judge) -> dict[str, object]:
    row = {
        'states': judge.states,
        'beyond': judge.beyond,
        'deviations': judge.deviations,
        'joint_overshoot': judge.overshoot,
        'faults': judge.faults[:10],
    }
    print(name, json.dumps(row), flush=True)
    return row


if __name__ == '__main__':
    main()
