# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl demo --learn`: a robot that knows nothing learns a task while it moves, in real time.

A simulator and the three nodes that learn (docs/learning_beside_a_robot.md) run beside each other.
What the robot did is read back from the run folder, and drawn: its first minute beside its last.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from mbmrl_ros.config import UserError, closest, write_text
from mbmrl_ros.data.dataset import load_trajectories
from mbmrl_ros.demo.figures import make_axes
from mbmrl_ros.demo.film import Head, Word, compose, near_goal
from mbmrl_ros.demo.reaching import LAST_S, from_goal
from mbmrl_ros.envs.learning_tasks import LEARNING_TASKS
from mbmrl_ros.envs.marks import task_marks
from mbmrl_ros.envs.task import Task
from mbmrl_ros.reports.page import Page, Section, write_page
from mbmrl_ros.reports.styles import style_of
from mbmrl_ros.reports.video import Picture, check_video, write_video
from mbmrl_ros.sim.pose import PoseReader
from mbmrl_ros.sim.rendering import Renderer
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Array

ALGORITHM = 'mb_mpo'
TASKS = {'pr2_left_arm': 'pr2_left_arm/reach_undisturbed'}
MINUTES = 5.0
# Of the video, and how often a control period is drawn: twice as fast as it was.
SHOWN_S, PER_SECOND = 60.0, 20
# Who is as near has done it (thesis 8.4.5).
NEAR_CM = 2.0
FIRST, LAST = '#7b7b7b', style_of(ALGORITHM).colour


@dataclass(frozen=True)
class Learned:
    """What the robot did. states: of each piece of an episode [T+1, S], in order."""

    task: Task
    spec: RobotSpec
    states: list[Array]

    @property
    def apart_cm(self) -> list[Array]:
        """How far the hand is from its goal, after each step of each piece."""
        return [100 * from_goal(self.spec, self.task, states[1:]) for states in self.states]

    @property
    def minutes(self) -> Array:
        """When each piece ended, in minutes of the robot's time."""
        steps = np.cumsum([len(states) - 1 for states in self.states])
        return np.asarray(steps * self.spec.period_s / 60)


class Summary(NamedTuple):
    """Centimetres from the goal over the last second of an episode: of the first, and the last.

    near_after_min: robot time from which on all episodes ended within NEAR_CM; None: never.
    """

    robot_min: float
    first_cm: float
    last_cm: float
    near_after_min: float | None


def learn_command(options: argparse.Namespace) -> int:
    """Let a robot learn, or go on; write report.html, summary.json and video.mp4 to `out`."""
    torch.set_num_threads(1)
    if options.task or options.bundles:
        raise UserError('--learn goes without --task and --bundles: it begins from nothing')
    task, spec = _choose(options.robot)
    folder = options.out / 'learning'
    if options.fresh and folder.exists():
        shutil.rmtree(folder)
    steps = options.steps or round(MINUTES * 60 / spec.period_s)
    if steps < task.episode_steps:
        raise UserError(f'--steps is {steps}; an episode has {task.episode_steps}')
    print(
        f'{task.description}: {steps * spec.period_s / 60:.1f} minutes of a robot that begins '
        'with random actions, in real time.'
    )
    _train(task, folder, steps)
    learned = Learned(task, spec, _read(folder))
    summary = summarise(learned)
    text = json.dumps(summary._asdict() | {'task': task.name}, indent=2) + '\n'
    for path in filter(None, (options.out / 'summary.json', options.json)):
        write_text(path, text)
    film = _film(options.out / 'video.mp4', learned)
    page = write_page(options.out / 'report.html', make_page(learned, summary, film))
    print(f'{headline(summary)}\npage: {page}')
    return 0


def _choose(robot: str | None) -> tuple[Task, RobotSpec]:
    name = robot or 'pr2_left_arm'
    if name not in TASKS:
        raise UserError(f'there is no demo of how {name!r} learns; {closest(name, TASKS)}')
    task = LEARNING_TASKS[TASKS[name]]
    assert isinstance(task, Task)
    return task, load_robot(task.robot)


def _train(task: Task, folder: Path, steps: int) -> None:
    from mbmrl_ros.nodes.learners.asynchronous import learn_beside
    from mbmrl_ros.nodes.learners.settings import SharedSettings

    changes = f'iterations={steps // task.episode_steps}', 'real_rollouts=1'
    learn_beside(
        SharedSettings(algorithm=ALGORITHM, task=task.name, settings=changes, out=str(folder))
    )


def _read(folder: Path) -> list[Array]:
    """Return the states of all pieces of episodes, in the order in which they were driven."""
    paths = sorted((folder / 'collector' / 'data').iterdir())
    pieces = [piece for path in paths for piece in load_trajectories(path)]
    return [piece.states.double().numpy() for piece in pieces]


