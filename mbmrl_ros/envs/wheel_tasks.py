# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A base on wheels, driven by twists, follows a path while a wheel drags or the floor is slippery.

It is the example of a robot that is commanded by `cmd_vel`; no paper has it. It trains on three
floors and with either wheel slowed a little; a wheel that drags more, and ice, are in tests only.
"""

from __future__ import annotations

from mbmrl_ros.envs.path_tasks import WEIGHTS
from mbmrl_ros.envs.task import Task, from_the_start, mid_run, switching_schedule, undisturbed
from mbmrl_ros.rewards.reward import TermConfig
from mbmrl_ros.sim.disturbances import Disturbance

# The servo of a wheel gives 0.2 N m per rad/s that it is too slow. So it reaches 1/2 and 1/3 of
# its speed in training, 1/4 of it in the tests.
FLOORS = tuple(Disturbance('terrain', name) for name in ('dry', 'polished', 'wet'))
DRAGS = tuple(
    Disturbance('stiff_joint', wheel, damping)
    for wheel in ('left_wheel', 'right_wheel')
    for damping in (0.2, 0.4)
)
UNSEEN = {
    'dragging_wheel': Disturbance('stiff_joint', 'right_wheel', 0.6),
    'ice': Disturbance('terrain', 'icy'),
}
TESTS = {
    'undisturbed': undisturbed,
    'wet': from_the_start(FLOORS[-1]),
    **{name: from_the_start(fault) for name, fault in UNSEEN.items()},
    'mid_run': mid_run(UNSEEN['dragging_wheel']),
}

WHEEL_TASKS = (
    Task(
        name='diff_drive/path',
        description='follow a figure of eight while a wheel drags or the floor is slippery',
        robot='diff_drive',
        reward=tuple(
            TermConfig(term=term, weight=weight, path='figure_8')
            for term, weight in WEIGHTS.items()
        ),
        episode_steps=150,
        disturbances=(*FLOORS, *DRAGS, *UNSEEN.values()),
        training=switching_schedule((*FLOORS, *DRAGS), shortest=20, longest=100),
        tests=TESTS,
    ),
)
