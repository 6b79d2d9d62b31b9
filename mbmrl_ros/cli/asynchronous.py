# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl train --asynchronous`: a simulator in real time, and three nodes that learn beside it."""

from __future__ import annotations

import argparse
import csv
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.episode.processes import ending_in_order, last_words, node_process
from mbmrl_ros.nodes.learners.episodes import FOLDER
from mbmrl_ros.nodes.learners.parts import POLICY, plan_part
from mbmrl_ros.nodes.learners.plan import plan_training
from mbmrl_ros.nodes.learners.settings import LearningSettings
from mbmrl_ros.system.outputs import claimed

LOOK_S = 0.5
NAMESPACE = 'learning'
COLLECTOR = 'collector_node'


def asynchronous_command(options: argparse.Namespace) -> None:
    """Learn until as many steps are collected as by `mbmrl train`, or go on with a run."""
    if options.start_from:
        raise UserError('--start-from goes without --asynchronous')
    settings = LearningSettings(
        algorithm=options.algorithm,
        task=options.task,
        robot=options.robot or '',
        config=options.config or '',
        settings=tuple(options.set),
        seed=options.seed,
        out=str(options.out or ''),
    )
    part, config = plan_part(settings), plan_training(settings).config
    steps = config.iterations * config.real_rollouts * part.search.env.horizon
    with claimed(part.folder, 'mbmrl train'):
        _learn(settings, part.folder, part.search.task.robot, steps)
    print(f'bundle: {part.folder / POLICY / "bundle"}\ncurves: {part.folder}/*/metrics.csv')


def _learn(settings: LearningSettings, folder: Path, robot: str, steps: int) -> None:
    given = settings.model_dump() | {'settings': list(settings.settings) or [''], 'out': folder}
    parameters: dict[str, dict[str, Any]] = {
        'sim_node': {'robot': robot, 'wall_time': True, 'seed': settings.seed},
        'model_learner_node': given,
        'policy_learner_node': given,
        COLLECTOR: given | {'steps': steps},
    }
    log = folder / 'log'
    with ending_in_order(), ExitStack() as stack, tqdm(total=steps, unit='step') as bar:
        nodes = {
            name: stack.enter_context(node_process(name, own, NAMESPACE, log))
            for name, own in parameters.items()
        }
        while nodes[COLLECTOR].poll() is None:
            time.sleep(LOOK_S)
            _show(folder / FOLDER / 'metrics.csv', bar)
            for name, process in nodes.items():
                if process.poll() is not None and name != COLLECTOR:
                    raise UserError(f'{name} ended before the others: {last_words(log)} ({log})')
        if nodes[COLLECTOR].returncode:
            raise UserError(f'{COLLECTOR} failed: {last_words(log)} ({log})')
        _show(folder / FOLDER / 'metrics.csv', bar)


def _show(path: Path, bar: Any) -> None:
    """Show how many steps there are, and what the last episode earned."""
    if not path.exists():
        return
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    if rows:
        bar.set_postfix_str(f'return {float(rows[-1]["return"]):.1f}', refresh=False)
        bar.update(int(float(rows[-1]['environment_steps'])) - bar.n)
