# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of the millirobot (thesis, chapter 9): follow a path on grounds and with faults.

It trains on carpet, styrofoam and turf; the faults of the tests never happen in training.
"""

from __future__ import annotations

from mbmrl_ros.envs.task import Task, from_the_start, mid_run, switching_schedule
from mbmrl_ros.rewards.path import SHAPES
from mbmrl_ros.rewards.reward import TermConfig
from mbmrl_ros.sim.disturbances import Disturbance

GROUNDS = tuple(Disturbance('terrain', name) for name in ('carpet', 'styrofoam', 'turf'))
UNSEEN = {
    'gravel': Disturbance('terrain', 'gravel'),
    'slope': Disturbance('slope', 'x', 15.0),
    'side_slope': Disturbance('slope', 'y', 10.0),
    'missing_leg': Disturbance('missing_leg', 'right_front_leg'),
    'payload': Disturbance('payload', 'markers', 0.0142),
    'pulled': Disturbance('pulled', 'sledge', 0.02),
    'miscalibrated': Disturbance('pose_tilt', 'roll', 12.0),
    'weak_battery': Disturbance('weak_battery', 'battery', 0.25),
}
Severity = tuple[Disturbance, ...]
"""What happens together in one test."""


def _severities(kind: str, target: str, *values: float) -> tuple[Severity, ...]:
    return tuple((Disturbance(kind, target, value),) for value in values)


def _without_legs(*legs: str) -> Severity:
    return tuple(Disturbance('missing_leg', leg) for leg in legs)


# What those faults are when they get harder, to the hardest that such a robot could still be asked
# to drive with: its own weight on the shell, or half of that at its left edge; three quarters of
# the drag that its feet hold on carpet. How hard is not for the size to say: losing the middle leg
# costs nothing, and with less of its battery a robot is slower, which the cost likes.
LADDERS: dict[str, tuple[Severity, ...]] = {
    'missing_leg': (
        _without_legs('right_middle_leg'),
        _without_legs('right_front_leg', 'right_rear_leg'),
        _without_legs('right_front_leg', 'right_middle_leg'),
    ),
    'slope': _severities('slope', 'x', 20.0, 25.0, 30.0),
    'side_slope': _severities('slope', 'y', 15.0, 20.0, 25.0),
    'payload': (
        *_severities('payload', 'markers', 0.03),
        *_severities('side_payload', 'markers', 0.005, 0.0075, 0.01, 0.0142),
    ),
    'pulled': _severities('pulled', 'sledge', 0.03, 0.04),
    'miscalibrated': _severities('pose_tilt', 'roll', 20.0, 30.0),
    'weak_battery': _severities('weak_battery', 'battery', 0.4, 0.2, 0.15),
}
# Which rung: the mildest at which MB's cost is 1.3 times that on the known grounds, or else the
# hardest at which it stays on its feet (docs/results/millirobot_paths/severity.json).
_CHOSEN = {
    'missing_leg': 2,
    'slope': 0,
    'side_slope': 0,
    'payload': 2,
    'pulled': 1,
    'miscalibrated': 1,
    'weak_battery': 2,
}
HARD = {f'hard_{name}': LADDERS[name][rung] for name, rung in _CHOSEN.items()}
# The papers keep to one ground per rollout of 50 steps; here it changes within one.
TRAINING = switching_schedule(GROUNDS, shortest=50, longest=200)
# The grounds of the training, every fault from the start, a leg that breaks off; then harder ones.
TESTS = {
    **{ground.target: from_the_start(ground) for ground in GROUNDS},
    **{name: from_the_start(fault) for name, fault in UNSEEN.items()},
    'mid_run': mid_run(UNSEEN['missing_leg']),
    **{name: from_the_start(*severity) for name, severity in HARD.items()},
    'mid_run_two_legs': mid_run(*HARD['hard_missing_leg']),
}
# Each once, what is new at the end: recorded steps name theirs by its place.
EVERYTHING = tuple(
    dict.fromkeys(
        (*GROUNDS, *UNSEEN.values(), *(fault for each in HARD.values() for fault in each))
    )
)
# Steps of an episode, by shape, as in the published tests (left and right: as straight).
STEPS = {'straight': 110, 'left': 110, 'right': 110, 'zig_zag': 150, 'figure_8': 400}
# Distance, heading and progress (rewards/path.py): the published weights for most shapes.
WEIGHTS = {'path_distance': -50.0, 'path_heading': -5.0, 'path_progress': 10.0}
ZIG_ZAG_WEIGHTS = {'path_distance': -40.0, 'path_heading': -10.0, 'path_progress': 10.0}


def _path_task(name: str, shape: str) -> Task:
    weights = ZIG_ZAG_WEIGHTS if shape == 'zig_zag' else WEIGHTS
    return Task(
        name=name,
        description=f'follow a path ({shape}) on unseen ground, slopes and with faults',
        robot='millirobot',
        reward=tuple(
            TermConfig(term=term, weight=weight, path=shape) for term, weight in weights.items()
        ),
        episode_steps=STEPS[shape],
        disturbances=EVERYTHING,
        training=TRAINING,
        tests=TESTS,
    )


# What is trained is a model, the same for all shapes: it collects on the one that turns both ways.
PATH_TASKS = (
    _path_task('millirobot/path', 'figure_8'),
    *(_path_task(f'millirobot/{shape}', shape) for shape in SHAPES if shape != 'figure_8'),
)
