# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl demo`: a robot breaks in a way that never happened in training, over ROS 2 topics.

MB, MB+DE and GrBAL run with the same seeds, each as a simulator node and a controller node; what
they did is read back from the bags, put in a table and drawn on a page. Started again, it keeps
the runs that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Column, Table

from mbmrl_ros import __version__
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.config import UserError, closest, write_text
from mbmrl_ros.demo import path_following, reaching, running
from mbmrl_ros.demo.film import write_film
from mbmrl_ros.demo.outcomes import (
    CONTENDERS,
    Contender,
    Outcome,
    Scene,
    Show,
    header,
    headline,
    schedule_of,
    summarise,
    table_rows,
)
from mbmrl_ros.demo.page import write_demo_page
from mbmrl_ros.demo.progress import make_progress
from mbmrl_ros.demo.runs import DemoRun, work_off
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.evaluation.predictions import prediction_losses
from mbmrl_ros.nodes.episode.episode import Episode, lead_periods
from mbmrl_ros.nodes.episode.processes import Ending, ending_in_order
from mbmrl_ros.nodes.episode.read_bag import RecordedRun, read_run
from mbmrl_ros.rewards.reward import Reward, build_reward
from mbmrl_ros.sim.disturbances import Schedule
from mbmrl_ros.spec.robot import RobotSpec, load_robot

SHOWS = {
    'half_cheetah': running.SHOW,
    'millirobot': path_following.LEGS,
    'pr2_left_arm': reaching.SHOW,
    'diff_drive': path_following.WHEELS,
}
# What GrBAL is better at in every single one of ten runs: docs/results/demo/README.md.
DEFAULT = 'pr2_left_arm'


class Story(NamedTuple):
    """What every run of a demo does, in how many steps."""

    task: Task
    spec: RobotSpec
    show: Show
    steps: int

    @property
    def schedule(self) -> Schedule:
        """What breaks, and when."""
        return schedule_of(self.task, self.show, self.steps)


def demo_command(options: argparse.Namespace) -> int:
    """Run every contender with every seed; write bags, summary.json and report.html to `out`.

    Return 1 where a run failed; UserError where all did.
    """
    torch.set_num_threads(1)
    # A disturbance such as held_payload:hand:1.5 is no emoji.
    console, out = Console(emoji=False), options.out
    story = _choose(options.robot, options.task, options.steps)
    bundles = _load_bundles(story.spec, str(options.bundles or story.show.bundles))
    _check_steps(story, bundles)
    faults = ', '.join(str(event.disturbance) for event in story.schedule)
    console.print(
        f'{story.task.description}.\n'
        f'{faults} at step {story.schedule[0].step} of {story.steps}; '
        f'{len(CONTENDERS)} controllers x {options.seeds} seeds, over ROS 2 topics.'
    )
    with ending_in_order() as ending:
        runs = [*_runs(story, bundles, options.seeds, out)]
        _clear(out, runs, options.fresh)
        report = _Report(story, bundles, out)
        failed = _work_off(runs, report, console, ending)
        if not report.outcomes:
            raise UserError(next(iter(failed.values())))
        report.finish(console, failed, options.json)
    for title, reason in failed.items():
        print(f'mbmrl: {title}: {reason}', file=sys.stderr)
    if failed:
        print('mbmrl: the same command goes on with the runs that are missing', file=sys.stderr)
    return 1 if failed else 0


def _work_off(
    runs: list[DemoRun], report: _Report, console: Console, ending: Ending
) -> dict[str, str]:
    """Measure the runs that are there, and do the others; return why some failed."""
    there = [run for run in runs if run.finished]
    if there:
        console.print(
            f'{len(there)} of {len(runs)} runs are there already (--fresh does them anew)'
        )
    for run in there:
        report.add(run)
    with make_progress(console) as progress:
        left = [run for run in runs if run not in there]
        return work_off(left, progress, report.add, ending)


class _Report:
    """What is known so far: numbers after every run, table and page at the end."""

    def __init__(self, story: Story, bundles: dict[str, tuple[str, Bundle]], out: Path) -> None:
        self.outcomes: list[Outcome] = []
        self._story, self._show, self._out = story, story.show, out
        self._bundles = bundles
        self._reward = build_reward(story.spec, story.task.reward)

    def add(self, run: DemoRun) -> None:
        """Measure a run and write the numbers of those that are there."""
        recorded = read_run(run.bag, run.episode)
        bundle = self._bundles[run.contender.algorithm][1]
        self.outcomes.append(_measure(run.contender, run.seed, recorded, bundle, self._reward))
        # Several at once end in any order.
        self.outcomes.sort(key=lambda outcome: outcome.seed)
        self._write(self._scene(), {})

    def finish(self, console: Console, missing: dict[str, str], json_path: Path | None) -> None:
        """Print the table; write the page, and the numbers to `json_path` too."""
        scene = self._scene()
        summary = self._write(scene, missing)
        _print_table(console, self._show, summary)
        if json_path is not None:
            write_text(json_path, _text(summary))
        film = self._film(console, scene)
        page = write_demo_page(self._out / 'report.html', scene, self._show, summary, film)
        numbers = self._out / 'summary.json'
        line = headline(scene, self._show, summary)
        console.print(line, markup=False, highlight=False)
        console.print(f'page: {page}\nnumbers: {numbers}\nbags: {self._out}/*/bag')

    def _film(self, console: Console, scene: Scene) -> Path | None:
        """Write the video; None, and a line that says why, where that cannot be."""
        try:
            film = write_film(self._out / 'video.mp4', scene, self._show)
        except UserError as error:
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            return None
        console.print(f'video: {film}')
        return film

    def _scene(self) -> Scene:
        story = self._story
        return Scene(story.task, story.spec, self.outcomes, story.schedule)

    def _write(self, scene: Scene, missing: dict[str, str]) -> dict[str, Any]:
        summary = summarise(scene, self._show) | {'missing': missing}
        write_text(self._out / 'summary.json', _text(summary))
        return summary


