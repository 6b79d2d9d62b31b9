# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo of the PR2's arm: how near the hand comes to its goal with a weight hung on it."""

from __future__ import annotations

import numpy as np

from mbmrl_ros.demo.figures import draw_over_time
from mbmrl_ros.demo.outcomes import Column, Outcome, Scene, Show
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.reports.page import Section
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Array

TASK = 'pr2_left_arm/reach'
# What counts as where the hand ends, as in docs/results/pr2_left_arm.md.
LAST_S = 1.0


def from_goal(spec: RobotSpec, task: Task, states: Array) -> Array:
    """Return how far [m] the farthest of the points of a goal is from its place: [..] of [.., S].

    The three points of the hand determine its pose.
    """
    target = next(term.target for term in task.reward if term.target)
    places = [spec.channel_index(name) for name in target]
    apart = np.asarray(states)[..., places] - np.array(list(target.values()))
    return np.asarray(np.linalg.norm(apart.reshape(*apart.shape[:-1], -1, 3), axis=-1).max(-1))


def _numbers(spec: RobotSpec, outcome: Outcome, failure_step: int) -> dict[str, float]:
    """Return distances from the goal [m]: at the fault's begin, and over the last second."""
    states = outcome.run.trajectory.states.double().numpy()
    apart = from_goal(spec, load_task(TASK), states)
    last = max(1, round(LAST_S / spec.period_s))
    return {
        'distance_m': float(apart[0] - apart[-last:].mean()),
        'from_goal_before_cm': 100 * float(apart[failure_step]),
        'from_goal_final_cm': 100 * float(apart[-last:].mean()),
    }


def _distance(scene: Scene, outcome: Outcome) -> Array:
    states = outcome.run.trajectory.states.double().numpy()
    return 100 * from_goal(scene.spec, scene.task, states)


def _live(scene: Scene, outcome: Outcome, step: int) -> str:
    """Return how far the hand is from its goal."""
    return f'{_distance(scene, outcome)[step]:.1f} cm from the goal'


def _sections(scene: Scene) -> list[Section]:
    return [
        Section(
            'Distance from the goal',
            'Of the farthest of three points on the hand: mean over seeds (thick) and each run; '
            'dashed: the weight is hung on.',
            figure=draw_over_time(
                scene, lambda outcome: _distance(scene, outcome), 'distance from the goal [cm]'
            ),
        )
    ]


SHOW = Show(
    task=TASK,
    bundles=TASK,
    numbers=_numbers,
    columns=(
        Column('cm from goal, before', 'from_goal_before_cm', 1),
        Column('cm from goal, at the end', 'from_goal_final_cm', 1),
        Column('return before', 'return_before', 1),
        Column('return after', 'return_after', 1),
        Column('loss, as trained', 'loss_before', 3),
        Column('loss, as adapted', 'loss_after', 3),
    ),
    sections=_sections,
    live=_live,
    headline=Column('cm from the goal at the end; less is better', 'from_goal_final_cm', 1),
)
