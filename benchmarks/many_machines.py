# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What several machines are good for: measured sizes and times, and a formula.

    python benchmarks/many_machines.py            # measure here, and rewrite docs/many_machines.md
    python benchmarks/many_machines.py --same     # rewrite it from the numbers that are there

An iteration on M machines of C cores takes

    2 (S / min(N, M C) + (1 - 1 / M) B / W + L) + U

when all is warm. S: seconds of a round of sampling on one core; N: shares, as many as cores, at
most one for each task (the largest share decides); B: bytes of a round's rollouts, which come to
one machine; W: its network, bytes a second; L: what a call of Ray takes; U: the update, on a core.
Cells that are alike take ceil(cells / (M C)) times what one takes, plus what their files take.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import torch

from mbmrl_ros.algorithms.promp import ProMPConfig, iteration
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.training.meta.learner import init_learner
from mbmrl_ros.training.meta.loop import make_env
from mbmrl_ros.training.rollouts import collect

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'many_machines.md'
NUMBERS = ROOT / 'docs' / 'results' / 'many_machines.json'
BEGIN, END = '<!-- numbers: begin -->\n', '<!-- numbers: end -->\n'
TASKS = ('half_cheetah/forward_backward', 'ant/direction')
MACHINES, CORES = (1, 8, 64), 4
# Gigabit Ethernet, of which about nine tenths carry data; the hundred cells of an example.
NETWORK_BYTES_S, CELLS = 0.9 * 1e9 / 8, 100
Numbers = Mapping[str, float]


def measured(task: str, repetitions: int) -> dict[str, float]:
    """Return what a round and an update take on one core, and what a round's rollouts weigh.

    Seconds of the processor, which what else runs on the machine changes little.
    """
    torch.set_num_threads(1)
    config = ProMPConfig()
    generator = torch.Generator().manual_seed(0)
    with closing(make_env(load_meta_task(task), config)) as env:
        learner = init_learner(env.observation_size, env.action_size, config, seed=0)
        goals = env.sample_goals(generator, config.tasks)
        params = {name: value.detach() for name, value in learner.params.items()}
        sampling, whole = [], []
        for _ in range(repetitions):
            began_s = time.process_time()
            paths = collect(env, learner.policy, params, goals, generator)
            sampled_s = time.process_time()
            iteration(env, learner, config, generator)
            sampling.append(sampled_s - began_s)
            whole.append(time.process_time() - sampled_s)
        round_bytes = len(pickle.dumps(paths, protocol=5))
    rollouts = config.tasks * config.rollouts
    return {
        'tasks': config.tasks,
        'rollouts': rollouts,
        'horizon': env.horizon,
        'rollout_bytes': round_bytes / rollouts,
        'round_s': min(sampling),
        'update_s': min(whole) - 2 * min(sampling),
    }


def latency_s(repetitions: int = 20) -> float:
    """Return what a round of Ray takes when there is nothing to do [s]; both ends are here."""
    import ray

    ray.init(num_cpus=1, log_to_driver=False, logging_level='error', include_dashboard=False)
    try:
        nothing = ray.remote(num_cpus=1)(lambda: None)
        ray.get(nothing.remote())
        began_s = time.perf_counter()
        for _ in range(repetitions):
            ray.get(nothing.remote())
        return (time.perf_counter() - began_s) / repetitions
    finally:
        ray.shutdown()


def iteration_s(numbers: Numbers, machines: int, ray_s: float) -> float:
    """Return how long an iteration takes by the formula above; one machine needs no network."""
    workers = min(int(numbers['tasks']), machines * CORES)
    # The largest share decides.
    share = math.ceil(numbers['tasks'] / workers) / numbers['tasks']
    away = (machines - 1) / machines
    sent_s = away * numbers['rollouts'] * numbers['rollout_bytes'] / NETWORK_BYTES_S
    return 2 * (numbers['round_s'] * share + sent_s + ray_s) + numbers['update_s']


def table(found: Mapping[str, Numbers], ray_s: float) -> str:
    """Return the part of the page that is computed."""
    heads = [f'{n} machine{"s" * (n > 1)}' for n in MACHINES]
    lines = [
        f'| | {" | ".join(heads)} |',
        f'|---|{"---|" * len(MACHINES)}',
    ]
    for task, numbers in found.items():
        times = [iteration_s(numbers, n, ray_s) for n in MACHINES]
        cells = [f'{s:.2f} s ({times[0] / s:.1f} x)' for s in times]
        lines.append(f'| ProMP, an iteration of `{task}` | {" | ".join(cells)} |')
    rounds = [math.ceil(CELLS / (n * CORES)) for n in MACHINES]
    shown = [f'{r} ({rounds[0] / r:.1f} x)' for r in rounds]
    lines.append(f'| {CELLS} cells alike, times that of one | {" | ".join(shown)} |')
    lines += ['', 'From, on one core:', '', '| | a round of rollouts | update | a rollout |']
    lines.append('|---|---|---|---|')
    for task, n in found.items():
        lines.append(
            f'| `{task}`, {n["rollouts"]:.0f} rollouts of {n["horizon"]:.0f} steps | '
            f'{n["round_s"]:.2f} s | {n["update_s"]:.2f} s | {n["rollout_bytes"] / 1e3:.1f} kB |'
        )
    lines += ['', f'and {1e3 * ray_s:.1f} ms for a call of Ray on this machine.', '']
    return '\n'.join(lines)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--same', action='store_true', help='measure nothing')
    parser.add_argument('--repetitions', type=int, default=3)
    options = parser.parse_args()
    if not options.same:
        found = {task: measured(task, options.repetitions) for task in TASKS}
        numbers = {'tasks': found, 'ray_s': latency_s()}
        NUMBERS.write_text(json.dumps(numbers, indent=1) + '\n')
    numbers = json.loads(NUMBERS.read_text())
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f'{before}{BEGIN}{table(numbers["tasks"], numbers["ray_s"])}{END}{after}')


if __name__ == '__main__':
    main()
