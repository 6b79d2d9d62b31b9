# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How hard a fault has to be to cost MB something: python benchmarks/millirobot_severity.py FILE.

By MB alone, and on start states of another seed than the results: of every ladder in
mbmrl_ros/envs/path_tasks.py the mildest severity at which MB's cost is 1.3 times its mean cost on
the grounds of the training, or else the hardest at which it stays on its feet. A robot that lies
on its side tells nothing about its model. FILE remembers what was measured, so that it can be
started again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import mbmrl_ros  # noqa: F401  # isort: skip  # before torch: how its threads wait
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import load_bundle, on_device
from mbmrl_ros.envs.path_tasks import GROUNDS, LADDERS, Severity
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.task import from_the_start
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.episodes import Trial, evaluate
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.spec.robot import load_robot

BUNDLE = 'millirobot/path/mb'
SHAPES = ('straight', 'left', 'right', 'zig_zag')
SEED, EPISODES = 7, 5
PLANNER = MPPIConfig(candidates=500, horizon=8)
ENOUGH = 1.3
# Of 20 episodes.
MOST_FALLEN = 1


def main() -> None:
    """Climb every ladder until MB has had enough or falls over; print what is chosen."""
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    known = float(np.mean([measured((ground,), path)[0] for ground in GROUNDS]))
    print(f'known grounds: {known:.2f}')
    for name, ladder in LADDERS.items():
        chosen = 'none'
        for severity in ladder:
            cost, fallen = measured(severity, path)
            ratio, words = cost / known, _words(severity)
            print(f'{name}: {words}: {ratio:.2f}, fallen {fallen} of {len(SHAPES) * EPISODES}')
            if fallen > MOST_FALLEN:
                break
            chosen = words
            if ratio >= ENOUGH:
                break
        print(f'{name}: chosen {chosen}', flush=True)


def measured(severity: Severity, path: Path) -> tuple[float, int]:
    """Return MB's cost per step, mean of four shapes, and how many robots fell over.

    From the file if it is there.
    """
    known = json.loads(path.read_text()) if path.exists() else {}
    key = _words(severity)
    if known.get(key, {}).get('fallen') is None:
        rows = {shape: _measure(severity, shape) for shape in SHAPES}
        known[key] = {
            'cost': {shape: row[0] for shape, row in rows.items()},
            'fallen': sum(row[1] for row in rows.values()),
        }
        path.write_text(json.dumps(known, indent=2) + '\n')
    return float(np.mean(list(known[key]['cost'].values()))), known[key]['fallen']


def _measure(severity: Severity, shape: str) -> tuple[float, int]:
    task = load_task(f'millirobot/{shape}')
    spec = load_robot(task.robot)
    task = replace(task, disturbances=severity, tests={'this': from_the_start(*severity)})
    cpu = torch.device('cpu')
    bundle = on_device(load_bundle(BUNDLE, spec), cpu, choose_precision('auto', cpu))
    adapter = make_adapter(bundle, 'none')
    steps = task.episode_steps
    outcome = evaluate(
        bundle, adapter, Trial(open_task(task), 'this', EPISODES, steps, SEED), PLANNER
    )
    upright = spec.channel_index('cos_roll')
    fallen = sum(bool(track.states[-1, upright] < 0) for track in outcome.trajectories)
    done = sum(track.steps for track in outcome.trajectories)
    return -float(outcome.rewards.sum()) / max(done, 1), fallen


def _words(severity: Severity) -> str:
    return ' '.join(map(str, severity))


if __name__ == '__main__':
    main()
