# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an arm learned from nothing: python benchmarks/pr2_learning.py RUN... --out DIR.

RUN: folders of `mbmrl train`, of the arm's `_undisturbed` tasks and any seeds, in turns or
with `--asynchronous`. DIR gets episodes.csv, where the hand ended in every training episode;
tests.csv, the same of the last policy's means from 20 new starts, without and with what the arm
never held; distance.png, and beside.png if there are asynchronous trainings.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from mbmrl_ros.bundles.policy import PolicyBundle, build_policy, load_policy
from mbmrl_ros.data.dataset import load_trajectories
from mbmrl_ros.demo.reaching import LAST_S, from_goal
from mbmrl_ros.envs.arm_tasks import HELD_OUT
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.task import Task, from_the_start
from mbmrl_ros.evaluation.episodes import interval95
from mbmrl_ros.policies import squashed
from mbmrl_ros.reports.run import read_metrics
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Array

STARTS, TEST_SEED, NEAR_CM = 20, 1000, 2.0
# Of driving in an iteration of the recipe: two episodes.
EPISODES_S = 20.0
TESTS = {'alone': (), '1.5 kg in the hand': from_the_start(HELD_OUT['held_out'])(1)}
COLOURS = {'reach': '#1f6fb2', 'shape_matching': '#d95f02', 'block_stacking': '#2a9d4a'}


class Training(NamedTuple):
    """A run folder. minutes, ends_cm: of each episode of the training, in its order.

    minutes: of the robot; `beside` a robot that learning never stops, they are those of the clock.
    """

    name: str
    seed: int
    beside: bool
    minutes: Array
    ends_cm: Array
    tests: dict[str, Array]