def _text(summary: dict[str, Any]) -> str:
    return json.dumps(finite(summary), indent=2) + '\n'


def _runs(
    story: Story, bundles: dict[str, tuple[str, Bundle]], seeds: int, out: Path
) -> Iterator[DemoRun]:
    """Yield all runs, every controller with a seed before any with the next."""
    for seed in range(seeds):
        for contender in CONTENDERS:
            name, bundle = bundles[contender.algorithm]
            folder = out / f'{contender.key}_seed{seed}'
            episode = make_episode(story, contender, name, seed)
            # Several at once, of this demo or of another one, do not hear each other.
            episode = replace(episode, wire=f'demo_{os.getpid()}_{contender.key}_{seed}')
            settings = {
                'version': __version__,
                'steps': story.steps,
                'schedule': list(episode.schedule),
                'robot_hash': story.spec.hash,
                'bundle': json.loads(bundle.info.model_dump_json()),
                'sim': episode.sim,
                'controller': episode.controller,
            }
            yield DemoRun(contender, seed, episode, folder, settings)


def _choose(robot: str | None, task_name: str | None, steps: int | None) -> Story:
    """Return what is shown: the task is by default that of the robot's demo."""
    task = load_task(task_name) if task_name else None
    if robot is None:
        robot = task.robot if task else DEFAULT
    if robot not in SHOWS:
        raise UserError(f'there is no demo of robot {robot!r}; {closest(robot, SHOWS)}')
    if task is not None and task.robot != robot:
        raise UserError(f'task {task.name} is for robot {task.robot}, not for {robot}')
    task = task or load_task(SHOWS[robot].task)
    return Story(task, load_robot(robot), SHOWS[robot], steps or task.episode_steps)


def _load_bundles(spec: RobotSpec, root: str) -> dict[str, tuple[str, Bundle]]:
    """Return name and bundle by algorithm; root: of shipped ones, or a folder."""
    names = {contender.algorithm: f'{root}/{contender.algorithm}' for contender in CONTENDERS}
    return {algorithm: (name, load_bundle(name, spec)) for algorithm, name in names.items()}


def _check_steps(story: Story, bundles: dict[str, tuple[str, Bundle]]) -> None:
    """Refuse runs that end before there is a window before and after the failure."""
    infos = [bundle.info for _, bundle in bundles.values()]
    needed = max(info.past_steps + info.future_steps for info in infos)
    if story.steps - story.schedule[0].step < needed:
        shortest = 3 * needed // 2
        raise UserError(f'--steps is {story.steps}; a run that shows adaptation needs {shortest}')


def make_episode(story: Story, contender: Contender, bundle: str, seed: int) -> Episode:
    """Return a run of one contender: steps of the schedule count from the first state on."""
    lead = lead_periods(story.spec)
    schedule = tuple(f'{event.disturbance}@{event.step + lead}' for event in story.schedule)
    controller = {
        'bundle': bundle,
        'task': story.task.name,
        'adaptation': contender.adaptation,
        'seed': seed,
        # One, however many cores are free: their number would show in the last digits. A plan is
        # hardly faster with two, and two runs at once are.
        'threads': 1,
    }
    return Episode(story.spec, story.steps, schedule, {'seed': seed}, controller)


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


def _clear(out: Path, runs: list[DemoRun], fresh: bool) -> None:
    """Remove what cannot be kept of earlier demos, or with `fresh` all of it; nothing else.

    Whole runs with seeds that are not asked for stay.
    """
    wanted = {run.folder: run for run in runs}
    for contender in CONTENDERS:
        for folder in out.glob(f'{contender.key}_seed*'):
            run = wanted.get(folder)
            kept = run.finished if run else (folder / 'run.json').exists()
            if fresh or not kept:
                shutil.rmtree(folder)


def _print_table(console: Console, show: Show, summary: dict[str, Any]) -> None:
    first, *others = header(show)
    table = Table(Column(first, no_wrap=True), *others)
    table.title = 'means over runs of one trained model each'
    for row in table_rows(show, summary):
        table.add_row(*row)
    console.print(table)
