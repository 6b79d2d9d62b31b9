# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of the PR2's left arm (thesis 8.4.5): reach, shape matching, block stacking.

The reward is on three points of the hand, or of what it holds, which determine a pose; and
quadratic penalties on joint velocities and torques. What can happen are a load in the hand, dead
and stiff joints, and a constant pull.
"""

from __future__ import annotations

import math

from mbmrl_ros.envs.task import Task, from_the_start, mid_run, switching_schedule, undisturbed
from mbmrl_ros.rewards.reward import TermConfig
from mbmrl_ros.sim.disturbances import Disturbance

# Ten seconds: the papers' tasks take that long.
STEPS = 100
# Joints that the hand can do without: shoulder and elbow carry the arm to its place.
SPARE = ('l_upper_arm_roll_joint', 'l_forearm_roll_joint', 'l_wrist_flex_joint')
TRAINING = (
    *(Disturbance('held_payload', 'hand', mass) for mass in (0.5, 1.0)),
    *(Disturbance('disabled_joint', joint) for joint in SPARE),
    Disturbance('stiff_joint', 'l_shoulder_lift_joint', 40.0),
    Disturbance('stiff_joint', 'l_elbow_flex_joint', 20.0),
    *(Disturbance('force', axis, value) for axis in 'xy' for value in (-10.0, 10.0)),
)
# Never in training: half as much again in the hand, another joint, another direction.
HELD_OUT = {
    'held_out': Disturbance('held_payload', 'hand', 1.5),
    'dead_joint': Disturbance('disabled_joint', 'l_wrist_roll_joint'),
    'stiff_joint': Disturbance('stiff_joint', 'l_shoulder_pan_joint', 40.0),
    'force': Disturbance('force', 'z', -10.0),
}


def _arm_task(name: str, description: str, robot: str, target: dict[str, float]) -> Task:
    return Task(
        name=name,
        description=description,
        robot=robot,
        reward=(
            TermConfig(term='lorentzian', weight=-1.0, target=target),
            TermConfig(term='joint_speed_squared', weight=-0.01),
            TermConfig(term='action_squared', weight=-0.01),
        ),
        episode_steps=STEPS,
        disturbances=(*TRAINING, *HELD_OUT.values()),
        training=switching_schedule((None, *TRAINING), shortest=30, longest=STEPS),
        tests={
            'undisturbed': undisturbed,
            **{name: from_the_start(disturbance) for name, disturbance in HELD_OUT.items()},
            'mid_run': mid_run(HELD_OUT['held_out']),
        },
    )


def pointing_down(
    place: tuple[float, float, float], yaw: float, points: dict[str, tuple[float, float, float]]
) -> dict[str, float]:
    """Return where points in the frame of the hand are when it points down at a place [m].

    yaw [rad]: of the hand's z axis about the vertical.
    """
    forward, left = (math.cos(yaw), math.sin(yaw)), (-math.sin(yaw), math.cos(yaw))
    target = {}
    for name, (x, y, z) in points.items():
        target[f'{name}_x'] = place[0] + y * left[0] + z * forward[0]
        target[f'{name}_y'] = place[1] + y * left[1] + z * forward[1]
        target[f'{name}_z'] = place[2] - x
    return target


# The hand at the angles 0.9, 0.1, 1.1, -1.1, 0.5, -1.1, 0.6 rad: 29 cm from the start.
REACHED = {
    'tip_x': 0.6250, 'tip_y': 0.3764, 'tip_z': 0.8676,
    'left_x': 0.5482, 'left_y': 0.4536, 'left_z': 0.8931,
    'above_x': 0.5628, 'above_y': 0.4585, 'above_z': 0.8241,
}  # fmt: skip
# The peg stands on the floor of its hole, the block lies on the other: places of the hand above
# the things in urdf/pr2_*.xml, points as in the robot files.
INSERTED = pointing_down(
    (0.55, 0.3, 0.75), 1.0,
    {'tip': (0.1, 0.0, 0.0), 'left': (0.0, 0.05, 0.0), 'above': (0.0, 0.0, 0.05)},
)  # fmt: skip
STACKED = pointing_down(
    (0.55, 0.3, 0.74), 1.0,
    {'tip': (0.04, 0.0, 0.0), 'left': (0.04, 0.03, 0.0), 'above': (0.0, 0.0, 0.03)},
)  # fmt: skip

ARM_TASKS = (
    _arm_task('pr2_left_arm/reach', 'bring the hand to a pose', 'pr2_left_arm', REACHED),
    _arm_task(
        'pr2_left_arm/shape_matching', 'put a square peg into its hole', 'pr2_left_arm_peg',
        INSERTED,
    ),
    _arm_task(
        'pr2_left_arm/block_stacking', 'put a block onto another one', 'pr2_left_arm_block',
        STACKED,
    ),
)  # fmt: skip
