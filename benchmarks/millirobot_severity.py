# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How hard a fault has to be to cost MB something: python benchmarks/millirobot_severity.py FILE.

By MB alone, before anything that adapts is looked at, and on start states of another seed than
the results: of every ladder in mbmrl_ros/envs/path_tasks.py the mildest severity at which MB's
cost is 1.3 times its mean cost on the grounds of the training, or else the hardest. FILE remembers
what was measured, so that it can be started again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.envs.path_tasks import GROUNDS, LADDERS, Severity
from mbmrl_ros.envs.task import from_the_start
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.models.bundle import load_bundle, on_device
from mbmrl_ros.models.device import choose_precision
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.spec import load_robot
from mbmrl_ros.training.evaluate import evaluate

BUNDLE = 'millirobot/path/mb'
SHAPES = ('straight', 'left', 'right', 'zig_zag')
SEED, EPISODES = 7, 5
PLANNER = MPPIConfig(candidates=500, horizon=8)
ENOUGH = 1.3


def main() -> None:
    """Climb every ladder until MB has had enough; print what is chosen."""
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    known = float(np.mean([cost((ground,), path) for ground in GROUNDS]))
    print(f'known grounds: {known:.2f}')
    for name, ladder in LADDERS.items():
        for severity in ladder:
            ratio = cost(severity, path) / known
            print(f'{name}: {_words(severity)}: {ratio:.2f}', flush=True)
            if ratio >= ENOUGH:
                break
        print(f'{name}: chosen {_words(severity)}', flush=True)


def cost(severity: Severity, path: Path) -> float:
    """Return MB's cost per step, mean of four shapes, from the file if it is there."""
    measured = json.loads(path.read_text()) if path.exists() else {}
    key = _words(severity)
    if key not in measured:
        measured[key] = {shape: _measure(severity, shape) for shape in SHAPES}
        path.write_text(json.dumps(measured, indent=2) + '\n')
    return float(np.mean(list(measured[key].values())))


def _measure(severity: Severity, shape: str) -> float:
    task = load_task(f'millirobot/{shape}')
    task = replace(task, disturbances=severity, tests={'this': from_the_start(*severity)})
    cpu = torch.device('cpu')
    bundle = load_bundle(BUNDLE, load_robot(task.robot))
    bundle = on_device(bundle, cpu, choose_precision('auto', cpu))
    adapter = make_adapter(bundle, 'none')
    steps = task.episode_steps
    outcome = evaluate(bundle, adapter, task, 'this', EPISODES, steps, SEED, PLANNER)
    return -float(outcome.rewards.mean())


def _words(severity: Severity) -> str:
    return ' '.join(map(str, severity))


if __name__ == '__main__':
    main()