def main() -> None:
    """Write both tables and the picture, and print what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument(
        '--compute-s',
        type=float,
        default=11.0,
        help='for which the robot stands after 20 s of driving, where training takes turns',
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainings = sorted((read(folder) for folder in options.runs), key=lambda t: t[:3])
    options.out.mkdir(parents=True, exist_ok=True)
    write(
        options.out / 'episodes.csv',
        ('task', 'seed', 'way', 'robot_min', 'end_cm'),
        ((t.name, t.seed, way(t), *row) for t in trainings for row in zip(t.minutes, t.ends_cm)),
    )
    write(
        options.out / 'tests.csv',
        ('task', 'seed', 'way', 'test', 'end_cm'),
        (
            (t.name, t.seed, way(t), test, end)
            for t in trainings
            for test, ends in t.tests.items()
            for end in ends
        ),
    )
    in_turns = [each for each in trainings if not each.beside]
    draw(in_turns).savefig(options.out / 'distance.png', dpi=110, bbox_inches='tight')
    if len(in_turns) < len(trainings):
        draw_beside(trainings, options.compute_s).savefig(
            options.out / 'beside.png', dpi=110, bbox_inches='tight'
        )
    print(summary(trainings))
    for training in trainings:
        clock = by_the_clock(training, options.compute_s)
        near = (f'{cm:g} cm: {near_from(training, clock, cm)}' for cm in (5.0, NEAR_CM))
        moments = ', '.join(near)
        print(
            f'{training.name} {training.seed}, {way(training)}: {clock[-1]:.1f} min of the '
            f'clock, within {moments}; {len(training.ends_cm)} pieces'
        )


def by_the_clock(training: Training, compute_s: float) -> Array:
    """Return the minutes at which episodes ended, those included in which the robot stands."""
    return training.minutes * (1 if training.beside else 1 + compute_s / EPISODES_S)


def way(training: Training) -> str:
    """Return how a training went, as tables have it."""
    return 'beside' if training.beside else 'in turns'


def write(path: Path, header: tuple[str, ...], rows: Any) -> None:
    """Write a table."""
    with path.open('w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(header)
        for row in rows:
            writer.writerow([f'{v:.4g}' if isinstance(v, float) else v for v in row])


def read(folder: Path) -> Training:
    """Return what a run folder says, and test its last policy."""
    beside = (folder / 'collector').exists()
    collected = folder / 'collector' if beside else folder
    about = json.loads((collected / 'run.json').read_text())
    task = LEARNING_TASKS[about['task']]
    assert isinstance(task, Task)
    spec = load_robot(task.robot)
    groups = [load_trajectories(path) for path in sorted((collected / 'data').iterdir())]
    trajectories = [each for group in groups for each in group]
    ends = [end_cm(spec, task, each.states.double().numpy()[None])[0] for each in trajectories]
    if beside:
        minutes = read_metrics(collected)['wall_s'] / 60
    else:
        minutes = np.cumsum([each.steps for each in trajectories]) * spec.period_s / 60
    name = task.name.partition('/')[2].removesuffix('_undisturbed')
    bundle = load_policy((folder / 'policy' if beside else folder) / 'bundle')
    tests = {test: tried(bundle, spec, task, schedule) for test, schedule in TESTS.items()}
    return Training(name, about['seed'], beside, minutes, np.array(ends), tests)


def end_cm(spec: RobotSpec, task: Task, states: Array) -> Array:
    """Return mean distances [N] over the last second, of the farthest of three points."""
    last = max(1, round(LAST_S / spec.period_s))
    return np.asarray(100 * from_goal(spec, task, states)[:, -last:].mean(-1))


@torch.no_grad()
def tried(bundle: PolicyBundle, spec: RobotSpec, task: Task, schedule: Any) -> Array:
    """Return where the means of the last policy end [cm], from new starts."""
    policy, env = build_policy(bundle.info), RobotEnv(spec, STARTS)
    state = env.reset(np.random.default_rng(TEST_SEED), [schedule] * STARTS)
    states = [state]
    for _ in range(task.episode_steps):
        drawn = policy.distribution(bundle.params, state[:, list(spec.input_indices)])  # type: ignore[union-attr]
        mean = squashed.mode(drawn) if bundle.info.squashed else drawn['mean']
        state = env.step(mean.clamp(-1, 1))
        states.append(state)
    env.close()
    return end_cm(spec, task, torch.stack(states, 1).double().numpy())


def summary(trainings: list[Training]) -> str:
    """Return a row of a table per task: means over trainings with their 95 % intervals."""
    lines = [
        '| task | trainings | within 2 cm from [min] | cm from the goal | within 2 cm '
        '| 1.5 kg: cm | within 2 cm |',
        '|---|---|---|---|---|---|---|',
    ]
    of_task = defaultdict(list)
    for training in trainings:
        of_task[training.name + ', beside' * training.beside].append(training)
    for name, several in of_task.items():
        cells = [name, str(len(several)), ', '.join(near_from(t, t.minutes) for t in several)]
        for test in TESTS:
            ends = [float(t.tests[test].mean()) for t in several]
            share = np.mean([np.mean(t.tests[test] <= NEAR_CM) for t in several])
            mean, half = interval95(ends)
            interval = f' ± {half:.1f}' if np.isfinite(half) else ''
            cells += [f'{mean:.1f}{interval}', f'{100 * share:.0f} %']
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def near_from(training: Training, minutes: Array, cm: float = NEAR_CM) -> str:
    """Return from which of the minutes on episodes of the training ended near.

    By the median of six episodes, which are those of three iterations.
    """
    near = np.flatnonzero(smooth(training.ends_cm)[5:] <= cm)
    return f'{minutes[near[0] + 5]:.1f}' if len(near) else 'never'


def smooth(ends: Array) -> Array:
    """Return medians of up to six episodes that end with each."""
    return np.array([np.median(ends[max(0, i - 5) : i + 1]) for i in range(len(ends))])


def draw(trainings: list[Training]) -> Figure:
    """Return where episodes of the trainings ended, over the robot's time."""
    figure = Figure(figsize=(8, 3.6))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    named = set()
    for training in trainings:
        label = None if training.name in named else training.name.replace('_', ' ')
        named.add(training.name)
        axes.plot(
            training.minutes, training.ends_cm, color=COLOURS[training.name], lw=1.0, label=label
        )
    axes.axhline(NEAR_CM, color='#1b1f24', ls=':', lw=1)
    axes.set(xlabel='robot time [min]', ylabel='from the goal, last second [cm]', yscale='log')
    axes.legend(frameon=False)
    return figure


def draw_beside(trainings: list[Training], compute_s: float) -> Figure:
    """Return the same over the robot's time and over the clock, in turns and beside the robot."""
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    tasks = {training.name for training in trainings if training.beside}
    panels = figure.subplots(1, 2, sharey=True)
    for axes, title, standing in zip(panels, ('robot time', 'wall time'), (0.0, compute_s)):
        named = set()
        for training in (each for each in trainings if each.name in tasks):
            label = None if training.beside in named else way(training)
            named.add(training.beside)
            clock = by_the_clock(training, standing)
            colour = '#d95f02' if training.beside else '#1f6fb2'
            axes.plot(clock, smooth(training.ends_cm), color=colour, lw=1.2, label=label)
        axes.axhline(NEAR_CM, color='#1b1f24', ls=':', lw=1)
        axes.set(xlabel=f'{title} [min]', yscale='log')
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    panels[0].set_ylabel('from the goal, last second [cm]')
    panels[0].legend(frameon=False)
    return figure


if __name__ == '__main__':
    main()