def summarise(learned: Learned) -> Summary:
    """Return where the hand ended in the first and the last episode, and when it was near."""
    ends, minutes = end_cm(learned), learned.minutes
    far = np.flatnonzero(ends > NEAR_CM)
    since = 0 if not len(far) else int(far[-1]) + 1
    near = float(minutes[since]) if since < len(ends) else None
    return Summary(float(minutes[-1]), float(ends[0]), float(ends[-1]), near)


def end_cm(learned: Learned) -> Array:
    """Return the mean distance over the last second of each piece."""
    last = max(1, round(LAST_S / learned.spec.period_s))
    return np.array([apart[-last:].mean() for apart in learned.apart_cm])


def headline(summary: Summary) -> str:
    """Return what came out, in a sentence."""
    near = summary.near_after_min
    since = f'never within {NEAR_CM:.0f} cm for good'
    if near is not None:
        since = f'within {NEAR_CM:.0f} cm in every episode from {near:.1f} minutes on'
    return (
        f'After {summary.robot_min:.1f} minutes of its own time the hand ends '
        f'{summary.last_cm:.1f} cm from its goal, {summary.first_cm:.1f} cm in the first episode; '
        f'{since} (one training).'
    )


def draw_distance(learned: Learned) -> Figure:
    """Draw how far the hand is from its goal, over the robot's time."""
    figure, axes = make_axes()
    apart = np.concatenate(learned.apart_cm)
    times = (1 + np.arange(len(apart))) * learned.spec.period_s / 60
    axes.plot(times, apart, color=LAST, alpha=0.4, linewidth=0.8)
    axes.plot(learned.minutes, end_cm(learned), 'o', color=LAST, markersize=4)
    axes.axhline(NEAR_CM, color='#1b1f24', linestyle=':', linewidth=1)
    axes.set(xlabel='robot time [min]', ylabel='distance from the goal [cm]', yscale='log')
    return figure


def make_page(learned: Learned, summary: Summary, film: Path | None) -> Page:
    """Return the page of a training."""
    shown = 'Twice as fast as it was. Green: where three points of the hand are to be.'
    return Page(
        f'{learned.spec.name}: {learned.task.description}, learned from nothing',
        [
            headline(summary),
            'The robot began with random actions and was never stopped to compute: a node '
            'drives it, one fits models to what it did, one improves its policy in the models '
            f'({ALGORITHM}). Simulated, in real time, over ROS 2 topics.',
        ],
        [
            *([Section('First and last minute', shown, video=film)] if film else []),
            Section(
                'Distance from the goal',
                'Of the farthest of three points of the hand. Dots: mean over the last second of '
                'an episode, or of a piece of one where periods were missed; dotted: '
                f'{NEAR_CM:.0f} cm.',
                figure=draw_distance(learned),
            ),
        ],
    )


def _film(path: Path, learned: Learned) -> Path | None:
    """Write the video; None, and a line that says why, where that cannot be."""
    try:
        check_video()
        return write_video(path, draw_film(learned), PER_SECOND)
    except UserError as error:
        print(error)
        return None


def draw_film(learned: Learned) -> Iterator[Picture]:
    """Yield pictures of the first minute beside the last. UserError if nothing can be drawn."""
    period_s, states = learned.spec.period_s, np.concatenate([s[1:] for s in learned.states])
    apart = np.concatenate(learned.apart_cm)
    shown = min(round(SHOWN_S / period_s), len(states) // 2)
    renderer = Renderer(learned.spec, 320, 240)
    renderer.camera = near_goal(renderer, learned.task)
    poses = PoseReader(learned.spec, renderer.stage.original)
    marks = task_marks(learned.task, renderer.stage.size_m)
    names = ('first minute', FIRST), ('last minute', LAST)
    try:
        for step in range(shown):
            rows = step, len(states) - shown + step
            pictures = [
                renderer.draw(poses.positions(as_signals(learned.spec, states[row])), (), marks)
                for row in rows
            ]
            heads = [
                Head(label, colour, f'{apart[row]:.1f} cm from the goal')
                for (label, colour), row in zip(names, rows)
            ]
            times = [f'{(1 + row) * period_s / 60:.1f} min' for row in rows]
            yield compose(heads, pictures, [Word(8, times[0]), Word(328, times[1])])
    finally:
        renderer.close()


def as_signals(spec: RobotSpec, state: Array) -> Array:
    """Return the sensor readings [R] behind a state [S], as far as its channels are readings."""
    signals = np.full(len(spec.signals), np.nan)
    for channel in spec.state:
        if channel.encoding == 'raw' and channel.signals:
            place = spec.signals.index(channel.signals[0])
            signals[place] = state[spec.channel_index(channel.name)]
    return signals
