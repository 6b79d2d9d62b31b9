# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl demo`: a robot loses a joint that never failed in training, over ROS 2 topics.

MB, MB+DE and GrBAL run with the same seeds, each as a simulator node and a controller node; what
they did is read back from the bags, put in a table and drawn on a page.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.demo.outcomes import COLUMNS, CONTENDERS, Contender, Outcome, summarise, table_rows
from mbmrl_ros.demo.page import write_demo_page
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.models.bundle import Bundle, load_bundle
from mbmrl_ros.nodes.episode import Episode, run_episode
from mbmrl_ros.nodes.read_bag import RecordedRun, read_run
from mbmrl_ros.rewards.reward import Reward, build_reward
from mbmrl_ros.spec import RobotSpec, load_robot
from mbmrl_ros.training.evaluate import prediction_losses


def run_demo(task_name: str, out: Path, seeds: int, steps: int, json_file: Path | None) -> None:
    """Run every contender with every seed; write bags, summary.json and report.html to `out`."""
    console = Console()
    task = load_task(task_name)
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward)
    bundles = {c.algorithm: load_bundle(f'{task.name}/{c.algorithm}', spec) for c in CONTENDERS}
    _check_steps(steps, task, bundles)
    event = task.test('mid_run')(steps)[0]
    console.print(
        f'{task.description}.\n{event.disturbance} at step {event.step} of {steps}; '
        f'{len(CONTENDERS)} controllers x {seeds} seeds, over ROS 2 topics.'
    )
    _clear(out)
    outcomes = []
    with _progress(console) as progress:
        for seed in range(seeds):
            for contender in CONTENDERS:
                bundle = bundles[contender.algorithm]
                episode = _episode(task, spec, contender, seed, steps)
                bag = out / f'{contender.key}_seed{seed}' / 'bag'
                bar = progress.add_task(f'{contender.label}, seed {seed}', total=steps)
                run_episode(episode, bag, partial(_advance, progress, bar))
                outcomes.append(_measure(contender, seed, read_run(bag, episode), bundle, reward))
    summary = summarise(task, spec, outcomes)
    _print_table(console, summary)
    for path in (out / 'summary.json', json_file):
        if path is not None:
            write_text(path, json.dumps(summary, indent=2) + '\n')
    page = write_demo_page(out / 'report.html', task, spec, outcomes, summary)
    console.print(f'page: {page}\nnumbers: {out / "summary.json"}\nbags: {out}/*/bag')


def _check_steps(steps: int, task: Task, bundles: dict[str, Bundle]) -> None:
    """Refuse runs that end before there is a window before and after the failure."""
    needed = max(bundle.info.past_steps + bundle.info.future_steps for bundle in bundles.values())
    if steps - task.failure_step(steps) < needed:
        shortest = 3 * needed // 2
        raise UserError(f'--steps is {steps}; a run that shows adaptation needs {shortest}')


def _episode(task: Task, spec: RobotSpec, contender: Contender, seed: int, steps: int) -> Episode:
    schedule = tuple(f'{e.disturbance}@{e.step}' for e in task.test('mid_run')(steps))
    controller = {
        'bundle': f'{task.name}/{contender.algorithm}',
        'adaptation': contender.adaptation,
        'seed': seed,
    }
    return Episode(spec, steps, schedule, {'seed': seed}, controller)


def _measure(
    contender: Contender, seed: int, run: RecordedRun, bundle: Bundle, reward: Reward
) -> Outcome:
    adapter = make_adapter(bundle, contender.adaptation)
    losses = prediction_losses(bundle, adapter, [run.trajectory])
    with torch.no_grad():
        rewards = reward(*run.trajectory.transitions()).double().numpy()
    return Outcome(contender, seed, run, rewards, losses)


def _advance(progress: Progress, bar: TaskID, step: int) -> None:
    progress.update(bar, completed=step)


def _clear(out: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    for contender in CONTENDERS:
        for folder in out.glob(f'{contender.key}_seed*'):
            shutil.rmtree(folder)
    out.mkdir(parents=True, exist_ok=True)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn('{task.description:16}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _print_table(console: Console, summary: dict[str, Any]) -> None:
    table = Table(*(header for header, _ in COLUMNS), title='means over seeds')
    for row in table_rows(summary):
        table.add_row(*row)
    console.print(table)
