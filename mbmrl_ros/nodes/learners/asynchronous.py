# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl train --asynchronous`: a simulator in real time, and the nodes that learn beside it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.priority import why_refused
from mbmrl_ros.nodes.episode.processes import Ending, ending_in_order, last_words, node_process
from mbmrl_ros.nodes.learners.episodes import FOLDER
from mbmrl_ros.nodes.learners.parts import MODEL, POLICY, STARTS, Part
from mbmrl_ros.nodes.learners.plan import notice_of, plan_part
from mbmrl_ros.nodes.learners.settings import SharedSettings
from mbmrl_ros.nodes.learners.signing import read_signature
from mbmrl_ros.system.outputs import claimed

LOOK_S = 0.5
# Bytes of a row of metrics.csv, at most.
LONGEST_ROW = 4096
NAMESPACE = 'learning'
COLLECTOR = 'collector_node'
Process = subprocess.Popen[bytes]


def asynchronous_command(options: argparse.Namespace) -> None:
    """Do what `mbmrl train --asynchronous` was asked for."""
    settings = SharedSettings(
        algorithm=options.algorithm,
        task=options.task,
        robot=options.robot or '',
        config=options.config or '',
        settings=tuple(options.set),
        seed=options.seed,
        out=str(options.out or ''),
        key_file=options.key_file or '',
        start_from=str(options.start_from or ''),
    )
    folder = learn_beside(settings, options.priority, options.threads)
    bundles = [folder / kind / 'bundle' for kind in (POLICY, MODEL)]
    found = next((each for each in bundles if each.exists()), 'none yet; collect more steps')
    print(f'bundle: {found}\ncurves: {folder}/*/metrics.csv')


def learn_beside(settings: SharedSettings, priority: int = 0, threads: int = 0) -> Path:
    """Learn until as many steps are collected as by `mbmrl train`, or go on; return the folder.

    priority: of simulator and collector over all that has none; 0: none. threads: of each learner;
    0: as many as it has by itself.
    """
    read_signature(settings.key_file)
    part = plan_part(settings)
    # What nodes print goes to files.
    for said in filter(None, (why_refused(priority), notice_of(part, settings))):
        print(f'mbmrl: {said}', file=sys.stderr)
    with claimed(part.folder, 'mbmrl train'):
        _learn(settings, part, priority, {'threads': threads} if threads else {})
    return part.folder


def _learn(
    settings: SharedSettings, part: Part, priority: int, learning: Mapping[str, Any]
) -> None:
    folder, steps = part.folder, part.steps
    given = settings.model_dump() | {'settings': list(settings.settings) or [''], 'out': folder}
    first = {'realtime_priority': priority} if priority else {}
    # A training that goes on begins elsewhere, so that the same is not drawn again.
    pieces = len(list((folder / FOLDER / 'data').glob('*.safetensors')))
    simulated = {'robot': part.robot, 'wall_time': True, 'seed': settings.seed + pieces} | first
    if part.disturbed:
        # What is to be coped with must have happened while it was learned.
        simulated |= {'task': part.task, 'training_steps': part.horizon}
    learners = [kind for kind in (MODEL, POLICY) if kind in part.layouts]
    parameters: dict[str, dict[str, Any]] = {
        **{f'{kind}_learner_node': {**given, **learning} for kind in learners},
        'sim_node': simulated,
        COLLECTOR: given | first | {'steps': steps},
    }
    log, began_s = folder / 'log', time.time()
    with ending_in_order() as ending, ExitStack() as stack, tqdm(total=steps, unit='step') as bar:
        nodes: dict[str, Process] = {}
        for name, own in parameters.items():
            if name == 'sim_node':
                # Of the steps that are wanted, none is driven before somebody learns from it.
                _watch(ending, nodes, log, lambda: _opened(folder, learners, began_s))
            nodes[name] = stack.enter_context(node_process(name, own, NAMESPACE, log))
        path = folder / FOLDER / 'metrics.csv'
        collector = nodes[COLLECTOR]
        _watch(ending, nodes, log, lambda: _show(path, bar) or collector.poll() == 0)
        _show(path, bar)


def _watch(
    ending: Ending, nodes: Mapping[str, Process], log: Path, done: Callable[[], bool]
) -> None:
    """Wait until something is so; UserError if a node ends before."""
    while not done():
        ending.check()
        time.sleep(LOOK_S)
        for name, process in nodes.items():
            if process.poll() or (process.poll() == 0 and name != COLLECTOR):
                raise UserError(f'{name} ended before the others: {last_words(log)} ({log})')


def _opened(folder: Path, learners: Sequence[str], since_s: float) -> bool:
    """Whether all learners have begun (parts.py)."""
    counters = [folder / kind / STARTS for kind in learners]
    return all(path.exists() and path.stat().st_mtime >= since_s for path in counters)


def _show(path: Path, bar: Any) -> bool:
    """Show how many steps there are, and what the last episode earned; return False."""
    row = _last_row(path) if path.exists() else {}
    if row:
        bar.set_postfix_str(f'return {float(row["return"]):.1f}', refresh=False)
        bar.update(int(float(row['environment_steps'])) - bar.n)
    return False


def _last_row(path: Path) -> dict[str, str]:
    """Return the last row of a table; nothing of the others is read, however many there are."""
    with path.open('rb') as file:
        names = file.readline()
        file.seek(max(len(names), path.stat().st_size - LONGEST_ROW))
        *_, last = file.read().splitlines() or [b'']
    values = last.decode().split(',') if last else []
    return dict(zip(names.decode().strip().split(','), values))
