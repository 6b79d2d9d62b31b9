# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated tasks of thesis 9.4 and appendix E: half-cheetah, ant, and an arm of seven joints.

Rewards are those of Table 5. `published/...` are the same tasks as the authors' code has them,
where it differs; docs/paper_tasks.md lists the differences.
"""

from __future__ import annotations

from typing import NamedTuple

from mbmrl_ros.envs.task import (
    Task,
    from_the_start,
    mid_run,
    once_per_rollout,
    switching_schedule,
    undisturbed,
)
from mbmrl_ros.rewards.reward import TermConfig
from mbmrl_ros.sim.disturbances import Disturbance, parse

RUN = (
    TermConfig(term='forward_velocity', weight=1.0, channel='x'),
    TermConfig(term='action_squared', weight=-0.05),
)
WALK = (
    TermConfig(term='forward_velocity', weight=1.0, channel='x'),
    TermConfig(term='action_squared', weight=-0.005),
    TermConfig(term='alive', weight=0.05),
)
GOAL = {'object_x': 0.3, 'object_y': 0.15, 'object_z': 0.0}
REACH = (TermConfig(term='distance_squared', weight=-1.0, target=GOAL),)
PUBLISHED_REACH = (
    TermConfig(term='distance', weight=-1.0, target=GOAL),
    TermConfig(term='action_squared', weight=-0.005),
)

DEAD_JOINTS = tuple(
    Disturbance('disabled_joint', joint)
    for joint in ('bthigh', 'bshin', 'bfoot', 'fthigh', 'fshin', 'ffoot')
)
# Up or down, of low steepness, which the thesis does not give in degrees. What is drawn at random
# is drawn from so many, and those come again: a simulator keeps a model of each.
RAMPS = tuple(Disturbance('ramp', 'x', sign * grade) for grade in range(1, 7) for sign in (-1, 1))
ROLLING = tuple(Disturbance('rolling', 'ramps', number) for number in range(64))
SLOPES = {name: Disturbance('terrain', name) for name in ('gentle', 'steep', 'hill', 'basin')}
# By turning gravity, which is possible wherever the robot is; as steep as `steep`.
TURNED = parse('slope:x:12.5')
BLOCKS = tuple(Disturbance('blocks', 'damping_and_friction', number) for number in range(64))
DAMPED_BLOCKS = tuple(Disturbance('blocks', 'damping', number) for number in range(64))
LEGS = tuple(
    Disturbance('crippled_leg', leg)
    for leg in ('front_left', 'front_right', 'back_left', 'back_right')
)
# Published: m g downwards with g from 0.1 to 2 m/s^2, on an object of 0.5 kg; in newtons here.
FORCES = tuple(
    Disturbance('force', 'z', -0.5 * g) for g in (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
)


class Scene(NamedTuple):
    """Who does what, for how many steps."""

    robot: str
    reward: tuple[TermConfig, ...]
    steps: int


def _broken(
    name: str,
    description: str,
    scene: Scene,
    training: tuple[Disturbance, ...],
    held_out: Disturbance,
    published: bool = False,
) -> Task:
    """Return a task in which something breaks that never breaks so in training.

    A quarter of the training is undisturbed, since the robot starts its test undisturbed.
    published: one disturbance per rollout, from its start.
    """
    usual: tuple[Disturbance | None, ...] = (*[None] * round(len(training) / 3), *training)
    return Task(
        name=name,
        description=description,
        robot=scene.robot,
        reward=scene.reward,
        episode_steps=scene.steps,
        disturbances=(held_out, *training),
        training=once_per_rollout(training)
        if published
        else switching_schedule(usual, shortest=scene.steps // 10, longest=2 * scene.steps // 5),
        tests={
            'undisturbed': undisturbed,
            'held_out': from_the_start(held_out),
            'mid_run': mid_run(held_out),
        },
    )


def _slopes(name: str, description: str, training: tuple[Disturbance, ...]) -> Task:
    return Task(
        name=name,
        description=description,
        robot='half_cheetah_slopes',
        reward=RUN,
        episode_steps=1000,
        disturbances=(*training, *SLOPES.values(), TURNED),
        training=once_per_rollout(training),
        tests={
            'undisturbed': undisturbed,
            **{name: from_the_start(disturbance) for name, disturbance in SLOPES.items()},
            'mid_run': mid_run(TURNED),
        },
    )


ADAPTATION_TASKS = (
    # Joints 1 to 5 fail in training (thesis, appendix E).
    _broken('half_cheetah/disabled_joint',
            'run forward while joints go dead; bthigh never fails in training',
            Scene('half_cheetah', RUN, 1000), DEAD_JOINTS[1:], DEAD_JOINTS[0]),
    # The same ten seconds in a fifth of the steps, for policies: returns are a fifth, too.
    _broken('half_cheetah/disabled_joint_20hz', 'run forward while joints go dead, at 20 Hz',
            Scene('half_cheetah_20hz', RUN, 200), DEAD_JOINTS[1:], DEAD_JOINTS[0]),
    _slopes('half_cheetah/slopes', 'run up and down slopes, unseen and steeper ones in tests',
            RAMPS),
    _broken('half_cheetah/pier', 'run over floating blocks of unknown damping and friction',
            Scene('half_cheetah_pier', RUN, 1000), BLOCKS,
            Disturbance('blocks', 'damping_and_friction', 1000)),
    _broken('ant/crippled_leg', 'walk forward while legs are crippled; back_right only in tests',
            Scene('ant', WALK, 500), LEGS[:3], LEGS[3]),
    _broken('arm_7dof/force', 'bring an object to a place while a force pulls it down',
            Scene('arm_7dof', REACH, 500), FORCES, Disturbance('force', 'z', -2.0)),
    _broken('published/half_cheetah_disabled_joint', 'one dead joint for each whole rollout',
            Scene('half_cheetah', RUN, 1000), DEAD_JOINTS[1:], DEAD_JOINTS[0],
            published=True),
    _slopes('published/half_cheetah_slopes', 'trained on ground that goes up and down', ROLLING),
    _broken('published/half_cheetah_pier', 'a light robot, blocks of the same friction',
            Scene('half_cheetah_pier_published', RUN, 1000), DAMPED_BLOCKS,
            Disturbance('blocks', 'damping', 1000), published=True),
    _broken('published/ant_crippled_leg', 'a crippled leg at all times, effort is free',
            Scene('ant', (WALK[0], WALK[2]), 500), LEGS[:3], LEGS[3], published=True),
    _broken('published/arm_7dof_force', 'a force at all times, distance and effort count',
            Scene('arm_7dof', PUBLISHED_REACH, 500), FORCES, Disturbance('force', 'z', -2.0),
            published=True),
)  # fmt: skip
