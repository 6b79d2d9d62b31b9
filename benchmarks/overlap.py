# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Would fitting while collecting save time: python benchmarks/overlap.py [--json FILE].

The two halves of a training iteration of MB (`two_cores`), one after the other with all threads
each, against both at once with half of the threads each. In processes of their own, alternating.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch

from mbmrl_ros.algorithms.mb import MB
from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.models.fit import fit
from mbmrl_ros.planners.mppi import MPPI
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import output_file, write_text
from mbmrl_ros.training.collect import collect, mpc_actions, random_actions
from mbmrl_ros.training.settings import load_training_config
from mbmrl_ros.training.train_state import start

TASK = load_task('half_cheetah/disabled_joint')
CONFIG = load_training_config('mb', TASK.name, 'two_cores')


def main() -> None:
    """Measure and print; write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', type=int, default=100, help='control steps of 16 robots')
    parser.add_argument('--batches', type=int, default=700, help='updates of the fit')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--repetitions', type=int, default=3)
    parser.add_argument('--json', type=output_file)
    options = parser.parse_args()
    half = max(1, options.threads // 2)
    rows: dict[str, list[float]] = {'collect_s': [], 'fit_s': [], 'both_s': []}
    for _ in range(options.repetitions):
        jobs = [(collecting, options.steps), (fitting, options.batches)]
        for name, job in zip(('collect_s', 'fit_s'), jobs):
            rows[name] += _durations([job], options.threads)
        rows['both_s'].append(max(_durations(jobs, half)))
    medians = {name: float(np.median(values)) for name, values in rows.items()}
    alone = medians['collect_s'] + medians['fit_s']
    result = {
        'steps': options.steps,
        'batches': options.batches,
        'threads': options.threads,
        **{name: round(value, 2) for name, value in medians.items()},
        'one_after_the_other_s': round(alone, 2),
        'gain': round(alone / medians['both_s'], 3),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        write_text(options.json, text + '\n')


def _durations(jobs: list[tuple[Callable[..., None], int]], threads: int) -> list[float]:
    """Run jobs side by side from the same moment on; return how long each took [s]."""
    context = multiprocessing.get_context('spawn')
    barrier, results = context.Barrier(len(jobs)), context.Queue()
    processes = [
        context.Process(target=job, args=(amount, threads, barrier, results))
        for job, amount in jobs
    ]
    for process in processes:
        process.start()
    durations = [results.get() for _ in processes]
    for process in processes:
        process.join()
    return durations


def collecting(steps: int, threads: int, barrier: Barrier, results: Any) -> None:
    """Collect as an iteration of the training does."""
    torch.set_num_threads(threads)
    spec = load_robot(TASK.robot)
    reward = build_reward(spec, TASK.reward)
    bundle = load_bundle('half_cheetah/disabled_joint/mb', spec)
    planner = MPPI(CONFIG.planner, spec.action_size)
    generator = torch.Generator().manual_seed(0)
    mpc = make_mpc(bundle, MB.adapter(bundle), planner, reward, generator, CONFIG.rollouts)
    env = RobotEnv(spec, CONFIG.rollouts)
    schedules = [()] * CONFIG.rollouts
    rest = ((), steps, CONFIG.past_steps, np.random.default_rng(0))
    barrier.wait()
    started = time.perf_counter()
    collect(env, reward, mpc_actions(mpc), schedules, *rest)
    results.put(time.perf_counter() - started)


def fitting(batches: int, threads: int, barrier: Barrier, results: Any) -> None:
    """Fit as an iteration of the training does."""
    torch.set_num_threads(threads)
    spec = load_robot(TASK.robot)
    reward = build_reward(spec, TASK.reward)
    generator = torch.Generator().manual_seed(0)
    env = RobotEnv(spec, CONFIG.rollouts)
    random = random_actions(spec, generator, CONFIG.rollouts)
    schedules = [()] * CONFIG.rollouts
    rng = np.random.default_rng(0)
    data = collect(env, reward, random, schedules, (), 200, 1, rng).trajectories
    bundle = load_bundle('half_cheetah/disabled_joint/mb', spec)
    learned, optimiser = start(spec, CONFIG, 0)
    objective = MB.objective(bundle.dynamics, learned, data, data[:2], CONFIG, generator)
    barrier.wait()
    started = time.perf_counter()
    precision = choose_precision(CONFIG.fit_precision, torch.device('cpu'))
    epochs = (objective.batch_loss, lambda: 0.0, 1, batches, 0.9, 5, precision)
    fit(learned.params, optimiser, *epochs)
    results.put(time.perf_counter() - started)


if __name__ == '__main__':
    main()
