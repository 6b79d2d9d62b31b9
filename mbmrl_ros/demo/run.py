# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl demo`: a robot breaks in a way that never happened in training, over ROS 2 topics.

MB, MB+DE and GrBAL run with the same seeds, each as a simulator node and a controller node; what
they did is read back from the bags, put in a table and drawn on a page.
"""

from __future__ import annotations

import argparse
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
from mbmrl_ros.config import UserError, closest, write_text
from mbmrl_ros.demo import following, running
from mbmrl_ros.demo.outcomes import (
    CONTENDERS,
    Contender,
    Outcome,
    Scene,
    Show,
    header,
    summarise,
    table_rows,
)
from mbmrl_ros.demo.page import write_demo_page
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.models.bundle import Bundle, load_bundle
from mbmrl_ros.nodes.episode import Episode, lead_periods, run_episode
from mbmrl_ros.nodes.read_bag import RecordedRun, read_run
from mbmrl_ros.rewards.reward import Reward, build_reward
from mbmrl_ros.spec import RobotSpec, load_robot
from mbmrl_ros.training.predictions import prediction_losses

SHOWS = {'half_cheetah': running.SHOW, 'millirobot': following.SHOW}


def demo_command(options: argparse.Namespace) -> None:
    """Run every contender with every seed; write bags, summary.json and report.html to `out`."""
    console, out = Console(), options.out
    task, show = _choose(options.robot, options.task)
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward)
    steps = options.steps or task.episode_steps
    bundles = _load_bundles(spec, str(options.bundles or show.bundles))
    _check_steps(steps, task, bundles)
    event = task.test('mid_run')(steps)[0]
    console.print(
        f'{task.description}.\n{event.disturbance} at step {event.step} of {steps}; '
        f'{len(CONTENDERS)} controllers x {options.seeds} seeds, over ROS 2 topics.'
    )
    _clear(out)
    outcomes = []
    with _progress(console) as progress:
        for seed in range(options.seeds):
            for contender in CONTENDERS:
                name, bundle = bundles[contender.algorithm]
                episode = make_episode(task, spec, contender, name, seed, steps)
                bag = out / f'{contender.key}_seed{seed}' / 'bag'
                bar = progress.add_task(f'{contender.label}, seed {seed}', total=steps)
                run_episode(episode, bag, partial(_advance, progress, bar))
                outcomes.append(_measure(contender, seed, read_run(bag, episode), bundle, reward))
    scene = Scene(task, spec, outcomes, task.failure_step(steps))
    summary = summarise(scene, show)
    for path in (out / 'summary.json', options.json):
        if path is not None:
            write_text(path, json.dumps(summary, indent=2) + '\n')
    page = write_demo_page(out / 'report.html', scene, show, summary)
    _print_table(console, show, summary)
    console.print(f'page: {page}\nnumbers: {out / "summary.json"}\nbags: {out}/*/bag')


def _choose(robot: str | None, task_name: str | None) -> tuple[Task, Show]:
    """Return the task, by default that of the robot's demo, and how it is shown."""
    task = load_task(task_name) if task_name else None
    if robot is None:
        robot = task.robot if task else 'half_cheetah'
    if robot not in SHOWS:
        raise UserError(f'there is no demo of robot {robot!r}; {closest(robot, SHOWS)}')
    if task is not None and task.robot != robot:
        raise UserError(f'task {task.name} is for robot {task.robot}, not for {robot}')
    return task or load_task(SHOWS[robot].task), SHOWS[robot]


def _load_bundles(spec: RobotSpec, root: str) -> dict[str, tuple[str, Bundle]]:
    """Return name and bundle by algorithm; root: of shipped ones, or a folder."""
    names = {contender.algorithm: f'{root}/{contender.algorithm}' for contender in CONTENDERS}
    return {algorithm: (name, load_bundle(name, spec)) for algorithm, name in names.items()}


def _check_steps(steps: int, task: Task, bundles: dict[str, tuple[str, Bundle]]) -> None:
    """Refuse runs that end before there is a window before and after the failure."""
    infos = [bundle.info for _, bundle in bundles.values()]
    needed = max(info.past_steps + info.future_steps for info in infos)
    if steps - task.failure_step(steps) < needed:
        shortest = 3 * needed // 2
        raise UserError(f'--steps is {steps}; a run that shows adaptation needs {shortest}')


def make_episode(
    task: Task, spec: RobotSpec, contender: Contender, bundle: str, seed: int, steps: int
) -> Episode:
    """Return a run of one contender: it breaks `failure_step` steps after the first state."""
    lead = lead_periods(spec)
    schedule = tuple(f'{e.disturbance}@{e.step + lead}' for e in task.test('mid_run')(steps))
    controller = {
        'bundle': bundle,
        'task': task.name,
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
        terms = reward.terms(*run.trajectory.transitions())
    rewards = torch.stack(list(terms.values())).sum(0).double().numpy()
    plain = {name: (t / reward.weights[name]).double().numpy() for name, t in terms.items()}
    return Outcome(contender, seed, run, rewards, plain, losses)


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


def _print_table(console: Console, show: Show, summary: dict[str, Any]) -> None:
    table = Table(*header(show), title='means over seeds')
    for row in table_rows(show, summary):
        table.add_row(*row)
    console.print(table)
